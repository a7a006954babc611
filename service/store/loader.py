"""One version of one bundle, loaded: trusted, warm, ready to answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import to_json

from service import bundle
from service.bundle import (
    AnyManifest,
    BundleError,
    PerCoordinate,
    RowSelfTest,
    SelfTest,
    TableManifest,
)
from service.engine import Engine
from service.metrics import Metrics
from service.runtime import Cancellation, Device
from service.settings import ModelSettings
from service.store.lease import LeaseCount
from service.store_folder import in_use
from service.tables import Column, Word, from_columns, to_rows
from service.types import Float32, Floats

# By how much log_prob on a device may differ from the exporter's: as much as an export may.
SELF_TEST_NATS_PER_DIM = 1e-4


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

    def load(
        self, folder: Path, cancellation: Cancellation, identity: tuple[str, int] | None = None
    ) -> "Model":
        """Read a bundle, load its graphs, and see that they answer as they should.

        Args:
            folder: store/<name>/<version>.
            cancellation: ends the load.
            identity: the name and version that it is to have, where the folder's are not they.

        Raises:
            BundleError: it cannot be trusted.
            DeviceError: the device asked for cannot be used.
            Exception: whatever else onnxruntime makes of it, or of its cancellation.
        """
        with in_use(folder):
            manifest = bundle.read(folder, cancellation.check, identity)
            limits = self.limits(manifest.name)
            engine = Engine(folder, self.device, self.metrics, limits, cancellation)
            try:
                engine.check_shapes(manifest.tensors)
                engine.warm_up(
                    tuple(manifest.event_shape),
                    manifest.example_latent,
                    manifest.example_context,
                    manifest.example_u,
                )
                _self_test(manifest, engine)
                size = sum((folder / name).stat().st_size for name in manifest.files)
            except BaseException:
                engine.close()
                raise
        return Model(manifest, engine, size)


def _self_test(manifest: AnyManifest, engine: Engine) -> None:
    test = manifest.self_test
    if test is None:
        return
    if isinstance(manifest, TableManifest):
        assert isinstance(test, RowSelfTest)
        x: Floats = _typed_row(manifest.columns, test.row)
    else:
        assert isinstance(test, SelfTest)
        x = np.array(test.x, np.float32).reshape(1, *manifest.event_shape)
    context = None if test.context is None else np.array([test.context], x.dtype)
    log_prob = float(engine.try_encode(x, context, manifest.example_u)["log_prob"][0])
    if not abs(log_prob - test.log_prob) <= SELF_TEST_NATS_PER_DIM * manifest.dimensions:
        raise BundleError(
            f"{manifest.name} version {manifest.version} fails its self-test on this device: "
            f"log_prob {log_prob} of a row whose log_prob is {test.log_prob}"
        )


def _typed_row(columns: Sequence[Column], row: Sequence[Word | None]) -> Floats:
    """A row of values of each column's own kind as the graphs take it."""
    table = from_columns({c.name: [value] for c, value in zip(columns, row, strict=True)})
    converted = to_rows(table, columns)
    if converted.faults:
        raise BundleError(f"self_test: {converted.faults[0]}")
    return converted.rows


@dataclass(frozen=True, eq=False)
class Model:
    """One loaded version of one bundle.

    Args:
        manifest: what it says of itself.
        engine: what runs it, until the last lease is released.
        size: bytes of its files.

    Attributes:
        leases: who uses it.
    """

    manifest: AnyManifest
    engine: Engine
    size: int
    leases: LeaseCount = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "leases", LeaseCount(self.engine.close))

    @cached_property
    def description(self) -> bytes:
        """The manifest and the provider that runs it, as JSON; large ones take a while to write."""
        return to_json(self.manifest.model_dump() | self._common("latent_shape", "context_shape"))

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What a list of models says of it."""
        fields = {"name", "version", "family", "event_shape", "base", "cost", "data", "held_out"}
        fields |= {"columns", "context", "kind"}
        return self.manifest.model_dump(include=fields) | self._common()

    @cached_property
    def table(self) -> TableManifest | None:
        """What the manifest says of typed columns; None of a flow."""
        return self.manifest if isinstance(self.manifest, TableManifest) else None

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

    @cached_property
    def base_box(self) -> tuple[float, float] | None:
        """The box that latents lie in; None for all of space."""
        return self.manifest.base_box

    @cached_property
    def is_bounded(self) -> bool:
        """Whether some rows have no density."""
        return self.support is not None or self.base_box is not None or self.table is not None

    @cached_property
    def dimensions(self) -> int:
        """Number of coordinates of one row."""
        return self.manifest.dimensions

    def _common(self, *more: str) -> dict[str, Any]:
        """What is said of every model, whatever its manifest leaves to be found out."""
        names = ("event_shape", "cost", *more)
        said = {name: getattr(self.manifest, name) for name in names}
        return said | {"provider": self.engine.provider}

    def _box(self, values: PerCoordinate) -> Float32:
        full = np.broadcast_to(np.asarray(values, np.float32), (self.dimensions,))
        return full.reshape(self.event_shape)
