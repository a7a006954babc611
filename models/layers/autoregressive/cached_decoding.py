"""Decoding a causal transformer token by token, with keys and values of earlier tokens kept."""

from collections.abc import Callable

import torch
from torch import Tensor

from models.networks import CausalTransformer, scores_of
from models.numerics import Tensors, scan_in_blocks, scan_loop

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
        room = self.network.tokens
        states = [torch.zeros_like(z[0]), self._long_mask(z, room), *self._long_caches(z, room)]
        x, log_slope = scan_in_blocks(self._block, states, [z, self.network.position], BLOCK_TOKENS)
        return x, log_slope

    def _long_caches(self, z: Tensor, room: int) -> list[Tensor]:
        """Keys and values of each block before the first token: room, and those of a context."""
        network = self.network
        made: list[Tensor] = []

        def attend(_: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            made.extend([keys, values])
            return values  # there is nothing else to read

        if self.prefix is not None:
            network(self.prefix, [attend] * len(network.blocks))
        if not room:
            return made
        shape = (z.shape[1], network.heads, room, network.width // network.heads)
        nothing = [z.new_zeros(shape) for _ in range(2 * len(network.blocks))]
        if not made:
            return nothing
        return [torch.cat([empty, one], 2) for empty, one in zip(nothing, made, strict=True)]

    def _long_mask(self, z: Tensor, room: int) -> Tensor:
        """What is added to scores of the long caches before the first token: −∞ where none is."""
        before = 0 if self.prefix is None else 1
        return torch.cat([z.new_full((room,), -torch.inf), z.new_zeros(before)])

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
