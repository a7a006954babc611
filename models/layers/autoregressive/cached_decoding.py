"""Decoding a causal transformer token by token, with keys and values of earlier tokens kept."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from models.networks import Attend, CausalTransformer
from models.numerics import Tensors, scan_in_blocks, scan_loop

# Tokens of a run, of T, in units of √T. The least is copied with one such unit. With 1.0 to 4 63
# tokens took the same time; memory, of what is freed and too small for what follows, is less with
# fewer runs: 0.93 MB a row with 9 runs, 0.77 with 3 (four blocks of 128 units).
ROOTS_OF_A_RUN = 2.5


class CachedDecoding:
    """Decoding token by token, with the keys and values of earlier tokens kept (KV cache).

    Each attention has two caches, oldest first: a long one of the tokens before the present run of
    tokens, and a short one of those of the run. Every token makes the short one longer, and every
    run the long one. What becomes longer is copied, so that a single cache would be copied once for
    every token.

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
        states = [torch.zeros_like(z[0]), *self.network.caches(z[0], self.prefix)]
        rows = [z, self.network.position]
        x, log_slope = scan_in_blocks(self._run, states, rows, run_length(len(z)), self._growing)
        return x, log_slope

    @property
    def _growing(self) -> Mapping[int, int]:
        """The axis along which the states after the first grow: caches, by tokens."""
        return dict.fromkeys(range(1, 1 + 2 * len(self.network.blocks)), 2)

    def _run(self, states: Tensors, rows: Tensors) -> tuple[Tensors, Tensors]:
        """Decode a run of tokens.

        Args:
            states: numbers of the last token, and the long caches.
            rows: z and positions of the tokens.

        Returns:
            The states afterwards; x and log|dx/dz|, each tokens × batch × values.
        """
        last, *long = states

        def step(states: Tensors, row: Tensors) -> tuple[Tensors, Tensors]:
            return self._step(states, row, long)

        none = self.network.caches(last, None)
        (last, *short), outputs = scan_loop(step, [last, *none], rows, self._growing)
        longer = [torch.cat(pair, 2) for pair in zip(long, short, strict=True)]
        return [last, *longer], outputs

    def _step(self, states: Tensors, row: Tensors, long: Tensors) -> tuple[Tensors, Tensors]:
        """Decode one token.

        Args:
            states: numbers of the last token, and the short caches.
            row: z and the position of the token.
            long: the long caches.
        """
        last, *short = states
        z, position = row
        longer: list[Tensor] = []

        def attend_with(i: int) -> Attend:
            def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
                own = zip(short[i : i + 2], (keys, values), strict=True)
                longer.extend(torch.cat(pair, 2) for pair in own)
                return _read(queries, long[i : i + 2], longer[-2:])

            return attend

        attention = [attend_with(2 * i) for i in range(len(self.network.blocks))]
        features = self.network(self.network.embedded(last, position), attention)
        x, log_slope = self.solve(z, features)
        return [x, *longer], [x, log_slope]


def run_length(tokens: int) -> int:
    """How many tokens are a run, of so many."""
    return -(-tokens // max(1, round(math.sqrt(tokens) / ROOTS_OF_A_RUN)))


def _read(query: Tensor, long: Tensors, short: Tensors) -> Tensor:
    """What a query reads of keys and values in caches, batch × heads × 1 × features.

    Args:
        query: likewise.
        long, short: keys and values of earlier tokens, of which there may be none, and of the last.
    """
    column = query.flatten(2)[..., None]  # to a row, keys would have to be transposed
    scores, length = short[0] @ column, long[0].shape[2]
    if length:
        scores = torch.cat([long[0] @ column, scores], 2)
    shares = scores[..., 0].softmax(-1)[:, :, None]
    if not length:
        return shares @ short[1]
    return shares[..., :length] @ long[1] + shares[..., length:] @ short[1]
