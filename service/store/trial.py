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
    decoded = _answers(manifest, engine, "decode", ("x", "log_prob"), z=z, context=context)
    outputs = ("z", "log_prob")
    _answers(manifest, engine, "encode", outputs, x=decoded["x"], context=context, u=u)
    _test_encoding(manifest, engine, outputs, u)
    if isinstance(manifest, Manifest) and manifest.layers is not None:
        # layers end where decoding does
        outputs = ("states", "log_probs")
        said = _answers(manifest, engine, "layers", outputs, z=z, context=context)
        _check_log_prob(manifest, float(said["log_probs"][0, -1]), float(decoded["log_prob"][0]))


def _try_ensemble(manifest: EnsembleManifest, engine: Engine) -> None:
    """The same of an ensemble, each member of which decodes a row."""
    k = len(manifest.members)
    z, context = manifest.example_latent.repeat(k, axis=0), manifest.example_context
    given = None if context is None else context.repeat(k, axis=0)
    decoded = _answers(
        manifest, engine, "decode", ("x", "log_prob"), z=z, member=np.arange(k), context=given
    )
    outputs = tuple(manifest.graphs["encode"].outputs)
    _answers(manifest, engine, "encode", outputs, x=decoded["x"], context=given)
    _test_encoding(manifest, engine, ("log_prob",))


def _try_detector(manifest: DetectorManifest, engine: Engine) -> None:
    x, context, outputs = manifest.example_row, manifest.example_context, ("score", "log_prob")
    _answers(manifest, engine, "score", outputs, x=x, context=context)
    if manifest.neighbours:
        _answers(manifest, engine, "neighbours", ("values",), x=x, context=context)
    if (test := manifest.self_test) is None:
        return
    row, its_context = _tested_row(manifest, test)
    said = _answers(manifest, engine, "score", outputs, x=row, context=its_context)
    _check_log_prob(manifest, float(said["log_prob"][0]), test.log_prob)
    score = float(said["score"][0])
    if not abs(score - test.score) <= SELF_TEST_SCORE * max(1.0, abs(test.score)):
        raise _failed(manifest, f"score {score} of a row whose score is {test.score}")


def _test_encoding(
    manifest: Manifest | TableManifest | EnsembleManifest,
    engine: Engine,
    outputs: tuple[str, ...],
    u: Floats | None = None,
) -> None:
    """See that the row of the self-test, if there is one, has its log_prob."""
    if (test := manifest.self_test) is None:
        return
    row, context = _tested_row(manifest, test)
    said = _answers(manifest, engine, "encode", outputs, x=row, context=context, u=u)
    _check_log_prob(manifest, float(said["log_prob"][0]), test.log_prob)


def _answers(
    manifest: AnyManifest,
    engine: Engine,
    graph: str,
    outputs: tuple[str, ...],
    **inputs: Floats | Whole | None,
) -> Arrays:
    """What a graph makes of some rows; inputs that are None are left out.

    Raises:
        BundleError: an answer is of another shape than the manifest says.
    """
    feeds = {name: values for name, values in inputs.items() if values is not None}
    rows = len(next(iter(feeds.values())))
    said = engine.try_run(graph, feeds, outputs)
    for name, values in said.items():
        expected = (rows, *manifest.tensors[graph][name].row_shape)
        if values.shape != expected:
            raise BundleError(
                f"the graph {graph} answers {name} of shape {values.shape}, where the manifest "
                f"says {expected}"
            )
    return said


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
