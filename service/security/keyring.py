"""The keys that a server knows now, by what callers send."""

import asyncio
import hmac
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from service.errors import UnauthorizedError
from service.file_mark import mark_of
from service.security.key import Key
from service.security.keys_file import KeysError, digest_of, read_keys
from service.security.shared_rates import SharedRates

log = logging.getLogger(__name__)

SCHEME = b"bearer "

# No key is longer.
MAX_KEY_BYTES = 256

# Of a digest: by so much it is looked up, and all of it is compared in a time that tells nothing.
# How long a look-up takes says nothing of a key, of whose digest nobody can choose the beginning.
INDEX_BYTES = 8

# How often the file is looked at, in seconds.
LOOK_SECONDS = 1.0

HOW = "send one as Authorization: Bearer KEY"


class Keyring:
    """The keys of a file, which are read again when it changes.

    Args:
        path: of the file.
        clock: of rates, in seconds.
        now: seconds since 1970, of the end of keys.
        rates: what is left of these, where other processes answer callers too.

    Raises:
        KeysError: the file cannot be read.
    """

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        rates: SharedRates | None = None,
    ) -> None:
        self._path = path
        self._clock = clock
        self._now = now
        self._rates = rates
        self._nobody = secrets.token_bytes(32)
        self._keys: dict[bytes, Key] = {}
        self._mark = mark_of(path)
        self.is_readable = True
        """Whether the keys are those of the file as it is."""
        self._read()

    def find(self, authorization: bytes | None) -> Key:
        """The key that a request comes with.

        Args:
            authorization: the value of that header; None where there is none.

        Raises:
            UnauthorizedError: it has none, or one that is not known or not valid any more.
        """
        if authorization is None:
            raise UnauthorizedError(f"this server answers those who have a key: {HOW}")
        if authorization[: len(SCHEME)].lower() != SCHEME:
            raise UnauthorizedError(f"Authorization is of another scheme: {HOW}")
        key = authorization[len(SCHEME) :].strip()
        digest = digest_of(key[:MAX_KEY_BYTES])
        found = self._keys.get(digest[:INDEX_BYTES])
        is_known = hmac.compare_digest(digest, self._nobody if found is None else found.digest)
        if found is None or not is_known:
            raise UnauthorizedError("this key is not known here", ', error="invalid_token"')
        if found.expires <= self._now():
            raise UnauthorizedError(f"the key {found.name} has expired", ', error="invalid_token"')
        return found

    def refresh(self) -> None:
        """Read the file again where it is another one, all of it or, where it is bad, none."""
        mark = mark_of(self._path)
        if mark == self._mark:
            return
        self._mark = mark
        try:
            self._read()
        except KeysError as error:
            self.is_readable = False
            log.error("%s; the keys of before stay", error)
            return
        self.is_readable = True

    async def keep(
        self,
        in_thread: Callable[[Callable[[], None]], Awaitable[None]],
        said: Callable[[bool], None],
    ) -> None:
        """Look at the file again and again.

        Args:
            in_thread: does work elsewhere than on the event loop.
            said: told each time whether the keys are those of the file.
        """
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await in_thread(self.refresh)
            said(self.is_readable)

    def _read(self) -> None:
        keys: dict[bytes, Key] = {}
        for stored in read_keys(self._path):
            key = Key(stored, self._clock, self._rates)
            index = key.digest[:INDEX_BYTES]
            before = self._keys.get(index)
            # one that is as it was keeps what is left of its rates
            keys[index] = key if before is None or before.stored != stored else before
        self._keys = keys
        log.info("%s: %d keys", self._path, len(keys))
