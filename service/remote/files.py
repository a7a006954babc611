"""The files of a store elsewhere, by fsspec: listing them and fetching them, within bounds."""

import errno
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.bundle import MANIFEST, NAME, NAMES, BundleError, is_version, printable
from service.remote.address import CREDENTIALS, EXTRAS, Address

MAX_MODELS = 10_000
MAX_BUNDLES = 10_000
"""As many as a store's folder may have."""
MAX_FILES = 64
"""Of a version; the manifest lists no more."""

# Seconds until a connection, or the next bytes of it, are given up.
CONNECT_SECONDS, READ_SECONDS = 10, 20

# Errors of the disk that is written to.
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

# What says that a file is another one, where a store has it.
MARKS = (
    *("size", "ETag", "etag", "md5Hash", "content_md5", "generation", "blob_id", "mtime"),
    *("created", "LastModified", "last_modified", "ino"),
)

OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {
        "config_kwargs": {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
            "retries": {"total_max_attempts": 2, "mode": "standard"},
        }
    },
    "gs": {"requests_timeout": READ_SECONDS},
}
"""What fsspec's file systems are made with."""


class RemoteError(Exception):
    """A store elsewhere that cannot be read; the text holds no secret.

    Args:
        text: what happened.
        lasts: whether it does not pass by itself: rights, a name, a package that is missing.
    """

    def __init__(self, text: str, *, lasts: bool = False) -> None:
        super().__init__(text)
        self.lasts = lasts


@dataclass(frozen=True)
class Listed:
    """A version as a listing has it.

    Args:
        mark: other where any of its files is another.
        sizes: bytes of its files by name; None where the store tells none.
    """

    mark: str
    sizes: Mapping[str, int] | None


@dataclass(frozen=True)
class Listing:
    """What a store elsewhere holds.

    Args:
        versions: with a manifest, by name and number.
        names: marks of the files of names, by model.
        skipped: what is passed over, and why.
    """

    versions: dict[tuple[str, int], Listed]
    names: dict[str, str]
    skipped: dict[str, str]


class RemoteFiles:
    """A store elsewhere, as a tree of files.

    Args:
        address: where it is.
        filesystem: of fsspec; None for the one of the address.

    Raises:
        RemoteError: what reads such stores is not installed, or finds no credentials.
    """

    def __init__(self, address: Address, filesystem: Any = None) -> None:
        self.address = address
        with self._said():
            self._files = filesystem or _open(address.scheme)

    def listing(self, beat: Callable[[], None] = lambda: None) -> Listing:
        """Everything in the store, by as few requests as its kind allows.

        Args:
            beat: called now and then.

        Raises:
            RemoteError: it cannot be listed.
        """
        listing = Listing({}, {}, {})
        with self._said():
            self._files.invalidate_cache()
            top = self._folders(self.address.root)
            if len(top) > MAX_MODELS:
                raise RemoteError(f"it has more than {MAX_MODELS} folders")
            for name in sorted(top):
                beat()
                if not NAME.fullmatch(name):
                    listing.skipped[name] = f"names match {NAME.pattern}"
                    continue
                self._add_model(name, listing)
        return listing

    def fetch(self, path: str, to: Path, most: int, beat: Callable[[], None]) -> None:
        """Copy a file of the store.

        Args:
            path: below the root.
            to: the file to write.
            most: bytes that it may have.
            beat: called with each piece.

        Raises:
            FileNotFoundError: there is none.
            BundleError: it has more bytes.
            RemoteError: it cannot be read.
            OSError: it cannot be written.
        """
        from fsspec.callbacks import Callback

        class Counting(Callback):  # type: ignore[misc]
            def relative_update(self, inc: int = 1) -> None:
                self.value += inc
                check_bytes(self.value)
                beat()

        def check_bytes(size: int) -> None:
            if size > most:
                raise BundleError(f"{path} has more than {most} bytes")

        with self._said(path):
            self._files.get_file(self.address.url(path), str(to), callback=Counting())
            check_bytes(to.stat().st_size)  # not every kind of store counts

    def put(self, path: str, source: Path) -> None:
        """Write a file of the store.

        Args:
            path: below the root.
            source: the file to copy.

        Raises:
            RemoteError: it cannot be written.
        """
        with self._said(path, "written"):
            url = self.address.url(path)
            if self.address.scheme == "file":
                self._files.makedirs(url.rpartition("/")[0], exist_ok=True)
            self._files.put_file(str(source), url)

    def _folders(self, path: str) -> list[str]:
        """The names of the folders in a folder; none where there is no such folder."""
        try:
            found = self._files.ls(path, detail=True)
        except FileNotFoundError:
            if self.address.root.count("/") == 0 or self.address.scheme == "file":
                raise  # a bucket, and no prefix
            bucket = self.address.root.partition("/")[0]
            self._files.ls(bucket, detail=False)  # a prefix without files is an empty store
            return []
        names = (each["name"].rstrip("/") for each in found if each["type"] == "directory")
        return [name.rpartition("/")[2] for name in names]

    def _add_model(self, name: str, listing: Listing) -> None:
        files: dict[int, dict[str, Any]] = {}
        folder = f"{self.address.root}/{name}"
        for path, info in self._files.find(folder, detail=True).items():
            below = path.partition(f"{folder}/")[2]
            version, slash, file = below.partition("/")
            if below == NAMES:
                listing.names[name] = _mark(info)
            elif slash and is_version(version) and "/" not in file:
                files.setdefault(int(version), {})[file] = info
        for number, infos in files.items():
            if MANIFEST not in infos:
                continue  # it is being written, or removed
            if len(listing.versions) >= MAX_BUNDLES:
                listing.skipped[name] = f"the store has more than {MAX_BUNDLES} bundles"
                return
            if len(infos) > MAX_FILES + 2:  # the manifest, and its signature
                why = f"it has {len(infos)} files, and may have {MAX_FILES + 2}"
                listing.skipped[f"{name}/{number}"] = why
                continue
            marks = "\n".join(f"{file} {_mark(info)}" for file, info in sorted(infos.items()))
            sizes = {file: int(info["size"] or 0) for file, info in infos.items()}
            listing.versions[name, number] = Listed(marks, sizes)

    @contextmanager
    def _said(self, path: str = "", done: str = "read") -> Iterator[None]:
        """Turn whatever a library raises into words of one line without secrets."""
        try:
            yield
        except (RemoteError, BundleError, MemoryError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in OF_THE_DISK:
                raise
            if path and isinstance(error, FileNotFoundError) and done == "read":
                raise FileNotFoundError(errno.ENOENT, f"{path} is missing") from None
            raise self._translated(error, path, done) from None

    def _translated(self, error: Exception, path: str, done: str) -> RemoteError:
        where, scheme = path or "it", self.address.scheme
        # what the errors of HTTP clients have; their own text has the address
        if (status := getattr(error, "status", None)) in (401, 403):
            error = PermissionError(f"HTTP status {status}")
        if isinstance(error, ImportError):
            extra = EXTRAS.get(scheme, "https")
            return RemoteError(
                f"{scheme}:// stores need a package: pip install 'bijecta[{extra}]'", lasts=True
            )
        kind = type(error).__name__
        # an HTTP client writes URLs in ways of its own, with what is secret in them
        said = f"{kind}: {printable(str(error), 200)}".removesuffix(": ")
        text = kind if self.address.secrets else said
        if isinstance(error, FileNotFoundError):
            return RemoteError("there is no store at this address", lasts=True)
        if isinstance(error, PermissionError) or "credential" in type(error).__name__.lower():
            come = CREDENTIALS.get(scheme, "the address")
            return RemoteError(
                f"{where} may not be {done} ({text}): credentials come from {come}", lasts=True
            )
        return RemoteError(f"{where} cannot be {done} now: {text}")


def _open(scheme: str) -> Any:
    """The file system of a scheme, without a memory of what it has listed."""
    import fsspec  # the extras bring it

    for name in ("aiobotocore", "botocore", "gcsfs", "azure", "fsspec"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is raised
    options = OPTIONS.get(scheme, {})
    if scheme in ("http", "https"):
        import aiohttp

        timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
        options = {"client_kwargs": {"timeout": timeout, "trust_env": True}}
    return fsspec.filesystem(scheme, use_listings_cache=False, skip_instance_cache=True, **options)


def _mark(info: Mapping[str, Any]) -> str:
    return " ".join(str(info[key]) for key in MARKS if info.get(key) is not None)
