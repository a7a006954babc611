"""What the graphs of a bundle are asked before they answer requests: a run, and the self-test."""

from collections.abc import Sequence

import numpy as np

from service.bundle import (
    AnyManifest,
    BundleError,
    DetectorManifest,
    EnsembleManifest,
    Manifest,
    RowSelfTest,
    SelfTest,
    TableManifest,
)
from service.engine import Engine
from service.tables import Column, Word, from_columns, to_rows
from service.types import Arrays, Floats, Whole

# By how much log_prob on a device may differ from the exporter's: as much as an export may.
SELF_TEST_NATS_PER_DIM = 1e-4
# By how much a score may, as a part of its size or, if that is larger, of 1: scores are sums of
# logarithms.
SELF_TEST_SCORE = 1e-3


def try_graphs(manifest: AnyManifest, engine: Engine) -> None:
    """Run every graph once, and see that a row has the answer that the manifest says.

    What cannot run fails now, and the first request finds the graphs ready.

    Raises:
        BundleError: an answer is of another shape, or another answer than the exporter's.
    """
    if isinstance(manifest, DetectorManifest):
        _try_detector(manifest, engine)
    elif isinstance(manifest, EnsembleManifest):
        _try_ensemble(manifest, engine)
    else:
        _try_density(manifest, engine)


def _try_density(manifest: Manifest | TableManifest, engine: Engine) -> None:
    z, context, u = manifest.example_latent, manifest.example_context, manifest.example_u
    decoded = engine.try_run("decode", _feeds(z=z, context=context), ("x", "log_prob"))
    outputs = ("z", "log_prob")
    encoded = engine.try_run("encode", _feeds(x=decoded["x"], context=context, u=u), outputs)
    shapes = (decoded["x"].shape, encoded["z"].shape, decoded["log_prob"].shape)
    event = tuple(manifest.event_shape)
    if shapes != ((1, *event), z.shape, (1,)):
        raise BundleError(
            f"the graphs' x, z and log_prob have shapes {shapes} where the manifest says event "
            f"shape {event} and latent shape {z.shape[1:]}"
        )
    if manifest.self_test is not None:
        row, its_context = _tested_row(manifest, manifest.self_test)
        said = engine.try_run("encode", _feeds(x=row, context=its_context, u=u), outputs)
        _check_log_prob(manifest, float(said["log_prob"][0]), manifest.self_test.log_prob)
    if isinstance(manifest, Manifest) and manifest.layers is not None:
        _try_layers(manifest, len(manifest.layers.names), engine, float(decoded["log_prob"][0]))


def _try_layers(manifest: Manifest, layers: int, engine: Engine, log_prob: float) -> None:
    """See that the layers end where decoding does, by the log_prob of the example latent."""
    feeds = _feeds(z=manifest.example_latent, context=manifest.example_context)
    said = engine.try_run("layers", feeds, ("states", "log_probs"))
    shapes = said["states"].shape, said["log_probs"].shape
    if shapes != ((1, layers + 1, manifest.dimensions), (1, layers + 1)):
        raise BundleError(
            f"the graph of layers answers in shapes {shapes}, where the manifest names {layers} "
            f"layers of {manifest.dimensions} numbers"
        )
    _check_log_prob(manifest, float(said["log_probs"][0, -1]), log_prob)


def _try_ensemble(manifest: EnsembleManifest, engine: Engine) -> None:
    """The same of an ensemble, each member of which decodes a row."""
    k = len(manifest.members)
    z, context = manifest.example_latent.repeat(k, axis=0), manifest.example_context
    given = None if context is None else context.repeat(k, axis=0)
    feeds = _feeds(z=z, member=np.arange(k), context=given)
    decoded = engine.try_run("decode", feeds, ("x", "log_prob"))
    outputs = tuple(manifest.graphs["encode"].outputs)
    encoded = engine.try_run("encode", _feeds(x=decoded["x"], context=given), outputs)
    for graph, answers in {"decode": decoded, "encode": encoded}.items():
        for name, values in answers.items():
            expected = (k, *manifest.tensors[graph][name].row_shape)
            if values.shape != expected:
                raise BundleError(
                    f"the graph to {graph} answers {name} of shape {values.shape}, where {expected}"
                    " is expected"
                )
    if manifest.self_test is not None:
        row, its_context = _tested_row(manifest, manifest.self_test)
        said = engine.try_run("encode", _feeds(x=row, context=its_context), ("log_prob",))
        _check_log_prob(manifest, float(said["log_prob"][0]), manifest.self_test.log_prob)


def _try_detector(manifest: DetectorManifest, engine: Engine) -> None:
    x, context = manifest.example_row, manifest.example_context
    outputs = ("score", "log_prob")
    said = engine.try_run("score", _feeds(x=x, context=context), outputs)
    shapes = {name: values.shape for name, values in said.items()}
    expected: dict[str, tuple[int, ...]] = dict.fromkeys(outputs, (1,))
    if manifest.neighbours:
        found = engine.try_run("neighbours", _feeds(x=x, context=context), ("values",))
        shapes["values"] = found["values"].shape
        expected["values"] = (*x.shape, manifest.neighbours)
    if shapes != expected:
        raise BundleError(f"the graphs answer in shapes {shapes}, where {expected} are expected")
    if manifest.self_test is not None:
        test = manifest.self_test
        row, its_context = _tested_row(manifest, test)
        said = engine.try_run("score", _feeds(x=row, context=its_context), outputs)
        _check_log_prob(manifest, float(said["log_prob"][0]), test.log_prob)
        score = float(said["score"][0])
        if not abs(score - test.score) <= SELF_TEST_SCORE * max(1.0, abs(test.score)):
            raise _failed(manifest, f"score {score} of a row whose score is {test.score}")


def _check_log_prob(manifest: AnyManifest, log_prob: float, expected: float) -> None:
    if not abs(log_prob - expected) <= SELF_TEST_NATS_PER_DIM * manifest.dimensions:
        raise _failed(manifest, f"log_prob {log_prob} of a row whose log_prob is {expected}")


def _failed(manifest: AnyManifest, what: str) -> BundleError:
    return BundleError(
        f"{manifest.name} version {manifest.version} fails its self-test on this device: {what}"
    )


def _tested_row(
    manifest: AnyManifest, test: SelfTest | RowSelfTest
) -> tuple[Floats, Floats | None]:
    """The row of a self-test and its context, as the graphs take them."""
    shape = (1, *manifest.event_shape)
    if isinstance(test, SelfTest):
        x: Floats = np.array(test.x, np.float32).reshape(shape)
    else:
        if manifest.typed is None:
            x = np.array(test.row, np.float64).reshape(shape)
        else:
            x = _typed_row(manifest.typed.named_columns, test.row)
    return x, None if test.context is None else np.array([test.context], x.dtype)


def _typed_row(columns: Sequence[Column], row: Sequence[Word | None]) -> Floats:
    """A row of values of each column's own kind as the graphs take it."""
    table = from_columns({c.name: [value] for c, value in zip(columns, row, strict=True)})
    converted = to_rows(table, columns)
    if converted.faults:
        raise BundleError(f"self_test: {converted.faults[0]}")
    return converted.rows


def _feeds(**inputs: Floats | Whole | None) -> Arrays:
    return {name: values for name, values in inputs.items() if values is not None}
