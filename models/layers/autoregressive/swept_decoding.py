"""Decoding a causal transformer by sweeps over blocks of tokens."""

from collections.abc import Callable

import torch
from torch import Tensor

from models.layers.autoregressive.cached_decoding import CachedDecoding
from models.layers.autoregressive.sweeps import sweep
from models.networks import Attend, CausalTransformer, causal_attention, scores_of
from models.numerics import Tensors, scan_in_blocks


class SweptDecoding(CachedDecoding):
    """Decoding block by block; each sweep computes all tokens of a block from the last ones.

    Gauss–Seidel–Jacobi (Song et al. 2021; for transformer flows Liu and Qin 2025, GS-Jacobi). Keys
    and values of earlier blocks are kept, as in `CachedDecoding`. A token is solved as a whole, so
    that k sweeps make the first k tokens of a block exact.

    Args:
        network, solve, context: of `CachedDecoding`; `solve` takes any number of tokens.
        size: tokens of a block, at most as many as there are.
        tolerance: of `sweeps.sweep`.
    """

    def __init__(
        self,
        network: CausalTransformer,
        solve: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
        context: Tensor | None,
        size: int,
        tolerance: float,
    ) -> None:
        super().__init__(network, solve, context)
        self.size, self.tolerance = size, tolerance

    def decode_from(self, z: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """All tokens: z and guesses of x, T × batch × values → x and log|dx/dz|, alike."""
        rows = [z, start, self.network.position]
        last, caches = torch.zeros_like(z[0]), self.network.caches(z[0], self.prefix)
        if self.size == self.network.tokens:
            x, log_slope = self._sweep(last, caches, rows, keeps=False)
            return x, log_slope
        states = [last, *caches]
        x, log_slope = scan_in_blocks(self._swept_block, states, rows, self.size, self._growing)
        return x, log_slope

    def _swept_block(self, states: Tensors, rows: Tensors) -> tuple[Tensors, Tensors]:
        """Decode a block of at most `size` tokens.

        Args:
            states: numbers of the last token, and the caches.
            rows: z, guesses of x and positions of the tokens.

        Returns:
            The states afterwards; x and log|dx/dz|, each tokens × batch × values.
        """
        last, *caches = states
        x, log_slope, *made = self._sweep(last, caches, rows, keeps=True)
        longer = [torch.cat(pair, 2) for pair in zip(caches, made, strict=True)]
        return [x[-1], *longer], [x, log_slope]

    def _sweep(self, last: Tensor, earlier: Tensors, rows: Tensors, *, keeps: bool) -> list[Tensor]:
        """Sweep over a block.

        Args:
            last: numbers of the token before the block, batch × values.
            earlier: keys and values of the tokens before.
            rows: z, guesses of x and positions of the tokens.
            keeps: whether the keys and values of the block are wanted.

        Returns:
            x and log|dx/dz|, each tokens × batch × values; keys and values of each layer, batch ×
            heads × tokens × features.
        """
        z, start, position = rows
        network, (count, batch, values) = self.network, z.shape
        flat = z.transpose(0, 1).reshape(batch * count, values)

        def step(x: Tensor) -> list[Tensor]:
            tokens = x.view(batch, count, values)
            before = torch.cat([last[:, None], tokens[:, :-1]], 1)
            made: list[Tensor] = []
            attention = [self._attend(i, earlier, made) for i in range(len(network.blocks))]
            features = network(network.embedded(before, position), attention)
            found = self.solve(flat, features.flatten(0, 1))
            x, log_slope = (value.reshape(batch, count * values) for value in found)
            return [x, log_slope, *(made if keeps else [])]

        guess = start.transpose(0, 1).reshape(batch, count * values)
        others = [torch.zeros_like(guess)]
        if keeps:
            shape = (batch, network.heads, count, network.width // network.heads)
            others += [z.new_zeros(shape) for _ in range(2 * len(network.blocks))]
        found = sweep(step, guess, others, self.tolerance, count)
        x, log_slope = (v.view(batch, count, values).transpose(0, 1) for v in found[:2])
        return [x, log_slope, *found[2:]]

    def _attend(self, block: int, earlier: Tensors, made: list[Tensor]) -> Attend:
        """The attention of a block of the network, which adds its keys and values to `made`."""
        old_keys, old_values = earlier[2 * block : 2 * block + 2]
        length = old_keys.shape[2]

        def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            made.extend([keys, values])
            if not length:
                return causal_attention(queries, keys, values)
            count = keys.shape[2]
            later = torch.full((count, count), -torch.inf, dtype=keys.dtype, device=keys.device)
            scores = [scores_of(queries, old_keys), scores_of(queries, keys) + later.triu(1)]
            shares = torch.cat(scores, -1).softmax(-1)
            return shares[..., :length] @ old_values + shares[..., length:] @ values

        return attend
