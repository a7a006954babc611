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


def check_attention(conditioner: Conditioner, heads: int) -> None:
    """See that a transformer can have these blocks.

    Raises:
        ValueError: no block, blocks of unequal widths, heads that do not divide the width, or a
            conditioner that is residual too.
    """
    widths = conditioner.hidden
    if not widths:
        raise ValueError("a transformer has at least one block: `hidden` is empty")
    if len(set(widths)) > 1:
        raise ValueError(f"blocks of a transformer are of equal widths, got {list(widths)}")
    if heads < 1 or widths[0] % heads:
        raise ValueError(f"heads divide the width of a block, {widths[0]}, got {heads}")
    if conditioner.residual:
        raise ValueError("a transformer is always residual: leave `residual` out")


class AttentionBlock(nn.Module):
    """Attention between tokens, then a hidden layer of each token (Vaswani et al. 2017, §3).

    Layers are normalised before they are read, not after (Xiong et al. 2020). Keys have no bias: it
    would add the same number to all scores of a query. Queries are divided by the square root of
    their length before they attend.

    Args:
        width: features of a token.
        heads: of the attention; they divide the width.
        conditioner: activation and dropout of the hidden layer.
    """

    def __init__(self, width: int, heads: int, conditioner: Conditioner) -> None:
        super().__init__()
        self.heads = heads
        self.query_scale = math.sqrt(width / heads)
        self.conditioner = conditioner
        self.norm_of_attention, self.norm_of_hidden = nn.LayerNorm(width), nn.LayerNorm(width)
        self.read = nn.Linear(width, 3 * width, bias=False)
        self.write = nn.Linear(width, width)
        self.widen = nn.Linear(width, WIDENING * width)
        self.narrow = nn.Linear(WIDENING * width, width)

    def fold(self) -> None:
        """Divide the weights of queries instead of queries (`folding.Foldable`).

        As a factor beside a product, onnxruntime would keep the divisor in float32.
        """
        with torch.no_grad():
            self.read.weight[: self.read.in_features] /= self.query_scale
        self.query_scale = 1.0

    def forward(self, h: Tensor, attend: Attend) -> Tensor:
        """Features of tokens before the block → after it.

        Args:
            h: batch × tokens × width; or of one token, batch × width.
            attend: reads of queries, keys and values what the tokens read.
        """
        parts = self.read(self.norm_of_attention(h))
        is_one = h.ndim == 2
        if is_one:  # whose axes need no transposition
            parts = parts.unflatten(1, (3 * self.heads, 1, -1))
        else:
            parts = parts.unflatten(-1, (3 * self.heads, -1)).transpose(1, 2)
        queries, keys, values = parts.chunk(3, 1)
        if self.query_scale != 1:
            queries = queries / self.query_scale
        read = attend(queries, keys, values)
        h = h + self.write(read.flatten(1) if is_one else read.transpose(1, 2).flatten(2))
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
        values: numbers of each token; 0 where they differ, and the caller embeds them.
        context: number of features of the context, or 0.
        conditioner: width of each attention block, all equal; activation and dropout.
        heads: of each attention.

    Raises:
        ValueError: an error of `check_attention`.
    """

    def __init__(
        self, tokens: int, values: int, context: int, conditioner: Conditioner, heads: int
    ) -> None:
        super().__init__()
        check_attention(conditioner, heads)
        widths = conditioner.hidden
        self.tokens, self.width, self.heads = tokens, widths[0], heads
        self.embed = nn.Linear(values, self.width, bias=False) if values else None
        self.position = nn.Parameter(torch.randn(tokens, self.width) / math.sqrt(self.width))
        self.context = nn.Linear(context, self.width) if context else None
        self.blocks = nn.ModuleList(
            AttentionBlock(self.width, heads, conditioner) for _ in range(len(widths))
        )
        self.norm = nn.LayerNorm(self.width)

    def sequence(self, values: Tensor, context: Tensor | None) -> Tensor:
        """Features of all tokens at once: batch × T × values, and a context → batch × T × width."""
        before = F.pad(values, (0, 0, 1, 0))[:, :-1]
        return self.features(self.embedded(before, self.position), context)

    def features(self, tokens: Tensor, context: Tensor | None) -> Tensor:
        """The same of tokens as the first block reads them, batch × T × width."""
        attention, prefix = [causal_attention] * len(self.blocks), self.prefix(context)
        if prefix is None:
            features: Tensor = self(tokens, attention)
            return features
        features = self(torch.cat([prefix, tokens], 1), attention)
        return features[:, 1:]

    def embedded(self, before: Tensor, position: Tensor) -> Tensor:
        """Tokens as the first block reads them, batch × tokens × width; of one, batch × width.

        Args:
            before: numbers of the token before each, batch × tokens × values, or batch × values.
            position: of the tokens, tokens × width, or of the one.
        """
        assert self.embed is not None
        embedded: Tensor = self.embed(before)
        return embedded + position

    def prefix(self, context: Tensor | None) -> Tensor | None:
        """The token of a context, as the first block reads it: batch × 1 × width."""
        if self.context is None or context is None:
            return None
        token: Tensor = self.context(context.flatten(1))
        return token[:, None]

    def caches(self, rows: Tensor, prefix: Tensor | None) -> list[Tensor]:
        """Keys and values of each block before the first token, batch × heads × 0 × features.

        With a context they are those of its token, batch × heads × 1 × features.

        Args:
            rows: any tensor of the batch, batch × ….
            prefix: the token of a context, if there is one.
        """
        if prefix is None:
            none = rows.new_zeros(rows.shape[0], self.heads, 0, self.width // self.heads)
            return [none] * (2 * len(self.blocks))
        made: list[Tensor] = []

        def attend(_: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            made.extend([keys, values])
            return values  # there is nothing else to read

        self(prefix, [attend] * len(self.blocks))
        return made

    def _forward(self, h: Tensor, attention: Sequence[Attend]) -> Tensor:
        """Tokens as the first block reads them, and the attention of each block → features."""
        for block, attend in zip(self.blocks, attention, strict=True):
            h = block(h, attend)
        features: Tensor = self.norm(h)
        return features


def causal_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """What each token reads of itself and those before it, batch × heads × tokens × features.

    Queries are scaled.
    """
    # On CPUs the fused kernel has slow gradients in narrow types: for 256 rows of 63 tokens in
    # bfloat16 it took 217 ms, these products 53; for 64 rows of 196 tokens 212 and 82.
    narrow = queries.device.type == "cpu" and queries.dtype.itemsize < 4
    if LOOP_RECORDER.get() is None and not narrow:
        return F.scaled_dot_product_attention(queries, keys, values, is_causal=True, scale=1.0)
    length, read = queries.shape[2], []
    for start in range(0, length, QUERIES):
        end = min(start + QUERIES, length)
        later = torch.full((end - start, end), -torch.inf, dtype=queries.dtype).triu(start + 1)
        scores = scores_of(queries[:, :, start:end], keys[:, :, :end]) + later
        read.append(scores.softmax(-1) @ values[:, :, :end])
    return torch.cat(read, 2)


def scores_of(queries: Tensor, keys: Tensor) -> Tensor:
    """Products of queries, which are scaled, and keys: … × queries × keys."""
    return queries @ keys.transpose(-1, -2)
