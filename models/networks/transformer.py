"""A causal transformer over tokens: whole sequences at once, or token by token."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.conditioner import ACTIVATIONS, Conditioner, Network
from models.numerics import LOOP_RECORDER

# Width of the hidden layer of each token, in widths of the network (Vaswani et al. 2017, §3.3).
WIDENING = 4

# Queries of an exported graph that attend at once: their scores take memory, and those of the first
# are not computed for the keys of later tokens.
QUERIES = 128

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Queries, keys and values, batch × heads × tokens × features → what each query reads."""


class AttentionBlock(nn.Module):
    """Attention between tokens, then a hidden layer of each token (Vaswani et al. 2017, §3).

    Layers are normalised before they are read, not after (Xiong et al. 2020). Keys have no bias: it
    would add the same number to all scores of a query.

    Args:
        width: features of a token.
        heads: of the attention; they divide the width.
        conditioner: activation and dropout of the hidden layer.
    """

    def __init__(self, width: int, heads: int, conditioner: Conditioner) -> None:
        super().__init__()
        self.heads = heads
        self.conditioner = conditioner
        self.norm_of_attention, self.norm_of_hidden = nn.LayerNorm(width), nn.LayerNorm(width)
        self.read = nn.Linear(width, 3 * width, bias=False)
        self.write = nn.Linear(width, width)
        self.widen = nn.Linear(width, WIDENING * width)
        self.narrow = nn.Linear(WIDENING * width, width)

    def forward(self, h: Tensor, attend: Attend) -> Tensor:
        """Features of tokens before the block → after it, batch × tokens × width."""
        parts = self.read(self.norm_of_attention(h)).unflatten(-1, (3 * self.heads, -1))
        queries, keys, values = parts.transpose(1, 2).chunk(3, 1)
        h = h + self.write(attend(queries, keys, values).transpose(1, 2).flatten(2))
        units = ACTIVATIONS[self.conditioner.activation](self.widen(self.norm_of_hidden(h)))
        units = F.dropout(units, self.conditioner.dropout, self.training)
        narrowed: Tensor = self.narrow(units)
        return h + narrowed


class CausalTransformer(Network):
    """A transformer whose features of a token depend only on the tokens before it.

    A token stands for `values` numbers. It reads those of the token before it, zeros at first, and
    has a position of its own. A context is one token more, before all others.

    Args:
        tokens: T, the length of the sequences.
        values: numbers of each token.
        context: number of features of the context, or 0.
        conditioner: width of each attention block, all equal; activation and dropout.
        heads: of each attention.

    Raises:
        ValueError: no block, blocks of unequal widths, heads that do not divide the width, or a
            conditioner that is residual too.
    """

    def __init__(
        self, tokens: int, values: int, context: int, conditioner: Conditioner, heads: int
    ) -> None:
        super().__init__()
        widths = conditioner.hidden
        if not widths:
            raise ValueError("a transformer has at least one block: `hidden` is empty")
        if len(set(widths)) > 1:
            raise ValueError(f"blocks of a transformer are of equal widths, got {list(widths)}")
        if heads < 1 or widths[0] % heads:
            raise ValueError(f"heads divide the width of a block, {widths[0]}, got {heads}")
        if conditioner.residual:
            raise ValueError("a transformer is always residual: leave `residual` out")
        self.tokens, self.width, self.heads = tokens, widths[0], heads
        self.embed = nn.Linear(values, self.width, bias=False)
        self.position = nn.Parameter(torch.randn(tokens, self.width) / math.sqrt(self.width))
        self.context = nn.Linear(context, self.width) if context else None
        self.blocks = nn.ModuleList(
            AttentionBlock(self.width, heads, conditioner) for _ in range(len(widths))
        )
        self.norm = nn.LayerNorm(self.width)

    def sequence(self, values: Tensor, context: Tensor | None) -> Tensor:
        """Features of all tokens at once: batch × T × values, and a context → batch × T × width."""
        tokens = self.embedded(F.pad(values, (0, 0, 1, 0))[:, :-1], self.position)
        attention, prefix = [causal_attention] * len(self.blocks), self.prefix(context)
        if prefix is None:
            features: Tensor = self(tokens, attention)
            return features
        features = self(torch.cat([prefix, tokens], 1), attention)
        return features[:, 1:]

    def embedded(self, before: Tensor, position: Tensor) -> Tensor:
        """Tokens as the first block reads them, batch × tokens × width.

        Args:
            before: numbers of the token before each, batch × tokens × values.
            position: of the tokens, tokens × width.
        """
        embedded: Tensor = self.embed(before)
        return embedded + position

    def prefix(self, context: Tensor | None) -> Tensor | None:
        """The token of a context, as the first block reads it: batch × 1 × width."""
        if self.context is None or context is None:
            return None
        token: Tensor = self.context(context.flatten(1))
        return token[:, None]

    def _forward(self, h: Tensor, attention: Sequence[Attend]) -> Tensor:
        """Tokens as the first block reads them, and the attention of each block → features."""
        for block, attend in zip(self.blocks, attention, strict=True):
            h = block(h, attend)
        features: Tensor = self.norm(h)
        return features


def causal_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """What each token reads of itself and those before it, batch × heads × tokens × features."""
    if LOOP_RECORDER.get() is None:
        return F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
    length, read = queries.shape[2], []
    for start in range(0, length, QUERIES):
        end = min(start + QUERIES, length)
        later = torch.full((end - start, end), -torch.inf, dtype=queries.dtype).triu(start + 1)
        scores = scores_of(queries[:, :, start:end], keys[:, :, :end]) + later
        read.append(scores.softmax(-1) @ values[:, :, :end])
    return torch.cat(read, 2)


def scores_of(queries: Tensor, keys: Tensor) -> Tensor:
    """Scaled products of queries and keys, … × queries × keys (Vaswani et al. 2017, eq. 1)."""
    return (queries / math.sqrt(queries.shape[-1])) @ keys.transpose(-1, -2)
