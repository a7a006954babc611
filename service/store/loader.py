"""One version of one bundle, loaded: trusted, warm, ready to answer."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import to_json

from service import bundle
from service.bundle import (
    AnyManifest,
    DensityManifest,
    DetectorManifest,
    EnsembleManifest,
    Manifest,
    PerCoordinate,
    TableManifest,
    TrustedKeys,
    read_calibration,
    read_columns,
    read_hours,
)
from service.conformal import Calibration
from service.engine import Engine
from service.errors import InvalidInputError
from service.metrics import Metrics
from service.runtime import Cancellation, Device
from service.settings import ModelSettings
from service.store.lease import LeaseCount
from service.store.trial import try_graphs
from service.store_folder import in_use
from service.types import Float32
from service.watching import Watch, Watching

# Of a row of an ensemble: deviation, smallest and largest log-density of its members.
SPREAD_NUMBERS = 3


@dataclass(frozen=True)
class Loader:
    """What makes models of bundles.

    Args:
        device: where they run.
        limits: of batches and queues, by model.
        metrics: are told of batches and queues.
        watching: gives each model its watch; None for none.
        trusted: keys that bundles have to be signed with; None where they need not be.
        max_bytes: of the files of a bundle; None for no limit.
    """

    device: Device
    limits: Callable[[str], ModelSettings]
    metrics: Metrics
    watching: Watching | None = None
    trusted: TrustedKeys | None = None
    max_bytes: int | None = None

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
            manifest = bundle.read(
                folder, cancellation.check, identity, self.trusted, self.max_bytes
            )
            limits = self.limits(manifest.name)
            calibration = columns = hours = None
            if isinstance(manifest, DetectorManifest):
                calibration = read_calibration(folder, manifest)
                if self.watching is not None:
                    columns = read_columns(folder, manifest)
                    hours = read_hours(folder, manifest)

            def content(graph: str) -> bytes:
                return bundle.read_listed(
                    folder, manifest.files, f"{graph}.onnx", go_on=cancellation.check
                )

            graphs, costs = manifest.tensors, manifest.run_cost
            args = self.device, self.metrics, limits, cancellation
            engine = Engine(manifest.name, graphs, costs, content, *args)
            try:
                try_graphs(manifest, engine)
                size = sum((folder / name).stat().st_size for name in manifest.files)
                watch = None
                if self.watching is not None:
                    watch = self.watching.watch_of(manifest, calibration, columns, hours)
            except BaseException:
                engine.close()
                raise
        return Model(manifest, engine, size, calibration, watch)


@dataclass(frozen=True, eq=False)
class Model:
    """One loaded version of one bundle.

    Args:
        manifest: what it says of itself.
        engine: what runs it, until the last lease is released.
        size: bytes of its files.
        calibration: scores of normal rows; of a detector that has them.
        watch: is told of its answers; None for none.

    Attributes:
        leases: who uses it.
    """

    manifest: AnyManifest
    engine: Engine
    size: int
    calibration: Calibration | None
    watch: Watch | None
    leases: LeaseCount = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "leases", LeaseCount(self.engine.close))

    @property
    def tested_watch(self) -> Watch:
        """Its watch with a test of drift.

        Raises:
            InvalidInputError: it has none.
        """
        name = self.manifest.name
        if self.watch is None:
            raise InvalidInputError("watching is off on this server: --no-watch")
        if not self.watch.tests_drift:
            raise InvalidInputError(
                f"{name} has no calibration to test drift by: it is no detector"
            )
        return self.watch

    @cached_property
    def description(self) -> bytes:
        """The manifest and the provider that runs it, as JSON; large ones take a while to write."""
        return to_json(self.manifest.model_dump() | self._common("latent_shape", "context_shape"))

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What a list of models says of it."""
        names = ("name", "version", "family", "event_shape", "base", "cost", "data", "held_out")
        whole = dict.fromkeys((*names, "columns", "context", "kind"), True)
        said = self.manifest.model_dump(include={**whole, "distilled": {"teacher"}})
        return said | self._common()

    @cached_property
    def table(self) -> TableManifest | None:
        """What the manifest says of typed columns; None of a flow."""
        return self.manifest if isinstance(self.manifest, TableManifest) else None

    @cached_property
    def format_2(self) -> TableManifest | DetectorManifest | EnsembleManifest | None:
        """The manifest, if it is of format 2; None of a flow."""
        return self.table or self.detector or self.ensemble

    @cached_property
    def ensemble(self) -> EnsembleManifest | None:
        """What the manifest says of an ensemble; None of what is none."""
        return self.manifest if isinstance(self.manifest, EnsembleManifest) else None

    @cached_property
    def detector(self) -> DetectorManifest | None:
        """What the manifest says of a detector; None of what is none."""
        return self.manifest if isinstance(self.manifest, DetectorManifest) else None

    @cached_property
    def density(self) -> DensityManifest:
        """What the manifest says of latents, which a detector has not."""
        assert not isinstance(self.manifest, DetectorManifest)
        return self.manifest

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
        is_wide = self.table is not None or self.detector is not None
        return self.support is not None or self.base_box is not None or is_wide

    @cached_property
    def dimensions(self) -> int:
        """Number of coordinates of one row."""
        return self.manifest.dimensions

    @cached_property
    def layer_numbers(self) -> int:
        """Numbers of a row's states and of their densities; 0 where there is no graph of layers."""
        layers = self.manifest.layers if isinstance(self.manifest, Manifest) else None
        return 0 if layers is None else (1 + len(layers.names)) * (1 + self.dimensions)

    @cached_property
    def member_numbers(self) -> int:
        """Numbers that are said of the members of an ensemble for each row; 0 of what is none."""
        return 0 if self.ensemble is None else len(self.ensemble.members) + SPREAD_NUMBERS

    def _common(self, *more: str) -> dict[str, Any]:
        """What is said of every model, whatever its manifest leaves to be found out."""
        names = ("event_shape", "cost", *more)
        said = {name: getattr(self.manifest, name) for name in names}
        return said | {"provider": self.engine.provider}

    def _box(self, values: PerCoordinate) -> Float32:
        full = np.broadcast_to(np.asarray(values, np.float32), (self.dimensions,))
        return full.reshape(self.event_shape)
