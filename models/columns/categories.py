"""Categorical columns: a softmax over the codes of classes."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.columns.descriptions import CategoricalColumn
from models.columns.group import ColumnGroup
from models.columns.places import LOG_ZERO, Place, floored

# Probabilities below this count as none where they are added up.
_TINY = 1e-37


class _Constants(NamedTuple):
    log_shares: Tensor
    """C × K: log of the marginal probabilities; `LOG_ZERO` of classes that a column lacks."""
    log_floor: Tensor
    """C × K: log-probabilities that the floor's mixture is with."""
    last: Tensor
    """C: the largest code."""


class CategoryGroup(ColumnGroup):
    """Categorical columns, computed as if all had the largest number of classes K.

    Parameters of each column: the logits of its classes, added to those of the marginal. Features
    are one-hot, or a learned vector for each class where there are more than `embedding` classes.

    Args:
        index: the columns' numbers in the row.
        columns: their descriptions.
        embedding: number of features of a class.
        floor: weight of the marginal in probabilities; twice of it where there are `other` classes,
            half of which is the probability of `other`, so that it is at least `floor`.
    """

    def __init__(
        self,
        index: Sequence[int],
        columns: Sequence[CategoricalColumn],
        embedding: int,
        floor: float,
    ) -> None:
        self.classes = max(len(column.shares) for column in columns)
        one_hot = self.classes <= embedding
        missing = [c.missing_share for c in columns if c.missing_share is not None]
        inputs = self.classes if one_hot else embedding
        super().__init__(index, self.classes, inputs, missing or None, floor)
        self.other = columns[0].other
        self.class_floor = min(0.5, 2 * floor) if self.other else floor
        for name, values in _constants(columns, self.classes).items():
            self.register_buffer(name, values, persistent=False)
        self.embedding = (
            None if one_hot else nn.Parameter(torch.randn(len(index), self.classes, embedding))
        )

    def _all(self, column: int | None) -> _Constants:
        return _Constants(*(self._of(self.get_buffer(name), column) for name in _Constants._fields))

    def _typical(self, column: int | None) -> Tensor:
        return torch.zeros_like(self._all(column).last)

    def _inside(self, x: Tensor, column: int | None) -> Tensor:
        return (x >= 0) & (x <= self._all(column).last) & (x == torch.floor(x))

    def _log_classes(self, theta: Tensor, column: int | None) -> Tensor:
        """Log-probabilities of all classes: N × C × K."""
        c = self._all(column)
        log_p = F.log_softmax(c.log_shares + theta[..., : self.classes], -1)
        return floored(log_p, c.log_floor, self.class_floor)

    def _log_prob(self, x: Tensor, theta: Tensor, column: int | None) -> Tensor:
        return _of_class(self._log_classes(theta, column), x)

    def _cumulative(self, theta: Tensor, column: int | None) -> tuple[Tensor, Tensor, Tensor]:
        """Of each class, log P(less), log P(more) and its log-probability: N × C × K each."""
        log_p = self._log_classes(theta, column)
        p = torch.exp(log_p)
        # both are sums: 1 − P would lose the digits of small probabilities
        up_to, from_it = p.cumsum(-1), p.flip(-1).cumsum(-1).flip(-1)
        less, more = F.pad(up_to[..., :-1], (1, 0)), F.pad(from_it[..., 1:], (0, 1))
        return torch.log(less.clamp(min=_TINY)), torch.log(more.clamp(min=_TINY)), log_p

    def _place(self, x: Tensor, theta: Tensor, column: int | None = None) -> tuple[Place, Tensor]:
        place = Place(*(_of_class(log_p, x) for log_p in self._cumulative(theta, column)))
        return place, place.mass

    def _value(self, y: Tensor, theta: Tensor, column: int | None) -> Tensor:
        _, right = Place(*self._cumulative(theta, column)).ends
        code = (y[..., None] > right).to(y.dtype).sum(-1)
        return torch.minimum(code, self._all(column).last)

    def _features(self, x: Tensor, column: int | None) -> Tensor:
        code = x.long()
        if self.embedding is None:
            classes = torch.arange(self.classes, device=x.device)
            return (code[..., None] == classes).to(x.dtype)
        table = self._of(self.embedding, column)
        first = torch.arange(len(table), device=x.device) * self.classes
        return F.embedding(code + first, table.flatten(0, 1)).to(x.dtype)


def _of_class(values: Tensor, x: Tensor) -> Tensor:
    """The value of each code's class: N × C × K, N × C → N × C."""
    return values.gather(-1, x.long()[..., None])[..., 0]


def _constants(columns: Sequence[CategoricalColumn], classes: int) -> dict[str, Tensor]:
    """The buffers of a group of columns, in float64."""
    shares = torch.zeros(len(columns), classes, dtype=torch.float64)
    for row, column in zip(shares, columns, strict=True):
        row[: len(column.shares)] = torch.tensor(column.shares, dtype=torch.float64)
    shares = shares / shares.sum(1, keepdim=True)
    floor = shares.clone()
    for row, column in zip(floor, columns, strict=True):
        if column.other:
            row.mul_(0.5)[len(column.shares) - 1] += 0.5
    return {
        "log_shares": _log(shares),
        "log_floor": _log(floor),
        "last": torch.tensor([len(c.shares) - 1.0 for c in columns], dtype=torch.float64),
    }


def _log(p: Tensor) -> Tensor:
    return torch.where(p > 0, p.log(), LOG_ZERO)
