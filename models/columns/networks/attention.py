"""A causal transformer whose tokens are columns, each with linear maps of its own."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.columns.networks.network import ColumnLayout, ColumnNetwork, SolveColumn, elements_of
from models.networks import Attend, CausalTransformer, Conditioner, scores_of


class TokenMaps(nn.Module):
    """Linear maps, one of each token, whose numbers of inputs or outputs may differ.

    Maps of the same shape are computed as one product.

    Args:
        inputs: how many each token has.
        outputs: likewise.
        bias: whether the maps have constant parts.
    """

    def __init__(self, inputs: Sequence[int], outputs: Sequence[int], bias: bool) -> None:
        super().__init__()
        shapes = list(zip(inputs, outputs, strict=True))
        self.outputs = list(outputs)
        self.weights = nn.ParameterList()
        self.bias = nn.Parameter(torch.zeros(sum(outputs))) if bias else None
        # of each token, its shape and its number among the tokens of that shape
        self._members = dict[int, tuple[int, int]]()
        made = [torch.zeros(0, dtype=torch.long)]
        for i, shape in enumerate(dict.fromkeys(shapes)):
            tokens = [token for token, other in enumerate(shapes) if other == shape]
            self._members |= {token: (i, k) for k, token in enumerate(tokens)}
            bound = 1 / math.sqrt(shape[0])  # as torch's linear layers start
            weight = torch.empty(len(tokens), *shape).uniform_(-bound, bound)
            self.weights.append(nn.Parameter(weight))
            read = elements_of(inputs, tokens)
            self.register_buffer(f"read_{i}", read, persistent=False)
            made.append(elements_of(outputs, tokens))
        self.register_buffer("places", torch.cat(made).argsort(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """All maps: N × inputs → N × outputs, token by token in both."""
        parts = [x[:, :0]]
        for i, weight in enumerate(self.weights):
            own = x.index_select(1, self.get_buffer(f"read_{i}"))
            own = own.view(len(x), len(weight), -1).transpose(0, 1)
            parts.append((own @ weight).transpose(0, 1).flatten(1))
        outputs = torch.cat(parts, 1).index_select(1, self.get_buffer("places"))
        return outputs if self.bias is None else outputs + self.bias

    def of_token(self, token: int, x: Tensor) -> Tensor:
        """The map of one token: N × its inputs → N × its outputs."""
        outputs = x @ self.weight(token)
        return (
            outputs if self.bias is None else outputs + torch.split(self.bias, self.outputs)[token]
        )

    def weight(self, token: int) -> Tensor:
        """The weights of a token's map: its inputs × its outputs."""
        shape, member = self._members[token]
        weight: Tensor = self.weights[shape][member]
        return weight


class AttentionColumnNetwork(ColumnNetwork):
    """A causal transformer with a token for each column (TraDE, Fakoor et al. 2020).

    A token reads the column before its own by a linear map of that column, at a position that is
    learned, and gives the parameters of its own column by an affine map of that. A context is one
    token more, before all others.

    Args:
        layout: of the columns.
        conditioner: width of each attention block, all equal; activation and dropout.
        heads: of each attention.

    Raises:
        ValueError: an error of `check_attention`.
    """

    # parameters differ by up to 30 units, of a masked network by 3 (11 columns, both directions)
    rounding_ulps: ClassVar[int] = 512

    masks: Tensor

    def __init__(self, layout: ColumnLayout, conditioner: Conditioner, heads: int) -> None:
        super().__init__()
        self.layout = layout
        order, tokens = list(layout.order), len(layout.order)
        self.transformer = CausalTransformer(tokens, 0, layout.context, conditioner, heads)
        width = self.transformer.width
        inputs, sizes = ([of[c] for c in order] for of in (layout.inputs, layout.sizes))
        # no token reads the last column
        self.embed = TokenMaps(inputs[:-1], [width] * (tokens - 1), bias=False)
        self.heads = TokenMaps([width] * tokens, sizes, bias=True)
        conditioner.initialize(self.heads)
        read = elements_of(layout.inputs, order[:-1])
        self.register_buffer("read", read, persistent=False)
        places = elements_of(layout.sizes, order).argsort()
        self.register_buffer("places", places, persistent=False)
        # of each token, what is added to scores of its caches: −∞ where they are empty yet
        room = tokens + bool(layout.context)
        empty = torch.arange(room) < torch.arange(tokens)[:, None].flip(0)
        masks = torch.zeros(tokens, room).masked_fill(empty, -torch.inf)
        self.register_buffer("masks", masks, persistent=False)

    def _forward(self, inputs: Tensor, context: Tensor | None) -> Tensor:
        """Features of all columns → the parameters of all conditionals."""
        transformer = self.transformer
        # zeros for the first token, which reads no column
        embedded = self.embed(inputs.index_select(1, self.get_buffer("read")))
        before = F.pad(embedded, (transformer.width, 0)).view(len(inputs), -1, transformer.width)
        tokens = before + transformer.position
        theta: Tensor = self.heads(transformer.features(tokens, context).flatten(1))
        return theta.index_select(1, self.get_buffer("places"))

    def go_through(self, none: Tensor, context: Tensor | None, solve: SolveColumn) -> None:
        """Go through the columns one by one, with keys and values of those before kept."""
        caches, features = self.start(none, context), none
        for t, (position, mask) in enumerate(
            zip(self.transformer.position, self.masks, strict=True)
        ):
            token = position.expand(len(none), -1)
            if t:
                token = token + self.embed.of_token(t - 1, features)
            read, caches = self.step(token, mask, caches)
            features = solve(t, self.heads.of_token(t, read))

    def start(self, rows: Tensor, context: Tensor | None) -> list[Tensor]:
        """The caches before the first column, for a batch like these rows, N × anything.

        Keys and values of each block, N × heads × tokens × features: zeros, and last those of a
        context.
        """
        transformer = self.transformer
        caches = transformer.caches(rows, transformer.prefix(context))
        return [F.pad(cache, (0, 0, transformer.tokens, 0)) for cache in caches]

    def step(
        self, token: Tensor, mask: Tensor, caches: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """One token.

        Args:
            token: as the first block reads it, N × width.
            mask: what is added to scores of the caches, with the token in them.
            caches: keys and values of each block, oldest first.

        Returns:
            Features, N × width; the caches with the token in them, without the oldest.
        """
        after: list[Tensor] = []

        def attend_with(block: int) -> Attend:
            def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
                own = zip(caches[2 * block : 2 * block + 2], (keys, values), strict=True)
                known, read = (torch.cat([cache[:, :, 1:], new], 2) for cache, new in own)
                after.extend([known, read])
                return (scores_of(queries, known) + mask).softmax(-1) @ read

            return attend

        attention = [attend_with(i) for i in range(len(self.transformer.blocks))]
        features: Tensor = self.transformer(token, attention)
        return features, after

    @property
    def last(self) -> nn.Module:
        """The maps to the parameters."""
        return self.heads
