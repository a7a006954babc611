"""One version of one bundle, loaded: trusted, warm, ready to answer."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from service import bundle
from service.bundle import BundleError, Manifest, PerCoordinate
from service.engine import Engine
from service.metrics import Metrics
from service.runtime import Device
from service.settings import ModelSettings
from service.types import Float32

# Nats per dimension by which a device may be off: what an export may be.
SELF_TEST = 1e-4


@dataclass(frozen=True)
class Loader:
    """What makes models of bundles.

    Args:
        device: where they run.
        limits: of batches and queues, by model.
        metrics: are told of batches and queues.
    """

    device: Device
    limits: Callable[[str], ModelSettings]
    metrics: Metrics

    def load(self, folder: Path) -> "Model":
        """Read a bundle, load its graphs, and see that they answer as they should.

        Raises:
            BundleError: it cannot be trusted.
            DeviceError: the device asked for cannot be used.
        """
        manifest = bundle.read(folder)
        engine = Engine(folder, self.device, self.metrics, self.limits(manifest.name))
        try:
            engine.warm_up(
                tuple(manifest.event_shape), manifest.example_latent, manifest.example_context
            )
            _self_test(manifest, engine)
        except BaseException:
            engine.close()
            raise
        size = sum((folder / name).stat().st_size for name in manifest.files)
        model = Model(manifest, engine, size)
        # requests that hold it finish on it; the last of them lets it go
        weakref.finalize(model, engine.close)
        return model


def _self_test(manifest: Manifest, engine: Engine) -> None:
    test = manifest.self_test
    if test is None:
        return
    x = np.array(test.x, np.float32).reshape(1, *manifest.event_shape)
    given = None if test.context is None else np.array([test.context], np.float32)
    found = float(engine.try_encode(x, given)["log_prob"][0])
    if not abs(found - test.log_prob) <= SELF_TEST * manifest.dimensions:
        raise BundleError(
            f"{manifest.name} version {manifest.version} fails its self-test on this device: "
            f"log_prob {found} of a row whose log_prob is {test.log_prob}"
        )


@dataclass(frozen=True)
class Model:
    """One loaded version of one bundle.

    Args:
        manifest: what it says of itself.
        engine: what runs it.
        size: bytes of its files.
    """

    manifest: Manifest
    engine: Engine
    size: int

    @cached_property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one data row."""
        return tuple(self.manifest.event_shape)

    @cached_property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one latent row."""
        return tuple(self.manifest.latent_shape)

    @cached_property
    def support(self) -> tuple[Float32, Float32] | None:
        """The open box (low, high) of data, each of event shape; None where every row is inside."""
        if self.manifest.support is None:
            return None
        return self._box(self.manifest.support.low), self._box(self.manifest.support.high)

    def _box(self, values: PerCoordinate) -> Float32:
        full = np.broadcast_to(np.asarray(values, np.float32), (self.manifest.dimensions,))
        return full.reshape(self.event_shape)
