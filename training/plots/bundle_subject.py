"""A bundle that is plotted, by its graphs in onnxruntime; torch is not imported."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from service.bundle import (
    BundleError,
    DensityManifest,
    DetectorManifest,
    Manifest,
    read,
    read_identity,
    versions,
)
from service.runtime import Device
from service.store_folder import version_of_weights
from training.errors import PlotError
from training.plots.bundle_rows import read_rows
from training.plots.subject import Array, Float64, Rows, Stage, Subject, Traits

ROWS_AT_ONCE = 4096


class BundleSubject(Subject):
    """A bundle.

    Args:
        folder: store/NAME/VERSION.
        data: rows to draw it beside: a file, or the name of a source; None for none.
        picture_shape: see `Subject`.

    Raises:
        PlotError: it cannot be read or loaded, or is a detector.
    """

    def __init__(
        self, folder: Path, data: Path | None = None, picture_shape: Sequence[int] | None = None
    ) -> None:
        self.folder = folder
        try:
            manifest = read(folder, identity=read_identity(folder))
        except BundleError as error:
            raise PlotError(str(error)) from None
        if isinstance(manifest, DetectorManifest):
            raise PlotError(f"{folder} is a detector, which has no latents and draws no rows")
        self._manifest: DensityManifest = manifest
        try:
            sessions = {
                graph: Device("cpu").session((folder / f"{graph}.onnx").read_bytes())
                for graph in manifest.tensors
            }
        except Exception as error:  # onnxruntime refuses graphs in every way there is
            raise PlotError(f"{folder}: onnxruntime cannot load it: {error}") from None
        self._sessions = sessions
        self.weights_sha256 = manifest.weights_sha256
        super().__init__(_traits(manifest), picture_shape)
        self._rows = None if data is None else read_rows(manifest, self.traits, data)

    def encode(
        self, x: Array, context: Array | None = None, u: Float64 | None = None
    ) -> tuple[Float64, Float64]:
        """Rows and context → latents, and log p(x) in nats."""
        feeds = {"x": x, "context": context}
        if self.traits.columns is not None:
            feeds["u"] = np.full(x.shape, 0.5) if u is None else u
        z, log_prob = self._run("encode", ("z", "log_prob"), feeds)
        return z, log_prob

    def decode(self, z: Array, context: Array | None = None) -> tuple[Float64, Float64]:
        """Latents and context → rows, and log p(x) in nats."""
        x, log_prob = self._run("decode", ("x", "log_prob"), {"z": z, "context": context})
        return x, log_prob

    def _run(
        self, graph: str, outputs: Sequence[str], feeds: Mapping[str, Array | None]
    ) -> list[Float64]:
        tensors = self._manifest.tensors[graph]
        given = {
            name: np.ascontiguousarray(values, tensors[name].type)
            for name, values in feeds.items()
            if values is not None
        }
        session = self._sessions[graph]
        rows = len(next(iter(given.values())))
        parts = []
        for first in range(0, max(rows, 1), ROWS_AT_ONCE):
            part = {name: values[first : first + ROWS_AT_ONCE] for name, values in given.items()}
            try:
                parts.append(session.run(list(outputs), part))
            except Exception as error:  # onnxruntime has no one class of errors
                raise PlotError(f"{self.folder}: {graph}.onnx failed: {error}") from None
        return [np.concatenate(each).astype(np.float64) for each in zip(*parts, strict=True)]

    @property
    def rows(self) -> Rows:
        """The rows of `--data`."""
        if self._rows is None:
            raise PlotError(
                f"a bundle holds no rows: --data names some, such as {self._manifest.data.name}"
            )
        return self._rows

    def decode_by_layers(self, z: Array, context: Array | None) -> list[Stage]:
        """The points that each layer makes of latents in turn: the latents first, rows last."""
        layers = self._manifest.layers if isinstance(self._manifest, Manifest) else None
        if layers is None:
            raise PlotError(
                "the bundle has no graph of its layers: `bijecta export RUN --layers` makes one "
                "that has, or plot its run"
            )
        states, _ = self._run("layers", ("states", "log_probs"), {"z": z, "context": context})
        shape = (len(z), *self.traits.event_shape)
        return [
            Stage(name, states[:, i].reshape(shape)) for i, name in enumerate(["", *layers.names])
        ]

    def encode_by_layers(self, x: Array, context: Array | None) -> list[Stage]:
        """The same of rows, which their latents come back to: these first, latents last."""
        z, _ = self.encode(x, context)
        stages = self.decode_by_layers(z, context)
        names = ["", *[stage.layer for stage in reversed(stages[1:])]]
        return [
            Stage(name, stage.points) for name, stage in zip(names, reversed(stages), strict=True)
        ]

    @property
    def log(self) -> Sequence[Mapping[str, float]]:
        """A bundle has none."""
        raise PlotError("a bundle has no log of its training: plot its run")

    @cached_property
    def teacher(self) -> "BundleSubject":
        """The bundle in the same store that this one was taught by."""
        taught = self._manifest.distilled if isinstance(self._manifest, Manifest) else None
        if taught is None:
            raise PlotError("it is no student: `bijecta distill` makes one")
        parent = self.folder.parent.parent / taught.teacher
        # not by the number in the manifest, which is of when the student was exported
        version = version_of_weights(parent, taught.sha256)
        if version is None:
            has = "only other weights of it" if versions(parent) else "no model of that name"
            raise PlotError(
                f"its teacher, {taught.teacher}, is not in the same store, which has {has}: "
                "`bijecta export` of the teacher's run adds it"
            )
        return BundleSubject(parent / str(version), picture_shape=self._picture_shape)


def _traits(manifest: DensityManifest) -> Traits:
    integer = low = high = None
    if manifest.dequantization is not None:
        flags = np.zeros(manifest.dimensions, bool)
        flags[manifest.dequantization.index] = True
        integer = flags.reshape(manifest.event_shape)
        low = float(np.min(manifest.dequantization.low))
        high = float(np.max(manifest.dequantization.high))
    return Traits(
        name=manifest.name,
        family=manifest.family,
        data_name=manifest.data.name,
        event_shape=tuple(manifest.event_shape),
        latent_shape=tuple(manifest.latent_shape),
        base=manifest.base_density,
        base_parameters=manifest.base_parameters,
        dtype=manifest.dtype,
        columns=None if manifest.typed is None else manifest.columns,
        names=manifest.column_names,
        context=manifest.context or (),
        integer=integer,
        noise=manifest.data.noise,
        low=low,
        high=high,
        sound=manifest.sound,
    )
