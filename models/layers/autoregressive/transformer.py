"""Autoregressive flows over tokens whose conditioner is a causal transformer."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.bijection import sum_event
from models.layers.autoregressive.base import Autoregressive
from models.layers.autoregressive.cached_decoding import CachedDecoding
from models.layers.autoregressive.sequential_inverse import Inverse, invert
from models.layers.autoregressive.swept_decoding import SweptDecoding
from models.layers.permutation import permutation
from models.networks import CausalTransformer, Conditioner, MaskedMLP
from models.numerics import UnivariateMap


class TransformerAutoregressive(Autoregressive):
    """Maps each value monotonically, given the tokens before its own and the values before it.

    Encoding is one pass of a causal transformer (TarFlow, Zhai et al. 2024). Decoding computes one
    token after another with cached keys and values, each hidden unit once.
    `Inverted(TransformerAutoregressive(…))` samples in one pass.

    Args:
        event_shape: shape of one row; D is its number of elements.
        univariate: the map of each value.
        order: values in the order of decoding, token after token, a permutation of 0 … D−1.
        values: how many values are a token; it divides D.
        conditioner: shape of the transformer.
        heads: of each attention.
        inner: shape of the masked network that reads the features of a token, and the values of the
            token that come before each.
        context_shape: shape of the conditioning vector, or None.

    Raises:
        ValueError: `order` is not a permutation, tokens that do not fill the row, or an error of
            `CausalTransformer`.
    """

    order: Tensor

    def __init__(
        self,
        event_shape: Sequence[int],
        univariate: UnivariateMap,
        order: Sequence[int],
        values: int,
        conditioner: Conditioner,
        heads: int,
        inner: Conditioner,
        context_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(event_shape, context_shape=context_shape)
        self.register_buffer("order", permutation(order, self.event_shape), persistent=False)
        if values < 1 or len(self.order) % values:
            raise ValueError(f"tokens of {values} values do not fill {len(self.order)}")
        self.univariate = univariate
        self.tokens, self.values = len(self.order) // values, values
        self.network = CausalTransformer(
            self.tokens, values, self.context_features, conditioner, heads
        )
        self.inner = MaskedMLP(range(values), univariate.size, self.network.width, inner)
        self.inverse = Inverse("sequential", values)

    def theta(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Parameters of each value's map: batch × event shape → batch × D × univariate.size."""
        theta = self._theta(self._in_order(x), context)
        return theta.index_select(1, self.order.argsort())

    def _theta(self, values: Tensor, context: Tensor | None) -> Tensor:
        """The same of values in the order of decoding, and in that order."""
        tokens = values.view(-1, self.tokens, self.values)
        features = self.network.sequence(tokens, context)
        theta: Tensor = self.inner(tokens.flatten(0, 1), features.flatten(0, 1))
        return theta.view(*values.shape, self.univariate.size)

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        values = self._in_order(x)
        z, log_det = self.univariate.encode(values, self._theta(values, context))
        return self._in_rows(z), sum_event(log_det)

    def _decode_from(
        self, z: Tensor, start: Tensor | None, context: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        within, inverse = Inverse("sequential", self.values), self._current_inverse()

        def solve(z: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
            return invert(self.inner, self.univariate, z, features, within)

        tokens = self._as_tokens(z)
        # dropout would differ from sweep to sweep
        if inverse.method == "sequential" or self.training:
            decoded = CachedDecoding(self.network, solve, context).decode(tokens)
        else:
            guesses = torch.zeros_like(tokens) if start is None else self._as_tokens(start)
            width = min(self.tokens, -(-inverse.width // self.values))
            decoding = SweptDecoding(self.network, solve, context, width, inverse.tolerance)
            decoded = decoding.decode_from(tokens, guesses)
        x, log_slope = (values.transpose(0, 1).flatten(1) for values in decoded)
        return self._in_rows(x), sum_event(log_slope)

    def _as_tokens(self, rows: Tensor) -> Tensor:
        """Rows as tokens × batch × values in the order of decoding."""
        return self._in_order(rows).view(-1, self.tokens, self.values).transpose(0, 1)

    def _in_order(self, rows: Tensor) -> Tensor:
        """Rows as batch × D in the order of decoding."""
        return rows.flatten(1).index_select(1, self.order)

    def _in_rows(self, values: Tensor) -> Tensor:
        """What `_in_order` was made of."""
        in_rows = values.index_select(1, self.order.argsort())
        return in_rows.view(-1, *self.event_shape)
