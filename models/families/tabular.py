"""The families of densities over typed columns."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from models.bijection import Shape
from models.columns import (
    AttentionColumnNetwork,
    ColumnLayout,
    ColumnNetwork,
    MaskedColumnNetwork,
    TypedColumns,
    describe,
)
from models.context import ContextFeatures
from models.networks import Conditioner, check_attention


@dataclass(frozen=True, kw_only=True)
class Tabular:
    """The options of a density over typed columns, with one masked network.

    Args:
        hidden, activation, dropout, residual: of the network (`networks.Conditioner`).
        components: number of logistics in the conditional of a number.
        column_embedding: number of features of a class, where a column has more classes than that.
        order: `given` is the order of the columns, `reverse` the opposite, `random` one that is
            drawn.
        seed: seed of the random order.

    Raises:
        ValueError: a value that makes no density.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid", "allow_inf_nan": False}
    without_gradients: ClassVar[bool] = False
    former_names: ClassVar[Mapping[str, str]] = {}

    hidden: tuple[int, ...] = (256, 256)
    activation: str = "relu"
    dropout: float = 0.0
    residual: bool = False
    components: int = 8
    column_embedding: int = 8
    order: str = "given"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.order not in ("given", "reverse", "random"):
            raise ValueError(f"order is given, reverse or random, not {self.order!r}")
        if self.components < 1 or self.column_embedding < 1:
            raise ValueError(
                f"components and column_embedding are at least 1, got {self.components} and "
                f"{self.column_embedding}"
            )
        _ = self.conditioner  # checks its own options

    @property
    def conditioner(self) -> Conditioner:
        """The shape of the network; it starts as the product of the columns' marginals."""
        return Conditioner(tuple(self.hidden), self.activation, self.dropout, 0.0, self.residual)

    def network(self, layout: ColumnLayout) -> ColumnNetwork:
        """The network that computes the parameters of these columns."""
        return MaskedColumnNetwork(layout, self.conditioner)

    def density(
        self,
        columns: Sequence[Mapping[str, Any]],
        rows: int,
        context: ContextFeatures | None,
        context_shape: Shape | None,
    ) -> TypedColumns:
        """The density over these columns (`columns.describe`), fitted to so many training rows."""
        order = list(range(len(columns)))
        if self.order == "reverse":
            order.reverse()
        elif self.order == "random":
            random.Random(self.seed).shuffle(order)
        return TypedColumns(
            describe(columns),
            order,
            self.network,
            self.components,
            self.column_embedding,
            rows,
            context,
            context_shape,
        )


@dataclass(frozen=True, kw_only=True)
class TabularTransformer(Tabular):
    """The options of a density over typed columns whose network is a causal transformer.

    A token is a column (TraDE, Fakoor et al. 2020). `hidden` are the widths of the attention
    blocks, all equal; there is no `residual` to set.

    Args:
        heads: of each attention; they divide the width.

    Raises:
        ValueError: a value that makes no density.
    """

    hidden: tuple[int, ...] = (64, 64)
    activation: str = "gelu"
    dropout: float = 0.1
    heads: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_attention(self.conditioner, self.heads)

    def network(self, layout: ColumnLayout) -> ColumnNetwork:
        """The network that computes the parameters of these columns."""
        return AttentionColumnNetwork(layout, self.conditioner, self.heads)
