"""What a client asks of a server itself: what it holds, and whether it answers."""

from typing import Any

from bijecta_client.asking import Asking
from bijecta_client.errors import TimedOutError, UnavailableError, UnreachableError
from bijecta_client.exchange import Ask, Patience, Steps, exchange


class Holdings(Asking):
    """The questions that are of no rows."""

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
