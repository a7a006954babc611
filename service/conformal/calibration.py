"""The scores of normal rows, and the p-values of other rows among them.

A larger score is more anomalous. The p-value of a row is the share of the calibration rows, itself
among them, whose score is as large or larger: of a row that is exchangeable with them it is at most
t with a probability of at most t (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random
World, 2005, chapter 2). With a draw for each row in place of its ties it is uniform.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from service.types import Float64

N_EXACT = 2**17
"""Scores of a class that are kept one by one; of more a sketch is kept, of as many scores."""

NUMBERS_PER_STEP = 4
"""Numbers of 64 bits that a step of a Philox generator makes."""


class _Steps(NamedTuple):
    """The scores of one class, ascending, and how many rows have this score or a larger one.

    Args:
        scores: m, ascending.
        rows: m + 1, from all rows down to 0.
    """

    scores: Float64
    rows: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Scores of normal rows, from models that did not see them.

    Args:
        scores: m, ascending; of rows outside the support +inf.
        classes: m, of each the class that it is compared within; None where there is one class.
        counts: m, how many rows each stands for: itself, and others of its class with scores up to
            it; None where each is one row.

    Raises:
        ValueError: these are no such arrays.
    """

    scores: Float64
    classes: Float64 | None = None
    counts: Float64 | None = None

    def __post_init__(self) -> None:
        if self.scores.ndim != 1 or self.scores.dtype != np.float64 or len(self.scores) == 0:
            raise ValueError("expected one or more scores of float64")
        if np.isnan(self.scores).any() or (self.scores[1:] < self.scores[:-1]).any():
            raise ValueError("expected scores in ascending order")
        for name, values in {"classes": self.classes, "counts": self.counts}.items():
            if values is not None and (
                values.shape != self.scores.shape or not np.isfinite(values).all()
            ):
                raise ValueError(f"expected {len(self.scores)} finite {name}")
        counts = self.counts
        if counts is not None and (
            (counts < 1).any() or (counts != np.rint(counts)).any() or counts.sum() > 2.0**53
        ):
            raise ValueError("expected counts that are whole numbers from 1")

    @classmethod
    def of(cls, scores: Float64, classes: Float64 | None = None, most: int = N_EXACT) -> Self:
        """The calibration by scores in any order, a sketch of those of a class that are too many.

        The sketch keeps the largest half of `most` scores one by one. The others are divided into
        as many blocks of about the same size, of which the largest score stands for all. No p-value
        is smaller by it, and none larger by as much as 2 / `most`.

        Args:
            scores: of each row.
            classes: of each row; None where there is one class.
            most: scores that are kept of a class.
        """
        if classes is None:
            kept, counts = _sketch(np.sort(scores), most)
            return cls(kept, None, None if (counts == 1).all() else counts)
        parts = [(c, *_sketch(np.sort(scores[classes == c]), most)) for c in np.unique(classes)]
        kept = np.concatenate([each for _, each, _ in parts])
        counts = np.concatenate([each for _, _, each in parts])
        of = np.concatenate([np.full(len(each), c, np.float64) for c, each, _ in parts])
        order = np.argsort(kept, kind="stable")
        return cls(kept[order], of[order], None if (counts == 1).all() else counts[order])

    @classmethod
    def from_array(cls, array: Float64, has_classes: bool) -> Self:
        """What `to_array` has made an array of.

        Args:
            array: m, or 2 or 3 × m.
            has_classes: whether it is to have classes. Where not, counts stand below zeros in place
                of them.

        Raises:
            ValueError: it is of another shape, or holds no calibration.
        """
        if array.ndim == 1:
            return cls(array)
        if array.ndim != 2 or len(array) not in (2, 3):
            raise ValueError(f"expected m scores, or 2 or 3 × m values, got shape {array.shape}")
        counts = array[2] if len(array) == 3 else None
        if counts is not None and not has_classes and not array[1].any():
            return cls(array[0], None, counts)
        return cls(array[0], array[1], counts)

    def to_array(self) -> Float64:
        """Scores alone (m), with classes (2 × m), or with classes and counts (3 × m)."""
        if self.classes is None and self.counts is None:
            return self.scores
        classes = np.zeros_like(self.scores) if self.classes is None else self.classes
        rows = [self.scores, classes] + ([] if self.counts is None else [self.counts])
        return np.stack(rows)

    @property
    def has_classes(self) -> bool:
        """Whether rows are compared within classes."""
        return self.classes is not None

    @property
    def class_codes(self) -> list[float]:
        """The classes that there are, ascending; none where there is one class."""
        return [] if self.classes is None else sorted(self._steps)

    @cached_property
    def rows(self) -> int:
        """How many rows there are in all."""
        return sum(int(steps.rows[0]) for steps in self._steps.values())

    def rows_of(self, c: float) -> int:
        """How many rows of a class there are."""
        return int(self._steps.get(float(c), _NO_ROWS).rows[0])

    def p_values(
        self, scores: Float64, ties: Float64 | None = None, classes: Float64 | None = None
    ) -> Float64:
        """The p-value of each score; NaN where it is NaN.

        Without ties (1 + #{calibration ≥ s}) / (m + 1); with ties u
        (#{calibration > s} + u (1 + #{calibration = s})) / (m + 1). Where classes are compared
        within, of the calibration rows of its class alone: of a class without any it is 1, or u.

        Args:
            scores: n.
            ties: n, in (0, 1]: see `tie_breakers`.
            classes: n, the class of each; needed where the calibration has classes.

        Raises:
            ValueError: the classes are missing, or there are none to compare within.
        """
        if (classes is None) != (self.classes is None):
            raise ValueError("expected classes where the calibration has them, and nowhere else")
        if classes is None:
            return _p_values(self._steps[0.0], scores, ties)
        found = np.empty(len(scores))
        for c in np.unique(classes):
            of = classes == c
            steps = self._steps.get(float(c), _NO_ROWS)
            found[of] = _p_values(steps, scores[of], None if ties is None else ties[of])
        return found

    @cached_property
    def _steps(self) -> Mapping[float, _Steps]:
        """Of each class; of one class alone, by 0."""
        classes = [0.0] if self.classes is None else np.unique(self.classes).tolist()
        return {c: self._steps_of(self._are_of(c)) for c in classes}

    def _are_of(self, c: float) -> NDArray[np.bool_] | slice:
        return slice(None) if self.classes is None else self.classes == c

    def _steps_of(self, of: NDArray[np.bool_] | slice) -> _Steps:
        scores = self.scores[of]
        counts = np.ones(len(scores)) if self.counts is None else self.counts[of]
        rows = np.zeros(len(scores) + 1, np.int64)
        rows[:-1] = np.cumsum(counts[::-1].astype(np.int64))[::-1]
        return _Steps(scores, rows)


_NO_ROWS = _Steps(np.empty(0), np.zeros(1, np.int64))


def tie_breakers(seed: int, rows: int, first: int = 0) -> Float64:
    """A uniform number in (0, 1] for each row: a pure function of the seed and the row's number.

    Args:
        seed: of a Philox generator, which makes the same numbers on every machine.
        rows: how many.
        first: number of the first row.
    """
    philox = np.random.Philox(seed)
    philox.advance(first // NUMBERS_PER_STEP)
    skipped = first % NUMBERS_PER_STEP
    drawn: Float64 = 1.0 - np.random.Generator(philox).random(skipped + rows)[skipped:]
    return drawn


def _p_values(steps: _Steps, scores: Float64, ties: Float64 | None) -> Float64:
    total = steps.rows[0] + 1
    as_large = steps.rows[np.searchsorted(steps.scores, scores, "left")]
    if ties is None:
        p = (1 + as_large) / total
    else:
        larger = steps.rows[np.searchsorted(steps.scores, scores, "right")]
        p = (larger + ties * (1 + as_large - larger)) / total
    return np.where(np.isnan(scores), np.nan, p)


def _sketch(scores: Float64, most: int) -> tuple[Float64, Float64]:
    """Ascending scores, or so many of them, and how many rows each stands for."""
    n = len(scores)
    if n <= most:
        return scores, np.ones(n)
    rest = n - most // 2
    ends = np.linspace(0, rest, most - most // 2 + 1).astype(np.int64)
    kept = np.concatenate([scores[ends[1:] - 1], scores[rest:]])
    return kept, np.concatenate([np.diff(ends), np.ones(most // 2)]).astype(np.float64)
