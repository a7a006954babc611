"""Members of a part: which training rows each of them saw, and scores by those that did not."""

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.tables import repeat_by_nature, row_digests
from training.data import rows_at_once
from training.detectors.specification import Part

P = TypeVar("P", bound=Part)

# Copies of a row that are a larger share of all rows are no mistake of who wrote the table.
MAX_GROUP = 1 / 8


@dataclass(frozen=True)
class Fitted(Generic[P]):
    """A fitted part.

    Args:
        part: its options, with the number of rows that it holds.
        module: what it sees of N rows, and features of their contexts or None → scores of each
            member, N × members.
        seen: of each member, the indices of the training rows that it saw.
    """

    part: P
    module: nn.Module
    seen: list[Tensor]


def groups_of(rows: NDArray[np.generic], are_discrete: bool) -> Tensor:
    """The number of each row's group of equal rows, which no division tears apart.

    A row that was not seen is one whose copies were not seen either: of a table that holds each row
    twice, the nearest seen row of most is the copy, and a new row would have none. A row that is a
    large share of the table, and the rows of discrete columns that repeat by nature, repeat among
    new rows too: each of these is a group of its own.

    Args:
        rows: N × D, what conditions them among the values.
        are_discrete: whether no column is continuous.
    """
    n = len(rows)
    digests = row_digests(rows, rows_at_once(rows))
    _, first, groups, counts = np.unique(
        digests, axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    if repeat_by_nature(n - len(counts), n, are_discrete):
        return torch.arange(n)
    groups = groups.reshape(-1)
    # the number of a group is that of its first row, whatever the values are
    representative = np.where(counts[groups] > MAX_GROUP * n, np.arange(n), first[groups])
    return torch.from_numpy(np.unique(representative, return_inverse=True)[1])


def halves(groups: Tensor, members: int, generator: torch.Generator) -> list[Tensor]:
    """Random halves of rows, each followed by the other half: indices of each member's rows.

    So about half of the members did not see a row, whichever it is.

    Args:
        groups: N, the group of each row, on one side each.
        members: number of halves.
        generator: of random numbers.
    """
    chosen: list[Tensor] = []
    while len(chosen) < members:
        order, fold = _folds(groups, 2, generator)
        chosen += [order[fold == 0], order[fold == 1]]
    return chosen[:members]


def all_but_folds(groups: Tensor, members: int, generator: torch.Generator) -> list[Tensor]:
    """For each member, in random order, the rows of all folds but one; arguments as of `halves`."""
    order, fold = _folds(groups, members, generator)
    return [order[fold != i] for i in range(members)]


def _folds(groups: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """All rows, in random order of their groups; and the fold of each, as equal as groups allow."""
    places = torch.randperm(int(groups.max()) + 1, generator=generator)[groups]
    places, order = torch.sort(places, stable=True)
    # a group is where its first row is
    first = torch.searchsorted(places, places)
    return order, first * count // len(groups)


def mean_of_unseen(scores: Tensor, seen: list[Tensor]) -> Tensor:
    """The mean score of each training row over the members that did not see it.

    Args:
        scores: N × members.
        seen: indices of the rows that each member saw.

    Returns:
        N; NaN where every member saw a row.
    """
    unseen = _unseen(scores, seen)
    return torch.where(unseen, scores, 0.0).sum(1) / unseen.sum(1)


def log_mean_of_unseen(log_probs: Tensor, seen: list[Tensor]) -> Tensor:
    """The log of the mean density of each training row over the members that did not see it.

    Arguments and result as of `mean_of_unseen`.
    """
    unseen = _unseen(log_probs, seen)
    total = torch.logsumexp(torch.where(unseen, log_probs, -torch.inf), 1)
    return total - torch.log(unseen.sum(1))


def _unseen(values: Tensor, seen: list[Tensor]) -> Tensor:
    """Whether a member did not see a row: N × members."""
    unseen = torch.ones_like(values, dtype=torch.bool)
    for i, rows in enumerate(seen):
        unseen[rows, i] = False
    return unseen


def with_context(features: Tensor, context: Tensor | None) -> Tensor:
    """Features of rows and of their contexts: N × (F + C)."""
    return features if context is None else torch.cat([features, context], 1)
