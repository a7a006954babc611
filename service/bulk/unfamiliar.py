"""What files hold that the data had not: counted by column, said once at the end."""

from collections.abc import Iterable
from typing import NamedTuple

from service.bundle import AnyManifest, DetectorManifest
from service.errors import cut
from service.tables import Unfamiliar, Word

# Values of a column that are shown.
MAX_EXAMPLES = 5

SAID = {
    "unknown_classes": "hold classes that the data had not, such as {}: they count as one of all "
    "others",
    "impossible_values": "hold values that it cannot have, such as {}: their score is infinite",
    "changed_constants": "hold another value than {}, which every row of the data has, such as {}",
}
"""Of each sort of values, for people."""


class Found(NamedTuple):
    """Values of one sort in a column that no row of the data had.

    Args:
        sort: of the values, see `Unfamiliar`.
        column: its name.
        rows: how many hold such values.
        examples: of the values, the first of them.
        expected: the value of a constant.
    """

    sort: str
    column: str
    rows: int
    examples: list[Word | None]
    expected: Word | None = None


Counts = dict[tuple[str, str], Found]
"""By sort and column: of any number of rows it holds no more than of a few."""


def found_in(unfamiliar: Iterable[Unfamiliar]) -> list[Found]:
    """What the rows of a piece hold."""
    return [
        Found(
            each.sort,
            each.column,
            len(each.rows),
            [each.value(int(rows[0])) for rows in each.examples(MAX_EXAMPLES)],
            each.expected,
        )
        for each in unfamiliar
    ]


def count(counts: Counts, more: Iterable[Found]) -> None:
    """Add what further rows hold."""
    for one in more:
        before = counts.get((one.sort, one.column), one._replace(rows=0, examples=[]))
        examples = list(dict.fromkeys([*before.examples, *one.examples]))[:MAX_EXAMPLES]
        counts[one.sort, one.column] = before._replace(
            rows=before.rows + one.rows, examples=examples
        )


def said(counts: Counts, manifest: AnyManifest) -> list[str]:
    """A line for each column and sort; of models without a score impossible rows are skipped."""
    are_scored = isinstance(manifest, DetectorManifest)
    return [
        _line(one, are_scored)
        for one in counts.values()
        if are_scored or one.sort != "impossible_values"
    ]


def _line(found: Found, are_scored: bool) -> str:
    shown = [_shown(each) for each in found.examples]
    values = [", ".join(shown)]
    if found.sort == "changed_constants":
        values.insert(0, _shown(found.expected))
    text = SAID[found.sort].format(*values)
    if found.sort == "changed_constants":
        text += ": their score is infinite" if are_scored else ": log_prob does not look at it"
    return f"column {cut(found.column)!r}: {found.rows:,} rows {text}"


def _shown(value: Word | None) -> str:
    return "nothing" if value is None else cut(repr(value))
