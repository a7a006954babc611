"""Addresses of stores elsewhere: what is one, and how it is shown without its secrets."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

EXTRAS = {
    "s3": "s3",
    "gs": "gs",
    "az": "az",
    "hf": "hf",
    **dict.fromkeys(("https", "http", "file"), "https"),
}
"""Schemes, and the extra of this distribution that reads each."""

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
EXPECTED = "a folder, s3://, gs://, az://, hf://, https:// or file://"

# Where the credentials of each kind of store are looked for, when they stand in the address.
CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_PROFILE or the machine's role",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS or the machine's account",
    "az": "AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or the machine's identity",
    "hf": "HF_TOKEN",
    "file": "the rights of its files",
}


class AddressError(Exception):
    """An address that cannot be one of a store; the text repeats no secret."""


@dataclass(frozen=True)
class Address:
    """Where a store is.

    Args:
        scheme: of `EXTRAS`, or `file`.
        root: what is before the first model's name, without a slash at the end: the bucket and a
            prefix, or for https the URL.
        query: goes behind every URL; of https.
        secrets: parts that are not to be shown.
    """

    scheme: str
    root: str
    query: str = ""
    secrets: tuple[str, ...] = ()

    def url(self, path: str) -> str:
        """Where a file of the store is.

        Args:
            path: of the file below the root, with plain names.
        """
        return f"{self.root}/{path}{'?' * bool(self.query)}{self.query}"

    def __str__(self) -> str:
        root = self.root if self.scheme in ("http", "https") else f"{self.scheme}://{self.root}"
        return self.masked(f"{root}{'?' * bool(self.query)}{self.query}")

    def masked(self, text: str) -> str:
        """A text without the secrets of this address."""
        for secret in self.secrets:
            text = text.replace(secret, "…")
        return text


def parse(text: str) -> Address | None:
    """The address of a store elsewhere, or None where a text is the path of a folder.

    Raises:
        AddressError: it is of no kind that is known, holds what it should not, or names nothing.
    """
    if not (match := SCHEME.match(text)):
        return None
    scheme = match[1].lower()
    if scheme not in EXTRAS:
        raise AddressError(f"a store is {EXPECTED}, not {scheme[:40]}://")
    try:
        parts = urlsplit(text)
        user, at, host = parts.netloc.rpartition("@")
        hostname = parts.hostname
    except ValueError:  # its text would repeat the address
        raise AddressError(f"this is no address of a store on {scheme}://") from None
    is_web = scheme in ("http", "https")
    if not is_web and (at or parts.query):
        raise AddressError(
            f"the address of a {scheme}:// store has no credentials and no query: they come from "
            f"{CREDENTIALS[scheme]}"
        )
    path = parts.path.rstrip("/")
    if parts.fragment or not text.isprintable() or {".", ".."} & set(path.split("/")):
        raise AddressError(f"the address of a {scheme}:// store has no #, no . and no .. in it")
    if not (path if scheme == "file" else host):
        raise AddressError(f"{scheme}:// names no store: expected {scheme}://WHERE/PATH")
    if scheme == "http" and hostname not in LOOPBACK:
        raise AddressError("a store over http:// may be exchanged on its way: use https://")
    if not is_web:
        return Address(scheme, f"{host}{path}")
    secrets = tuple(dict.fromkeys(s for s in (user, *user.split(":"), parts.query) if s))
    return Address(scheme, f"{scheme}://{parts.netloc}{path}", parts.query, secrets)
