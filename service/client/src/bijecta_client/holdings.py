"""What a client asks that arrays do not answer: what a server holds, and files of pictures."""

from typing import Any, Literal

from bijecta_client import bodies, native
from bijecta_client.asking import Asking
from bijecta_client.errors import (
    TimedOutError,
    UnavailableError,
    UnreachableError,
    UnreadableError,
)
from bijecta_client.exchange import Ask, Patience, Steps, exchange

Drawn = Literal["sample", "decode", "interpolate"]

PNG = b"\x89PNG\r\n\x1a\n"
"""How its files begin."""


class Holdings(Asking):
    """The questions whose answers are no arrays."""

    def models(self) -> Steps[dict[str, Any]]:
        """What the server holds: `default`, `models` and `refused`."""
        return self._get("/models", self._due())

    def model(self, name: str | None = None, version: int | None = None) -> Steps[dict[str, Any]]:
        """The manifest of a model, the client's where none is named."""
        due = self._due()
        name, version = yield from self._target(name, version, due)
        return (yield from self._manifest(name, version, due))

    def ready(self) -> Steps[bool]:
        """Whether the server would answer questions now; False where nothing is there.

        Raises:
            UnreachableError: the address is none.
        """
        try:
            yield from exchange(Ask("GET", "/health/ready"), Patience(0, 0.0), self._due())
        except (UnavailableError, TimedOutError):
            return False
        except UnreachableError as error:
            if not error.may_pass:
                raise
            return False
        return True

    def png(
        self,
        question: Drawn,
        /,
        *,
        model: str | None = None,
        version: int | None = None,
        **fields: Any,
    ) -> Steps[bytes]:
        """The rows x of an answer as one sheet of pictures, a file in PNG.

        Args:
            question: what is asked of a model of images.
            model, version: others than the client's.
            fields: of the question, such as `n` and `seed`, `z`, or `start`, `end` and `steps`.
        """
        due = self._due()
        name, version = yield from self._target(model, version, due)
        body = {field: _plain(field, value) for field, value in fields.items()}
        content = bodies.to_json({"model": name, "version": version, **body})
        headers = {"Content-Type": "application/json", "Accept": "image/png"}
        ask = Ask("POST", f"/{question}", content, headers)
        answer = yield from exchange(ask, self._patience, due)
        if not answer.content.startswith(PNG):
            began = answer.content[:80].decode("latin-1")
            raise UnreadableError(f"expected a file in PNG, got {began!r}", answer.status)
        return answer.content


def _plain(field: str, value: Any) -> Any:
    """The value of a field as JSON has it.

    Raises:
        TypeError, ValueError: rows or latents that are no array of numbers.
    """
    if field == "context":
        return native.plain_context(value)
    return native.end(field, value) if field in ("z", "start", "end") else value
