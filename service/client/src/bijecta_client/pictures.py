"""Answers of models of images as pictures."""

from typing import Any, Literal

from bijecta_client import bodies, native
from bijecta_client.errors import UnreadableError
from bijecta_client.exchange import Ask, Steps, exchange
from bijecta_client.holdings import Holdings

Drawn = Literal["sample", "decode", "interpolate"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"


class Pictures(Holdings):
    """The questions whose answers are pictures."""

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
        if not answer.content.startswith(SIGNATURE):
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
