"""Reading a bundle's files: regular files inside its folder, of a bounded size, and no others.

A FIFO would be waited for without end, /dev/zero read without end, and a link could lead to any
file of the machine, whose checksum a refusal then shows.
"""

import errno
import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from service.bundle.errors import BundleError, UnreadableBundleError, UnsafeBundleError, printable

MAX_FILE_BYTES = 2**31
"""Bytes of a file: ONNX files cannot have more."""

CHUNK_BYTES = 2**20

# What does not pass by itself: the folder has to change.
LASTING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO)


def place(folder: Path) -> str:
    """What messages call the folder store/<name>/<version>: no path of this machine."""
    return f"{folder.parent.name}/{folder.name}"


def read_bytes(
    folder: Path,
    name: str,
    most: int,
    shown: str | None = None,
    go_on: Callable[[], None] = lambda: None,
) -> bytes:
    """The content of a file of a bundle.

    Args:
        folder: store/<name>/<version>.
        name: of the file.
        most: bytes that it may have.
        shown: what messages call it, where that is not the folder's place and its name.
        go_on: called between pieces; raises where the content is no longer wanted.

    Raises:
        BundleError: it is missing, no regular file inside the folder, or larger.
        UnreadableBundleError: it cannot be read now.
    """
    content = io.BytesIO()  # which never holds it twice, as joining would
    for chunk in _chunks(folder, name, most, go_on, shown):
        content.write(chunk)
    return content.getvalue()


def read_listed(
    folder: Path,
    files: Mapping[str, str],
    name: str,
    most: int = MAX_FILE_BYTES,
    go_on: Callable[[], None] = lambda: None,
) -> bytes:
    """The content of a file that a manifest lists, as its checksum there has it.

    All files have been compared before any is used; whoever may write to the store may have
    replaced one since.

    Args:
        folder: store/<name>/<version>.
        files: checksums by name, of the manifest.
        name: of the file.
        most: bytes that it may have.
        go_on: see `read_bytes`.

    Raises:
        BundleError: also where it is altered.
        UnreadableBundleError: it cannot be read now.
    """
    content = read_bytes(folder, name, most, go_on=go_on)
    check_sum(folder, name, files[name], hashlib.sha256(content).hexdigest())
    return content


def check_sum(folder: Path, name: str, expected: str, actual: str) -> None:
    """See that a file of a bundle has the checksum that its manifest says.

    Raises:
        BundleError: it has another.
    """
    if actual != expected:
        raise BundleError(
            f"{place(folder)}/{name} is altered: expected sha256 {printable(expected, 64)}, "
            f"found {actual}"
        )


def check_size(folder: Path, names: Iterable[str], most: int) -> None:
    """See that some files of a bundle together have not more bytes than they may.

    Raises:
        UnsafeBundleError: they have.
        BundleError: one is missing.
        UnreadableBundleError: one cannot be looked at now.
    """
    size = 0
    for name in names:
        try:
            size += (folder / name).stat().st_size
        except FileNotFoundError:
            raise BundleError(f"{place(folder)}/{name} is missing") from None
        except OSError as error:
            raise read_error(f"{place(folder)}/{name}", error) from None
    if size > most:
        raise UnsafeBundleError(
            f"{place(folder)} has files of {size} bytes, and may have {most} (--max-bundle-mib)",
            "size",
        )


def file_sha256(folder: Path, name: str, go_on: Callable[[], None]) -> str:
    """Checksum of a file of a bundle, in hexadecimal.

    Args:
        folder: store/<name>/<version>.
        name: of the file.
        go_on: called between pieces; raises where the checksum is no longer wanted.

    Raises:
        BundleError: see `read_bytes`.
    """
    digest = hashlib.sha256()
    for chunk in _chunks(folder, name, MAX_FILE_BYTES, go_on):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(
    folder: Path, name: str, most: int, go_on: Callable[[], None], shown: str | None = None
) -> Iterator[bytes]:
    shown, path = shown or f"{place(folder)}/{name}", folder / name
    try:
        _check_is_inside(folder, path, shown)
        # looked at before it is opened, which may set a device to work, and after, as it may be
        # another file by then; not waiting for the other end of a FIFO
        _check_is_regular(path.stat(), shown, most)
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            _check_is_regular(os.fstat(descriptor), shown, most)
            total = 0
            while chunk := file.read(CHUNK_BYTES):
                total += len(chunk)
                if total > most:  # it grows, or tells no size
                    raise BundleError(f"{shown} has more than {most} bytes")
                yield chunk
                go_on()
    except FileNotFoundError:
        raise BundleError(f"{shown} is missing") from None
    except OSError as error:
        raise read_error(shown, error) from None


def read_error(shown: str, error: OSError) -> BundleError:
    """What an error of the system means for a bundle; its own text would name the path."""
    kind = BundleError if error.errno in LASTING else UnreadableBundleError
    return kind(f"{shown} cannot be read: {error.strerror or type(error).__name__}")


def _check_is_inside(folder: Path, path: Path, shown: str) -> None:
    if path.is_symlink():
        root = os.path.realpath(folder)
        if os.path.commonpath([root, os.path.realpath(path)]) != root:
            raise BundleError(f"{shown} is a link that leads out of the bundle's folder")


def _check_is_regular(status: os.stat_result, shown: str, most: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise BundleError(f"{shown} is not a regular file")
    if status.st_size > most:
        raise BundleError(f"{shown} has {status.st_size} bytes, and may have {most}")
