"""Autoregressive densities over typed columns: numbers, lattices, classes, missing values."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from models.bijection import Cost, Shape
from models.columns.descriptions import ColumnDescription
from models.columns.group import ColumnGroup
from models.columns.grouping import groups_of
from models.columns.networks import ColumnLayout, ColumnNetwork, elements_of
from models.columns.together import Together
from models.context import ContextFeatures
from models.density import Density
from models.distributions import Base, Normal
from models.numerics import logistic_from_normal, normal_from_logistic


class TypedColumns(Density):
    """The density of rows whose columns are numbers, lattices or classes, each missing or not.

    log p(x) is the sum over the columns, in an order, of log p(column | columns before it): nats
    with respect to counting measure for discrete values and Lebesgue measure for others. A network
    reads features of the columns before and gives the parameters of each conditional. Everything
    but the network is computed in float64: rows are N × D in float64, NaN where a value is missing,
    and codes where it is a class.

    The latent of a value is the normal quantile of its place in its conditional; that of a discrete
    value is anywhere in the value's cell.

    Args:
        columns: descriptions of the D columns.
        order: columns in the order of decoding, a permutation of 0 … D−1.
        network: makes the network for a layout of columns.
        components: number of logistics in the conditional of a number.
        embedding: number of features of a class, where a column has more classes than that.
        rows: number of training rows, which bounds how small a probability they can justify.
        context: the map from raw context to the features that the network reads, or None.
        context_shape: shape of the conditioning vector of a row, where there is no such map.

    Raises:
        ValueError: no column, an order that is no permutation, or fewer than one row or component.
    """

    to_columns: Tensor
    inputs_to_columns: Tensor
    parameters_to_groups: Tensor

    def __init__(
        self,
        columns: Sequence[ColumnDescription],
        order: Sequence[int],
        network: Callable[[ColumnLayout], ColumnNetwork],
        components: int,
        embedding: int,
        rows: int,
        context: ContextFeatures | None = None,
        context_shape: Shape | None = None,
    ) -> None:
        super().__init__()
        n = len(columns)
        if not n or sorted(order) != list(range(n)):
            raise ValueError(f"the order is a permutation of the {n} columns, got {list(order)}")
        if rows < 1 or embedding < 1:
            raise ValueError(f"rows and embedding are at least 1, got {rows} and {embedding}")
        self.order = list(order)
        self.features = context
        self._context_shape = context_shape if context is None else context.context_shape
        self.base: Base = Normal((n,))
        groups = groups_of(columns, components, embedding, 1 / (rows + 1))
        self.groups = nn.ModuleList(groups)
        # of each column, its group and its number in the group
        members = {column: (group, i) for group in groups for i, column in enumerate(group.index)}
        self._members = [members[column] for column in range(n)]
        inputs, sizes = (
            [getattr(g, name) for g, _ in self._members] for name in ("inputs", "size")
        )
        features = math.prod(context_shape or ()) if context is None else context.size
        context_size = features if self._context_shape else 0
        self.network = network(ColumnLayout(self.order, inputs, sizes, context_size))
        # groups compute their columns one after another; the network and rows are in column order
        grouped = [column for group in groups for column in group.index]
        orders = {
            "to_columns": torch.tensor(grouped).argsort(),
            "inputs_to_columns": elements_of(inputs, grouped).argsort(),
            "parameters_to_groups": elements_of(sizes, grouped),
        }
        for name, indices in orders.items():
            self.register_buffer(name, indices, persistent=False)
        self.together = Together(groups, self.inputs_to_columns, self.parameters_to_groups)

    @property
    def event_shape(self) -> Shape:
        """Shape of one row."""
        return self.base.event_shape

    @property
    def latent_shape(self) -> Shape:
        """Shape of one row of latents."""
        return self.base.event_shape

    @property
    def context_shape(self) -> Shape | None:
        """Shape of one row of raw context; None if there is none."""
        return self._context_shape

    @property
    def encode_cost(self) -> Cost:
        """The cost of encoding and of log_prob."""
        return "parallel"

    @property
    def decode_cost(self) -> Cost:
        """The cost of decoding and sampling."""
        return "sequential"

    def encode(
        self, x: Tensor, context: Tensor | None = None, u: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Map rows to latents.

        Args:
            x: N × D.
            context: N × context shape, exactly when the density has one.
            u: N × D in (0, 1), where the latents of discrete values lie in their cells; ½ if None.
                With uniform u the latents of rows from the density are standard normal. Decoding
                gives x for every u; where a cell is so small that rounding could leave it, the
                latent is nearer to the middle of the cell.

        Returns:
            z: N × D in float64; log p(x): N, in nats. A row outside the support has log p(x) = −inf
            and z = NaN.

        Raises:
            ValueError: a shape is not the stated one; both are named.
        """
        x = x.double()
        u = torch.full_like(x, 0.5) if u is None else u.double()
        self._check(x, x=x, u=u)
        self._check_context(context)
        thetas = self._thetas(x, context)
        encoded = [
            group.encode(x[:, group.columns], u[:, group.columns], theta, self.tolerance)
            for group, theta in zip(self.column_groups, thetas, strict=True)
        ]
        y, log_prob = (torch.cat(parts, 1) for parts in zip(*encoded, strict=True))
        total, z = log_prob.sum(1), normal_from_logistic(y.index_select(1, self.to_columns))[0]
        return torch.where(total[:, None] > -torch.inf, z, torch.nan), total

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density in nats: N × D → N, in float64; −inf outside the support.

        Its gradient is that of the parameters: of rows there is none.
        """
        return self.log_prob_prepared(self.prepare(x), context)

    def prepare(self, x: Tensor) -> Tensor:
        """What log_prob computes of the rows alone: N × D → N × numbers, in float64.

        The first D numbers are the row. A step of a table of 11 columns of seven structures took 29
        ms where all was computed in each step.
        """
        x = x.double()
        self._check(x, x=x)
        return self.together.prepare(x)

    def log_prob_prepared(self, prepared: Tensor, context: Tensor | None = None) -> Tensor:
        """The log-density in nats, N, of prepared rows, N × numbers."""
        self._check_context(context)
        inputs = self.together.inputs(prepared, self.like.dtype)
        theta = self.network(inputs, self.context_features(context))
        return self.together.log_prob(prepared, theta.double())

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map latents to rows, column by column, each hidden unit of the network computed once.

        Args:
            z: N × D.
            context: N × context shape, exactly when the density has one.

        Returns:
            x: N × D in float64; log p(x): N, in nats.

        Raises:
            ValueError: a shape is not the stated one; both are named.
        """
        z = z.double()
        self._check(z, z=z)
        self._check_context(context)
        y = logistic_from_normal(z)[0]
        none = z[:, :0].to(self.like.dtype)
        values: dict[int, Tensor] = {}
        log_probs = []

        def solve(position: int, theta: Tensor) -> Tensor:
            column = self.order[position]
            group, i = self._members[column]
            theta = theta.double()[:, None]
            x = group.decode(y[:, column, None], theta, i)
            values[column] = x
            log_probs.append(group.log_prob(x, theta, i))
            return group.features(x, i).flatten(1).to(none.dtype)

        self.network.go_through(none, self.context_features(context), solve)
        x = torch.cat([values[column] for column in range(len(self.order))], 1)
        return x, torch.cat(log_probs, 1).sum(1)

    def sample(
        self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw n rows: x, n × D; log p(x), n, in nats. The generator is on the CPU."""
        noise = torch.randn(n, len(self.order), generator=generator, dtype=torch.float64)
        return self.decode(noise.to(self.like.device), context)

    @property
    def tolerance(self) -> float:
        """Relative error of probabilities, by rounding in the network."""
        return self.network.rounding_ulps * torch.finfo(self.like.dtype).eps

    @property
    def column_groups(self) -> list[ColumnGroup]:
        """The groups of columns that are computed together."""
        return [group for group in self.groups if isinstance(group, ColumnGroup)]

    def _thetas(self, x: Tensor, context: Tensor | None) -> list[Tensor]:
        """The parameters of each group's columns: N × C × size, in float64."""
        groups = self.column_groups
        features = [group.features(x[:, group.columns]).flatten(1) for group in groups]
        inputs = torch.cat(features, 1).index_select(1, self.inputs_to_columns)
        theta = self.network(inputs.to(self.like.dtype), self.context_features(context)).double()
        sizes = [len(group.index) * group.size for group in groups]
        parts = theta.index_select(1, self.parameters_to_groups).split(sizes, 1)
        return [
            part.unflatten(1, (len(group.index), group.size))
            for group, part in zip(groups, parts, strict=True)
        ]

    def context_features(self, context: Tensor | None) -> Tensor | None:
        """The features of a context that the network reads: N × features."""
        if context is None:
            return None
        context = context.to(self.like.dtype)
        features: Tensor = context if self.features is None else self.features(context)
        return features.flatten(1)

    def _check(self, rows: Tensor, **named: Tensor) -> None:
        expected = (rows.shape[0], len(self.order))
        for name, value in named.items():
            if value.shape != expected:
                raise ValueError(f"expected {name} of shape {expected}, got {tuple(value.shape)}")

    def _check_context(self, context: Tensor | None) -> None:
        row_shape = None if context is None else tuple(context.shape[1:])
        if row_shape != self.context_shape:
            raise ValueError(
                f"expected a context of row shape {self.context_shape}, got {row_shape}"
            )
