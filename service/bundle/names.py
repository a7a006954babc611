"""What the names of a model's versions mean: its aliases, and the versions that were taken back.

store/<name>/names.json   {"format_version": 1, "aliases": {"stable": 2}, "withdrawn": [3]}

The *current* version of a model, which its name alone means, is the newest one that is not
withdrawn. The file is taken whole or not at all. Its writers hold the lock of the model's folder.
"""

import json
import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from service.bundle.errors import BundleError
from service.bundle.files import first_error
from service.bundle.manifests.flow import MAX_VERSION, VERSION
from service.bundle.regular_file import read_bytes, read_error

NAMES = "names.json"
NAMES_FORMAT = 1
MAX_NAMES_BYTES = 2**16

ALIAS = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def check_alias(alias: str) -> str:
    """Check that a version may be called so: `latest` and numbers would say which it is.

    Raises:
        ValueError: it may not.
    """
    if not ALIAS.fullmatch(alias):
        raise ValueError(f"an alias matches {ALIAS.pattern}, {alias[:80]!r} does not")
    if alias == "latest" or alias.isdigit():
        raise ValueError(f"an alias is neither a number nor latest: {alias!r} says which it is")
    return alias


Alias = Annotated[str, AfterValidator(check_alias)]
VersionNumber = Annotated[int, Field(ge=1, le=MAX_VERSION)]


class Names(BaseModel):
    """What a model's `names.json` says.

    Args:
        aliases: versions by the names that point to them; a version may be gone.
        withdrawn: versions that the model's name alone does not mean.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format_version: Literal[1] = 1
    aliases: dict[Alias, VersionNumber] = {}
    withdrawn: frozenset[VersionNumber] = frozenset()

    def to_json(self) -> bytes:
        """The content of the file."""
        content = {
            "format_version": self.format_version,
            "aliases": dict(sorted(self.aliases.items())),
            "withdrawn": sorted(self.withdrawn),
        }
        return json.dumps(content, indent=2).encode()


class _Header(BaseModel):
    format_version: Annotated[int, Field(ge=0, lt=2**63)]


def read_names(folder: Path) -> Names:
    """Read what is said in store/<name>; nothing where there is no such file.

    Raises:
        BundleError: the file is damaged, of another format, or no regular file.
        UnreadableBundleError: it cannot be read now.
    """
    shown = f"{folder.name}/{NAMES}"
    try:
        (folder / NAMES).lstat()
    except FileNotFoundError:
        return Names()
    except OSError as error:
        raise read_error(shown, error) from None
    content = read_bytes(folder, NAMES, MAX_NAMES_BYTES, shown)
    try:
        header = _Header.model_validate_json(content)
        if header.format_version != NAMES_FORMAT:
            raise BundleError(
                f"{shown} has format_version {header.format_version}; this program reads "
                f"{NAMES_FORMAT}"
            )
        return Names.model_validate_json(content)
    except ValidationError as error:
        raise BundleError(f"{shown} is damaged: {first_error(error)}") from None


def write_names(folder: Path, names: Names) -> None:
    """Write what is said in store/<name>, whole or not at all; servers of other users may read it.

    Raises:
        OSError: it cannot be written.
    """
    partial = folder / f".{NAMES}.partial"
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(names.to_json())
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / NAMES)


def next_version(folder: Path) -> int:
    """The number of the next version in store/<name>: above all there are, and all that are named.

    A version that was deleted by hand may still be named, and a new one is not what is meant.
    """
    try:
        names = read_names(folder)
    except BundleError:
        names = Names()
    return max([*versions(folder), *names.aliases.values(), *names.withdrawn], default=0) + 1


def versions(folder: Path) -> list[int]:
    """Version numbers under store/<name>, ascending; empty where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if is_version(path.name))


def is_version(name: str) -> bool:
    """Whether a folder's name is a version's number."""
    # its digits are counted first: Python reads no number of thousands of them
    return bool(VERSION.fullmatch(name)) and len(name) < 20 and int(name) <= MAX_VERSION
