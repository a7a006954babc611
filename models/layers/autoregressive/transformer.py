"""Autoregressive flows over tokens whose conditioner is a causal transformer."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from models.bijection import Bijection, sum_event
from models.layers.autoregressive.sequential_inverse import Inverse, invert
from models.layers.permutation import permutation
from models.networks import CausalTransformer, Conditioner, MaskedMLP, scores_of
from models.numerics import Tensors, UnivariateMap, scan_in_blocks, scan_loop

# Tokens of a decode between two shifts of the long cache.
BLOCK_TOKENS = 32


class CachedDecoding:
    """Decoding token by token, with the keys and values of earlier tokens kept (KV cache).

    Each block of the network has two caches, of keys and of values, oldest first: a long one of the
    tokens before the present run of `BLOCK_TOKENS` tokens, and a short one of those of the run. The
    short one is shifted at every token; to shift the long one as often would take more memory
    traffic than the network itself.

    Args:
        network: the transformer.
        solve: numbers z and features of one token, batch × … → x, and log|dx/dz| of each number.
        context: batch × context shape, if the network reads one.
    """

    def __init__(
        self,
        network: CausalTransformer,
        solve: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
        context: Tensor | None,
    ) -> None:
        self.network, self.solve = network, solve
        self.prefix = network.prefix(context)

    def decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """All tokens: z, T × batch × values → x and log|dx/dz|, alike."""
        states = [torch.zeros_like(z[0]), self._long_mask(z), *self._long_caches(z)]
        x, log_slope = scan_in_blocks(self._block, states, [z, self.network.position], BLOCK_TOKENS)
        return x, log_slope

    def _long_caches(self, z: Tensor) -> list[Tensor]:
        """Keys and values of each block before the first token: those of a context, or none."""
        network = self.network
        features = network.width // network.heads
        shape = (z.shape[1], network.heads, network.tokens, features)
        nothing = [z.new_zeros(shape) for _ in range(2 * len(network.blocks))]
        if self.prefix is None:
            return nothing
        made: list[Tensor] = []

        def attend(_: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            made.extend([keys, values])
            return values  # there is nothing else to read

        network(self.prefix, [attend] * len(network.blocks))
        return [torch.cat([empty, one], 2) for empty, one in zip(nothing, made, strict=True)]

    def _long_mask(self, z: Tensor) -> Tensor:
        """What is added to scores of the long caches before the first token: −∞ where none is."""
        before = 0 if self.prefix is None else 1
        return torch.cat([z.new_full((self.network.tokens,), -torch.inf), z.new_zeros(before)])

    def _block(self, states: Tensors, rows: Tensors) -> tuple[Tensors, Tensors]:
        """Decode a run of at most `BLOCK_TOKENS` tokens.

        Args:
            states: numbers of the last token, the mask of the long caches, and these.
            rows: z and positions of the tokens.

        Returns:
            The states afterwards; x and log|dx/dz|, each tokens × batch × values.
        """
        last, long_mask, *long = states
        z, position = rows
        size = len(z)
        short = [cache.new_zeros(*cache.shape[:2], size, cache.shape[3]) for cache in long]
        # of each token, what is added to scores of the short cache: −∞ where it is empty yet
        nothing = torch.full((size, size), -torch.inf, dtype=z.dtype, device=z.device)
        short_masks = nothing.triu(1).flip(1)

        def step(states: Tensors, row: Tensors) -> tuple[Tensors, Tensors]:
            return self._step(states, row, long, long_mask)

        (last, *short), outputs = scan_loop(step, [last, *short], [z, position, short_masks])
        shifted = [
            torch.cat([old[:, :, size:], new], 2) for old, new in zip(long, short, strict=True)
        ]
        shifted_mask = torch.cat([long_mask[size:], long_mask.new_zeros(size)])
        return [last, shifted_mask, *shifted], outputs

    def _step(
        self, states: Tensors, row: Tensors, long: Tensors, long_mask: Tensor
    ) -> tuple[Tensors, Tensors]:
        """Decode one token.

        Args:
            states: numbers of the last token, and the short caches.
            row: z and the position of the token, and the mask of the short caches.
            long, long_mask: the long caches and their mask.
        """
        last, *short = states
        z, position, short_mask = row
        shifted: list[Tensor] = []

        def attend_with(i: int) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
            def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
                recent = [
                    torch.cat([cache[:, :, 1:], new], 2)
                    for cache, new in zip(short[i : i + 2], (keys, values), strict=True)
                ]
                shifted.extend(recent)
                of_long = scores_of(queries, long[i]) + long_mask
                shares = torch.cat([of_long, scores_of(queries, recent[0]) + short_mask], -1)
                shares = shares.softmax(-1)
                length = long[i].shape[2]
                return shares[..., :length] @ long[i + 1] + shares[..., length:] @ recent[1]

            return attend

        attention = [attend_with(2 * i) for i in range(len(self.network.blocks))]
        token = self.network.embedded(last[:, None], position[None])
        features = self.network(token, attention)
        x, log_slope = self.solve(z, features[:, 0])
        return [x, *shifted], [x, log_slope]


class TransformerAutoregressive(Bijection):
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

    decode_cost = "sequential"
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

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        inverse = Inverse("sequential", self.values)

        def solve(z: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
            return invert(self.inner, self.univariate, z, features, inverse)

        tokens = self._in_order(z).view(-1, self.tokens, self.values).transpose(0, 1)
        decoded = CachedDecoding(self.network, solve, context).decode(tokens)
        x, log_slope = (values.transpose(0, 1).flatten(1) for values in decoded)
        return self._in_rows(x), sum_event(log_slope)

    def _in_order(self, rows: Tensor) -> Tensor:
        """Rows as batch × D in the order of decoding."""
        return rows.flatten(1).index_select(1, self.order)

    def _in_rows(self, values: Tensor) -> Tensor:
        """What `_in_order` was made of."""
        in_rows = values.index_select(1, self.order.argsort())
        return in_rows.view(-1, *self.event_shape)
