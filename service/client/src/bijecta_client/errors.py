"""What a call raises that has no answer."""

from collections.abc import Mapping
from typing import Any


class BijectaError(Exception):
    """A call that has no answer.

    Args:
        detail: for people: what was expected and what came.
        status: of HTTP; None where the server did not answer.
        reason: a word for what is wrong, such as `invalid-input`.
        extra: what else the server says, such as `row`, `column` and `bounds`.

    Attributes:
        first_row: where the part begins that failed, of rows that were sent in several; `detail`
            counts rows from there, `extra["row"]` from the first of all.
    """

    def __init__(
        self,
        detail: str,
        status: int | None = None,
        reason: str = "",
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.reason = reason
        self.extra = dict(extra or {})
        self.first_row = 0

    def __str__(self) -> str:
        where = f" (in the part that begins at row {self.first_row})" if self.first_row else ""
        return f"{self.detail}{where}"

    def begins_at(self, row: int) -> None:
        """Say that the rows which failed are those from this one on."""
        self.first_row = row
        if isinstance(self.extra.get("row"), int):
            self.extra["row"] += row
        if isinstance(rows := self.extra.get("rows"), list):
            self.extra["rows"] = [row + each for each in rows if isinstance(each, int)]
        if isinstance(errors := self.extra.get("errors"), list):
            self.extra["errors"] = [
                {**each, "row": row + each["row"]}
                for each in errors
                if isinstance(each, dict) and isinstance(each.get("row"), int)
            ]


class RefusedError(BijectaError):
    """A request that would be refused again: wrong values, no such model, too many rows."""


class UnauthorizedError(RefusedError):
    """A request without a key, or with one that the server does not know."""


class NotPermittedError(RefusedError):
    """A request that its key does not allow, or that the server answers to nobody."""


class UnavailableError(BijectaError):
    """A server that was busy, starting or stopping each time it was asked.

    Attributes:
        retry_after: seconds until it may be asked again; None where it does not say.
    """

    retry_after: float | None = None


class RateLimitedError(UnavailableError):
    """More requests or rows than the key allows in this time, each time it was asked."""


class TimedOutError(BijectaError):
    """No answer within the call's time."""


class UnreachableError(BijectaError):
    """A server that could not be reached, or that hung up.

    Attributes:
        may_pass: whether another try could do better; not where the address is none.
    """

    may_pass = True


class UnreadableError(BijectaError):
    """An answer that is not what was asked for: something else answers at this address."""
