"""The file of API keys: JSON that holds of each key a hash, a name and what it allows.

A key is 256 random bits, so that its plain SHA-256 cannot be turned back: no salt and no slow hash
are needed, as they are for what people think of.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from service.errors import readable

PREFIX = "bijecta_"
"""Of every key, so that programs which look for secrets in texts can tell one."""

KEY_BYTES = 32

# A key in a text, which may be longer where others have come after it.
_KEYS = re.compile(PREFIX + r"[A-Za-z0-9_\-]{43,}")

FORMAT = 1
MAX_FILE_BYTES = 8 * 2**20
MAX_KEYS = 10_000

Scope = Literal["ask", "metrics", "admin"]
ASKING: tuple[Scope, ...] = ("ask",)
READING: tuple[Scope, ...] = ("ask", "admin")
MEASURING: tuple[Scope, ...] = ("metrics", "admin")
CONTROLLING: tuple[Scope, ...] = ("admin",)
"""What the key of a request is to be for: one of these."""
Rate = Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)]
ModelName = Annotated[str, Field(min_length=1, max_length=256)]


class KeysError(Exception):
    """A file of keys that cannot be used; the text says why."""


class StoredKey(BaseModel):
    """What the file holds of a key.

    Args:
        name: by which people know it.
        sha256: of the key, in hexadecimal.
        scopes: what it is for: `ask` asks models and lists them, `metrics` reads /metrics, `admin`
            loads, unloads and resets, and reads all of these.
        models: which it may be used for; None for all.
        rows_per_second, requests_per_second: most on average; None for no limit.
        created, expires: when; it is valid until then.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,63}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: Annotated[list[Scope], Field(min_length=1)]
    models: list[ModelName] | None = None
    rows_per_second: Rate | None = None
    requests_per_second: Rate | None = None
    created: AwareDatetime
    expires: AwareDatetime | None = None

    @field_validator("models")
    @classmethod
    def _check_names(cls, models: list[str] | None) -> list[str] | None:
        for name in models or ():
            if "@" in name:
                raise ValueError(f"expected names of models, which stand for aliases, got {name}")
        return models


class _KeysFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: Literal[1]
    keys: Annotated[list[StoredKey], Field(max_length=MAX_KEYS)]


def new_key() -> str:
    """A key that nobody can guess."""
    return f"{PREFIX}{secrets.token_urlsafe(KEY_BYTES)}"


def without_keys(text: str) -> str:
    """A text in which each key is masked."""
    return _KEYS.sub(f"{PREFIX}***", text) if PREFIX in text else text


def digest_of(key: bytes) -> bytes:
    """What is stored of a key, and what is compared."""
    return hashlib.sha256(key).digest()


def read_keys(path: Path) -> list[StoredKey]:
    """The keys of a file.

    Raises:
        KeysError: it cannot be read, or not all of it makes sense.
    """
    try:
        # not waiting for the other end of a FIFO
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise KeysError(f"{path} is not a regular file")
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        hint = ": `bijecta keys add NAME --keys FILE` makes it" * (error.errno == errno.ENOENT)
        raise KeysError(f"{path}: {error.strerror}{hint}") from None
    if len(content) > MAX_FILE_BYTES:
        raise KeysError(f"{path} has more than {MAX_FILE_BYTES} bytes")
    try:
        keys = _KeysFile.model_validate_json(content).keys
    except ValidationError as error:
        # what came is not repeated: it may be a key that was put there instead of its hash
        first = error.errors(include_input=False)[0] | {"input": "something else"}
        raise KeysError(f"{path} is no file of keys: {readable(first)}") from None
    for field, of in (("name", _name), ("sha256", _sha256)):
        if len({*map(of, keys)}) < len(keys):
            raise KeysError(f"{path} has two keys of the same {field}")
    return keys


def _name(key: StoredKey) -> str:
    return key.name


def _sha256(key: StoredKey) -> str:
    return key.sha256


def change_keys(path: Path, change: Callable[[list[StoredKey]], list[StoredKey]]) -> None:
    """Write other keys in a file's place, at once; where there is none, it had no keys.

    Args:
        path: of the file.
        change: makes the new keys of those that are there.

    Raises:
        KeysError: the file is damaged; it stays as it is.
        OSError: it cannot be written.
    """
    path = Path(os.path.realpath(path))
    with _locked(path.parent):
        keys = change(read_keys(path) if path.exists() else [])
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o600
        document = {"format": FORMAT, "keys": [_document(key) for key in keys]}
        made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                os.fchmod(descriptor, mode)
                file.write(json.dumps(document, indent=2) + "\n")
                file.flush()
                os.fsync(descriptor)
            made.replace(path)
        finally:
            made.unlink(missing_ok=True)


def _document(key: StoredKey) -> dict[str, object]:
    document: dict[str, object] = key.model_dump(mode="json", exclude_none=True)
    return document


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other commands from writing a file of the folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
