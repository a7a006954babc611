"""A server with keys, a certificate and trusted keys, and what goes wrong with them."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from service import bundle
from tests.helpers.api_keys import add_key
from tests.helpers.certificates import make_certificate
from tests.helpers.keys import write_keys
from tests.helpers.tiny import write_tiny_bundle
from tests.monitoring.fault import Fault
from tests.monitoring.world import World, normal_rows


class GuardedWorld(World):
    """A server that answers who has a key, by TLS, of bundles that are signed.

    Args:
        folder: of its files.
    """

    scheme = "https"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder
        self.keys = folder / "keys.json"
        self._metrics_key = add_key(self.keys, "prometheus", scopes=["metrics"])
        private, public = write_keys(folder, "release")
        path = write_tiny_bundle(self.store, "tiny")
        bundle.sign(path, (path / bundle.MANIFEST).read_bytes(), private)
        self.options = {
            "device": "cpu:1",
            "poll_seconds": 1,
            "keys": self.keys,
            "trusted_keys": public,
            "tls_certificate": folder / "tls.pem",
            "tls_key": folder / "tls-key.pem",
        }
        self.renew(days=90)

    def renew(self, days: int) -> None:
        """Put another certificate in the place of the one in use."""
        made = self.folder / "made"
        made.mkdir()
        for path in make_certificate(made, "tls", days):
            path.replace(self.folder / path.name)
        made.rmdir()

    @property
    def scraped(self) -> dict[str, Any]:
        """How Prometheus is to scrape it."""
        return {
            **super().scraped,
            "scheme": "https",
            "tls_config": {"insecure_skip_verify": True},
            "authorization": {"credentials": self._metrics_key},
        }


def damaged_keys(world: GuardedWorld) -> Iterator[None]:
    good = world.keys.read_bytes()
    world.keys.write_bytes(good[:-20])
    yield
    world.keys.write_bytes(good)


def unsigned_bundle(world: GuardedWorld) -> Iterator[None]:
    world.add_version(edited=False)
    yield
    shutil.rmtree(world.store / "tiny" / "2")


def nobodys_calls(world: GuardedWorld) -> Iterator[None]:
    with world.callers(1, "log_prob", "tiny", normal_rows(1)):
        yield


def last_day(world: GuardedWorld) -> Iterator[None]:
    world.renew(days=1)
    yield


GUARDED_FAULTS = (
    Fault(
        "the file of keys is cut off while the server runs",
        ("BijectaKeysNotReadable",),
        damaged_keys,
    ),
    Fault(
        "a version that nobody has signed comes to the store of a server with --trusted-keys",
        ("BijectaBundleUnsafe",),
        unsigned_bundle,
    ),
    Fault("a caller without a key asks on and on", ("BijectaCallersRefused",), nobodys_calls),
    Fault(
        "the certificate is replaced by one of a day",
        ("BijectaCertificateExpiring", "BijectaCertificateLastDays"),
        last_day,
    ),
)
