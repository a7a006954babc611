"""The certificate that a server shows by itself, where no proxy does."""

import logging
import ssl
from pathlib import Path

from service.settings import SettingsError

log = logging.getLogger(__name__)


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
        self._mark = self._mark_now()
        self.context = self._loaded()
        """Of new connections."""
        self.pair = key.read_bytes(), certificate.read_bytes()
        """Key and certificate in PEM, for those that make a context of their own."""

    def refresh(self) -> None:
        """Take up other files, both or none."""
        mark = self._mark_now()
        if mark == self._mark:
            return
        try:
            self._loaded()  # half of a pair must not come into the context in use
            self.context.load_cert_chain(self._certificate, self._key, _no_password)
            self.pair = self._key.read_bytes(), self._certificate.read_bytes()
        except (SettingsError, OSError) as error:
            log.error("%s; the certificate of before stays", error)
            return
        self._mark = mark
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

    def _mark_now(self) -> list[tuple[int, int, int] | None]:
        """What tells the files from others in their place, without reading them."""
        marks: list[tuple[int, int, int] | None] = []
        for path in (self._certificate, self._key):
            try:
                status = path.stat()
            except OSError:
                marks.append(None)
            else:
                marks.append((status.st_ino, status.st_size, status.st_mtime_ns))
        return marks


def _no_password() -> str:
    """OpenSSL would ask the terminal for one."""
    raise ValueError("the key takes a password")
