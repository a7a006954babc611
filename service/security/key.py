"""What a key allows its caller."""

import math
from collections.abc import Callable, Container

from service.errors import (
    InvalidInputError,
    NotPermittedError,
    RateLimitedError,
    UnknownModelError,
    few,
)
from service.security.keys_file import Scope, StoredKey
from service.security.shared_rates import SharedRates
from service.security.token_bucket import TokenBucket


class Key:
    """A key in use.

    Args:
        stored: what the file holds of it.
        clock: of its rates, in seconds.
        rates: what is left of them, where other processes answer its caller too.
    """

    def __init__(
        self, stored: StoredKey, clock: Callable[[], float], rates: SharedRates | None = None
    ) -> None:
        self.stored = stored
        self.digest = bytes.fromhex(stored.sha256)
        self.expires = math.inf if stored.expires is None else stored.expires.timestamp()
        """Seconds since 1970."""
        self.models = None if stored.models is None else frozenset(stored.models)
        """Names of the models that it may be used for; None for all."""
        self._scopes = frozenset(stored.scopes)
        of = stored.sha256
        self._requests = _bucket(f"{of} requests", stored.requests_per_second, clock, rates)
        self._rows = _bucket(f"{of} rows", stored.rows_per_second, clock, rates)

    @property
    def name(self) -> str:
        """By which people know it."""
        return self.stored.name

    def check_scope(self, scopes: tuple[Scope, ...]) -> None:
        """Check that it is for one of these.

        Raises:
            NotPermittedError: it is not.
        """
        if self._scopes.isdisjoint(scopes):
            raise NotPermittedError(
                f"this takes a key with the scope {' or '.join(scopes)}; {self.name} has "
                f"{', '.join(sorted(self._scopes))}"
            )

    def may_ask(self, name: str) -> bool:
        """Whether it is for a model of that name."""
        return self.models is None or name in self.models

    def model_of(
        self, reference: str | None, default: str | None, known: Container[str]
    ) -> str | None:
        """What a request of its caller names as its model.

        Whoever may not ask all models is told nothing of the others, not so much as that there are
        any.

        Args:
            reference: NAME or NAME@ALIAS; None where the request names none.
            default: what that means to callers who may ask all models.
            known: the models that there are.

        Raises:
            InvalidInputError: the request names none, and there are several.
            NotPermittedError: it may not be used for that model.
            UnknownModelError: it may, and there is none of that name.
        """
        if self.models is None:
            return reference
        if not reference and default and default.partition("@")[0] in self.models:
            reference = default
        if not reference:
            if len(self.models) != 1:
                raise InvalidInputError(f"say which model: one of {few(sorted(self.models))}")
            (reference,) = self.models
        self.check_model(reference, known)
        return reference

    def check_model(self, reference: str, known: Container[str]) -> None:
        """Check that it is for a model, and where it is not for all that there is one.

        Args:
            reference: NAME or NAME@ALIAS.
            known: the models that there are.

        Raises:
            NotPermittedError: it may not be used for that model.
            UnknownModelError: it may, and there is none of that name.
        """
        if self.models is None:
            return
        name = reference.partition("@")[0]
        if name not in self.models:
            raise NotPermittedError(
                f"{self.name} is no key for model {name!r:.80}: it is for "
                f"{few(sorted(self.models)) or 'none'}"
            )
        if name not in known:
            raise UnknownModelError(f"no model {name!r:.80}")

    def charge_request(self) -> None:
        """Count a request.

        Raises:
            RateLimitedError: there were too many.
        """
        if self._requests is not None and (wait := self._requests.take(1)):
            raise _too_many(f"{self.stored.requests_per_second:g} requests", wait)

    def charge_rows(self, rows: int, most: int) -> None:
        """Count the rows of a request, before anything is done with them.

        Args:
            rows: that it asks for.
            most: that a request may ask for; of one that is refused for more, no more count.

        Raises:
            RateLimitedError: there were too many.
        """
        if self._rows is not None and (wait := self._rows.take(min(rows, most))):
            raise _too_many(f"{self.stored.rows_per_second:g} rows", wait)


def _bucket(
    of: str, rate: float | None, clock: Callable[[], float], rates: SharedRates | None
) -> TokenBucket | None:
    if rate is None:
        return None
    return TokenBucket(rate, clock) if rates is None else rates.bucket(of, rate, clock)


def _too_many(what: str, wait: float) -> RateLimitedError:
    return RateLimitedError(f"this key allows {what} a second", math.ceil(wait))
