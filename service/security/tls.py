"""The certificate that a server shows by itself, where no proxy does."""

import logging
import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from service.file_mark import mark_of
from service.settings import SettingsError

log = logging.getLogger(__name__)

PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)

# Tags of DER: of a version, and of times of two digits of the year and of four.
VERSION, SHORT_TIME, LONG_TIME = 0xA0, 0x17, 0x18


class TlsFiles:
    """A certificate and its key, which are read again when they change.

    Args:
        certificate: PEM file of it and of those that it stands on.
        key: PEM file of its key, which no password protects.

    Raises:
        SettingsError: they cannot be read, or do not belong together.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self._marks = mark_of(certificate), mark_of(key)
        self.context = self._loaded()
        """Of new connections."""
        self.pair = key.read_bytes(), certificate.read_bytes()
        """Key and certificate in PEM, for those that make a context of their own."""
        self.expiry = first_expiry(self.pair[1])
        """When the first of its certificates expires, in seconds since 1970."""

    def refresh(self) -> None:
        """Take up other files, both or none."""
        marks = mark_of(self._certificate), mark_of(self._key)
        if marks == self._marks:
            return
        try:
            self._loaded()  # half of a pair must not come into the context in use
            self.context.load_cert_chain(self._certificate, self._key, _no_password)
            self.pair = self._key.read_bytes(), self._certificate.read_bytes()
            self.expiry = first_expiry(self.pair[1])
        except (SettingsError, OSError) as error:
            log.error("%s; the certificate of before stays", error)
            return
        self._marks = marks
        log.info("%s has been taken up", self._certificate)

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # TLS 1.2 at least
        context.set_alpn_protocols(["http/1.1"])
        for name, path in (("tls_certificate", self._certificate), ("tls_key", self._key)):
            try:
                path.open("rb").close()
            except OSError as error:
                raise SettingsError(f"{name}: {path}: {error.strerror}") from None
        try:
            context.load_cert_chain(self._certificate, self._key, _no_password)
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"tls_certificate: {self._certificate} and {self._key} are no certificate with "
                f"its key, in PEM and without a password: {getattr(error, 'reason', error)}"
            ) from None
        return context


def first_expiry(pem: bytes) -> float | None:
    """When the first of the certificates in a file of PEM expires, in seconds since 1970.

    None where one of them does not say it, or there is none. The ssl module tells it of
    certificates of peers alone.
    """
    try:
        ders = [ssl.PEM_cert_to_DER_cert(block.decode("ascii")) for block in PEM.findall(pem)]
        return min(map(_expiry, ders))
    except ValueError:
        return None


def _expiry(der: bytes) -> float:
    """The end of the validity of a certificate in DER (RFC 5280, 4.1).

    Raises:
        ValueError: it has none.
    """
    try:
        (_, certificate), *_ = _elements(der)
        (_, signed), *_ = _elements(certificate)
        fields = [each for each in _elements(signed) if each[0] != VERSION]
        _, (tag, value) = _elements(fields[3][1])  # behind number, algorithm and issuer
    except IndexError:
        raise ValueError("it ends too early") from None
    text = value.decode("ascii")
    if tag == SHORT_TIME:
        text = f"{'19' if text >= '50' else '20'}{text}"
    elif tag != LONG_TIME:
        raise ValueError("it has no time there")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element of a sequence in DER."""
    at = 0
    while at < len(content):
        tag, size = content[at], content[at + 1]
        at += 2
        if size >= 0x80:  # so many bytes of the size follow
            at, size = at + size - 0x80, int.from_bytes(content[at : at + size - 0x80])
        yield tag, content[at : at + size]
        at += size


def _no_password() -> str:
    """OpenSSL would ask the terminal for one."""
    raise ValueError("the key takes a password")
