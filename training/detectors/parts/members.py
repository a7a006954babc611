"""Members of a part: which training rows each of them saw, and scores by those that did not."""

from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from training.detectors.specification import Part

P = TypeVar("P", bound=Part)


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


def halves(n: int, members: int, generator: torch.Generator) -> list[Tensor]:
    """Random halves of n rows, each followed by the other half: indices of each member's rows.

    So about half of the members did not see a row, whichever it is.
    """
    chosen: list[Tensor] = []
    while len(chosen) < members:
        order = torch.randperm(n, generator=generator)
        chosen += [order[: n // 2], order[n - n // 2 :]]
    return chosen[:members]


def all_but_folds(n: int, members: int, generator: torch.Generator) -> list[Tensor]:
    """For each member, in random order, the rows of all equal folds but one."""
    order = torch.randperm(n, generator=generator)
    fold = torch.arange(n) * members // n
    return [order[fold != i] for i in range(members)]


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
