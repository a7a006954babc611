"""The reference of a costly direction by its cheap one: what the full one finds, it finds too."""

import copy
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.flow import Flow
from models.layers import Inverse, MaskedAutoregressive
from service import bundle
from service.bundle import Direction
from tests.helpers.bundles import line_flow, slug, write_bundle
from tests.laws.zoo_table import FLOWS, case
from training.data.dataset import Dataset, Split
from training.errors import ExportError
from training.export.reference import Feed, Reference, reference
from training.export.reference.reference import MIN_HELD_OUT_ROWS, REFERENCE_ROWS, STEPWISE_ROWS
from training.export.served_graph import Outputs, ServedGraph
from training.export.verify import PREVIEW_ROWS, verify
from training.scoring import row_flops

Float64 = NDArray[np.float64]
Answers = tuple[Float64, Float64]

QUICK = ("maf image", "wavenet context", "parallel wavenet context")
LONG = (
    "maf soft-logit context",
    "nsf-ar context",
    "mintnet rows context",
    "mintnet",
    "gaussianization context",
    "wavenet positional",
    "iaf",
    "parallel wavenet",
    "planar context",
    "sylvester context",
)
# Of the flows' parameters from the identity: float32 is too coarse for most, and float64 is not.
STEEP = 0.4

every_costly = pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.long) for name in LONG)]
)


class Costly(NamedTuple):
    """A flow, its costly direction, and both references."""

    flow: Flow
    direction: Direction
    full: Reference
    short: Reference


def data_of(name: str) -> Dataset:
    one = case(name, torch.float32, rows=REFERENCE_ROWS + 44)
    rows = Split(one.x.numpy(), None if one.context is None else one.context.numpy())
    shape = one.x.shape[1:]
    return Dataset(
        name="rows",
        sha256="0" * 64,
        integer=np.zeros(shape, bool),
        low=np.zeros(shape),
        high=np.ones(shape),
        train=rows,
        validation=rows,
        test=rows,
    )


@cache
def costly(name: str, scale: float = 0.15) -> Costly:
    flow, dataset = line_flow(name, scale), data_of(name)
    direction: Direction = "encode" if flow.encode_cost != "parallel" else "decode"
    with patch.object(reference, "MAX_HELD_OUT_FLOPS", 0):  # the fewest rows there may be
        full, short = (Reference(flow, dataset, short=short) for short in (False, True))
    return Costly(flow, direction, full, short)


class Wrong(ServedGraph):
    """A graph that answers as a flow, but for what is done to its answers."""

    def __init__(
        self,
        flow: Flow,
        direction: Direction,
        spoil: Callable[[Float64, Float64, Float64], Answers] | None = None,
    ) -> None:
        self._flow, self._direction, self._spoil = flow, direction, spoil
        self._threads, self.batch_rows = 1, 32
        self._answers = {}

    def batches(self, feed: Feed, size: int) -> Iterator[tuple[slice, Outputs]]:  # type: ignore[override]
        """Rows, and what this makes of them; computed together, which is quicker."""
        call = getattr(self._flow, self._direction)
        inputs = [torch.from_numpy(values).to(self._flow.like) for values in feed.values()]
        with torch.no_grad():
            value, log_prob = (each.double().numpy() for each in call(*inputs))
        if self._spoil is not None:
            value, log_prob = self._spoil(inputs[0].double().numpy(), value, log_prob)
        for start in range(0, len(value), size):
            part = slice(start, start + size)
            yield part, [value[part].astype(np.float32), log_prob[part].astype(np.float32)]


def is_refused(which: Reference, direction: Direction, graph: ServedGraph) -> bool:
    # what one graph has settled is not to help the next
    expected = copy.deepcopy(which.expected[direction])
    try:
        verify(direction, expected, graph)
    except ExportError:
        return True
    return False


# Of a flow: what is wrong with its parameters.
def a_weight_scaled(flow: Flow) -> None:
    max((p for p in flow.parameters() if p.ndim > 1), key=lambda p: p.abs().sum()).mul_(1.01)


def a_bias_shifted(flow: Flow) -> None:
    [p for name, p in flow.named_parameters() if name.endswith("bias")][-1].add_(1e-2)


def a_sign_flipped(flow: Flow) -> None:
    [p for p in flow.parameters() if p.ndim > 1][-1].neg_()


def all_in_another_format(flow: Flow) -> None:
    for parameter in flow.parameters():
        parameter.copy_(parameter.bfloat16())


# Of answers: inputs, outputs and log_prob → outputs and log_prob.
def a_row(z: Float64, x: Float64, log_prob: Float64, part: float, factor: float) -> Answers:
    far = z.reshape(len(z), -1)[:, 0] > part
    return x + factor * np.ptp(x) * far.reshape(-1, *[1] * (x.ndim - 1)), log_prob


SPOILT: dict[str, Callable[[Float64, Float64, Float64], Answers]] = {
    "a log-determinant dropped": lambda _, x, log_prob: (
        x,
        log_prob - 0.01 * x.reshape(len(x), -1)[:, 0],
    ),
    "a constant dropped": lambda _, x, log_prob: (x, log_prob + 0.001 * x[0].size),
    "some rows": lambda z, x, log_prob: a_row(z, x, log_prob, 1.0, 1e-3),
    "few rows": lambda z, x, log_prob: a_row(z, x, log_prob, 1.6, 1e-2),
    "one coordinate": lambda _, x, log_prob: (
        x + 1e-3 * np.ptp(x) * (np.arange(x[0].size) == x[0].size - 1).reshape(x.shape[1:]),
        log_prob,
    ),
    "no number in a row": lambda z, x, log_prob: (
        np.where(z == z.max(), np.nan, x) if z.shape == x.shape else x * np.nan,
        log_prob,
    ),
    "coarse answers": lambda _, x, log_prob: (np.round(x, 2), log_prob),
}
PLANTED = (a_weight_scaled, a_bias_shifted, a_sign_flipped, all_in_another_format)


@every_costly
def test_what_is_right_passes_both(name: str) -> None:
    flow, direction, full, short = costly(name)
    graph = Wrong(copy.deepcopy(flow).double(), direction)
    assert not is_refused(full, direction, graph)
    assert not is_refused(short, direction, graph)


@every_costly
@pytest.mark.parametrize("fault", SPOILT)
def test_an_error_of_answers_is_found_by_both(name: str, fault: str) -> None:
    flow, direction, full, short = costly(name)
    graph = Wrong(copy.deepcopy(flow).double(), direction, SPOILT[fault])
    assert is_refused(full, direction, graph)
    assert is_refused(short, direction, graph)


@pytest.mark.parametrize("name", [name for name in QUICK if not name.startswith("parallel")])
@pytest.mark.parametrize("wrong_log_prob", [False, True])
def test_an_error_in_one_row_that_goes_by_no_step_is_found(name: str, wrong_log_prob: bool) -> None:
    flow, direction, full, short = costly(name)
    (last,) = np.flatnonzero(short.expected[direction].is_near)[-1:]
    one = short.expected[direction].feed["z"][last].astype(np.float64)

    def spoil(z: Float64, x: Float64, log_prob: Float64) -> Answers:
        is_it = (z == one).reshape(len(z), -1).all(1)
        if wrong_log_prob:
            return x, log_prob + 2e-3 * x[0].size * is_it
        return x + 1e-3 * np.ptp(x) * is_it.reshape(-1, *[1] * (x.ndim - 1)), log_prob

    graph = Wrong(copy.deepcopy(flow).double(), direction, spoil)
    assert is_refused(full, direction, graph)
    assert is_refused(short, direction, graph)


@every_costly
@pytest.mark.parametrize("plant", PLANTED)
def test_an_error_of_parameters_is_found_by_both(name: str, plant: Callable[[Flow], None]) -> None:
    flow, direction, full, short = costly(name)
    wrong = copy.deepcopy(flow).double()
    with torch.no_grad():
        plant(wrong)
    graph = Wrong(wrong, direction)
    assert is_refused(full, direction, graph)
    assert is_refused(short, direction, graph)


@pytest.mark.parametrize("name", ["maf image", pytest.param("iaf", marks=pytest.mark.long)])
def test_a_sweep_that_stops_early_is_found_by_both(name: str) -> None:
    flow, direction, full, short = costly(name)
    wrong = copy.deepcopy(flow).double()
    for layer in wrong.modules():
        if isinstance(layer, MaskedAutoregressive):
            layer.inverse = Inverse("jacobi", len(layer.order), 0.1)
    graph = Wrong(wrong, direction)
    assert is_refused(full, direction, graph)
    assert is_refused(short, direction, graph)


@every_costly
def test_arithmetic_that_is_too_coarse_is_found_by_both(name: str) -> None:
    flow, direction, full, short = costly(name, STEEP)
    exact, coarse = (Wrong(each, direction) for each in (copy.deepcopy(flow).double(), flow))
    if not is_refused(full, direction, exact):
        assert not is_refused(short, direction, exact)
    if is_refused(full, direction, coarse):
        assert is_refused(short, direction, coarse)
    else:  # some families are never steep
        assert name not in QUICK


def test_far_answers_are_settled_and_only_these() -> None:
    flow, direction, full, short = costly("maf image", STEEP)
    expected = copy.deepcopy(short.expected[direction])
    assert expected.is_near.sum() == MIN_HELD_OUT_ROWS
    verify(direction, expected, Wrong(copy.deepcopy(flow).double(), direction))
    settled = np.flatnonzero(short.expected[direction].is_near & ~expected.is_near)
    exact, _ = short._run(direction, expected.rows(settled))
    np.testing.assert_array_equal(expected.value[settled], exact)
    scale = np.ptp(full.expected[direction].value, axis=0)
    left = np.flatnonzero(expected.is_near)
    exact, _ = short._run(direction, expected.rows(left))
    assert (np.abs(expected.value[left] - exact) / scale).max() < 2e-5


def test_rows_that_are_too_far_are_settled_early_where_they_tell_enough() -> None:
    flow, direction, _, short = costly("maf image")
    is_near = short.expected[direction].is_near

    def spoil(z: Float64, x: Float64, log_prob: Float64) -> Answers:
        return x + 1e-2 * np.ptp(x) * is_near[: len(x)].reshape(-1, 1, 1), log_prob

    graph = Wrong(copy.deepcopy(flow).double(), direction, spoil)
    expected = copy.deepcopy(short.expected[direction])
    with pytest.raises(ExportError):
        verify(direction, expected, graph)
    settled = np.flatnonzero(is_near & ~expected.is_near)
    assert settled.max() < PREVIEW_ROWS + graph.batch_rows


@pytest.mark.parametrize("name", QUICK)
def test_few_rows_go_by_steps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: dict[str, int] = {"encode": 0, "decode": 0}
    run = Reference._run

    def count(self: Reference, name: Direction, feed: Feed) -> Answers:
        rows[name] += len(next(iter(feed.values())))
        return run(self, name, feed)

    direction = costly(name).direction
    monkeypatch.setattr(Reference, "_run", count)
    Reference(line_flow(name), data_of(name), short=True)
    assert rows.pop(direction) == STEPWISE_ROWS
    assert sum(rows.values()) <= REFERENCE_ROWS + STEPWISE_ROWS


def test_only_what_takes_long_is_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, below_limit, is_short in (
        ("maf image", 0, False),
        ("maf image", 1, True),
        ("glow context", 1, False),
    ):
        flow, dataset = line_flow(name), data_of(name)
        flops = 2 * REFERENCE_ROWS * (row_flops(flow) or 0)
        assert flops > 0
        monkeypatch.setattr(reference, "MAX_STEPWISE_FLOPS", flops - below_limit)
        expected = Reference(flow, dataset).expected
        assert any(each.is_near.any() for each in expected.values()) == is_short


def test_the_products_of_a_row_are_counted() -> None:
    flow = line_flow("maf image")
    assert row_flops(flow) == 2 * sum(p.numel() for p in flow.parameters() if p.ndim > 1)
    assert all(p.requires_grad for p in flow.parameters())
    # a module of this one returns its own parameters, as those of planar flows do
    assert row_flops(line_flow("wavenet positional")) is not None


@pytest.mark.long
@pytest.mark.parametrize("name", ["iaf", "wavenet context", "parallel wavenet", "mintnet"])
def test_a_bundle_says_on_how_many_rows(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "MAX_STEPWISE_FLOPS", 0)
    write_bundle(name, tmp_path)
    manifest = bundle.read_flow(tmp_path / "store" / slug(name) / "1")
    rows = manifest.measured_rows
    assert rows is not None
    few, many = REFERENCE_ROWS, REFERENCE_ROWS + STEPWISE_ROWS
    if FLOWS[name].family in ("iaf", "parallel-wavenet"):
        assert (rows.encode, rows.decode) == (many, many)
    else:
        assert (rows.encode, rows.decode) == (few, many)
