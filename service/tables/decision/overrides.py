"""What the user says of the columns of a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service.tables.columns import TableError, is_column_name
from service.tables.decision.kinds import KINDS
from service.tables.raw import RawTable


@dataclass(frozen=True)
class Overrides:
    """What the user says of columns.

    Args:
        keep: columns that are modelled whatever they hold.
        drop: columns that are left out.
        kinds: of columns, one of `KINDS`; `datetime %d/%m/%Y` and `duration %M:%S` also say the
            form. Such a column is kept, too.
    """

    keep: Sequence[str] = ()
    drop: Sequence[str] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)


def check_overrides(table: RawTable, overrides: Overrides) -> None:
    """See that they name columns of the table, each once, and kinds.

    Raises:
        TableError: they do not, or a column's name is one that no manifest can hold.
    """
    named = {"keep": overrides.keep, "drop": overrides.drop, "kinds": list(overrides.kinds)}
    for key, names in named.items():
        if unknown := [name for name in names if name not in table.columns]:
            raise TableError(
                f"{key} names {', '.join(map(repr, unknown))}: the columns are "
                f"{', '.join(map(repr, table.columns))}"
            )
    if both := sorted({*overrides.keep, *overrides.kinds} & set(overrides.drop)):
        raise TableError(f"{', '.join(map(repr, both))} cannot be dropped and kept")
    for name, kind in overrides.kinds.items():
        if kind not in KINDS and not kind.startswith(("datetime ", "duration ")):
            raise TableError(
                f"kinds: {name!r} is {kind!r}, expected one of {', '.join(KINDS)}, or the form of "
                "times as in datetime %d/%m/%Y"
            )
    if odd := [name for name in table.columns if not is_column_name(name)]:
        raise TableError(
            f"the name {odd[0]!r:.80} cannot be that of a column: expected printable text of at "
            "most 500 characters"
        )
