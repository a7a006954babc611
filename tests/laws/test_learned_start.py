"""Laws of learned starts: a student's guesses change how many sweeps there are, and no more."""

from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pytest
import torch

from models import zoo
from models.bijection import Compose, Inverted
from models.flow import Flow
from models.layers.autoregressive import Autoregressive, Inverse, counted_sweeps
from models.layerwise import layers_of
from models.learned_start import LearnedStart, Path
from service.graphs import check, read_graph
from tests.laws.zoo_table import randomise
from training.export.graphs import draft

D, CONTEXT = 12, 2
SOFT = [
    {"kind": "soft-logit", "low": -3, "high": 16.5, "margin": 0.01},
    {"kind": "standardize", "mean": 0.3, "scale": 1.5},
]


class Pair(NamedTuple):
    """A teacher and a student: families and their options.

    Args:
        path: how the student guesses.
        context: how many numbers rows are conditioned on.
        preprocessing: of both.
    """

    teacher: tuple[str, dict[str, Any]]
    student: tuple[str, dict[str, Any]]
    path: Path
    context: int = 0
    preprocessing: list[dict[str, Any]] = []  # noqa: RUF012 (never changed)


MASKED = {"hidden": (24, 24), "linear": True}
TOKENS = {"hidden": (8, 8), "heads": 2, "patch": 2}
PAIRS = {
    "masked": Pair(("maf", MASKED), ("iaf", MASKED), "layers", CONTEXT, SOFT),
    "masked, two for one": Pair(("maf", MASKED), ("iaf", MASKED | {"transforms": 4}), "layers"),
    "masked by draws": Pair(("maf", MASKED), ("iaf", MASKED), "draws", CONTEXT, SOFT),
    "splines by couplings": Pair(
        ("nsf-ar", {"hidden": (12,)}), ("nsf", {"hidden": (12,)}), "draws"
    ),
    "mixtures": Pair(
        ("maf-mog", {"hidden": (12,), "components": 2}),
        ("iaf", {"hidden": (12,)}),
        "draws",
        CONTEXT,
    ),
    "transformer": Pair(
        ("transformer", TOKENS), ("parallel-transformer", TOKENS), "layers", CONTEXT, SOFT
    ),
    "transformer by another family": Pair(
        ("transformer", TOKENS | {"univariate": "spline"}), ("iaf", MASKED), "draws"
    ),
    "wavenet": Pair(
        ("wavenet", {"hidden": (8, 8)}), ("parallel-wavenet", {"hidden": (8, 8)}), "layers", CONTEXT
    ),
}
FAST = ("masked", "masked by draws", "wavenet")
every_pair = pytest.mark.parametrize("name", PAIRS)
some_pairs = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] * (name not in FAST)) for name in PAIRS]
)


def flows_of(name: str) -> tuple[Flow, Flow]:
    """A teacher and a student with any weights."""
    pair, flows = PAIRS[name], []
    columns = [{"mean": 0.2, "scale": 1.5}] * pair.context
    torch.manual_seed(0)
    for family, options in (pair.teacher, pair.student):
        flow = zoo.build(
            family,
            (D,),
            context={"columns": columns} if columns else None,
            preprocessing=pair.preprocessing,
            options={"transforms": 2} | options,
        )
        randomise(flow, 0.2 if flow.decode_cost == "sequential" else 0.1)
        flows.append(flow.eval())
    return flows[0], flows[1]


def started(name: str, teacher: Flow, student: Flow) -> LearnedStart:
    return LearnedStart(teacher, student, len(PAIRS[name].preprocessing), PAIRS[name].path)


def set_inverse(flow: Flow, inverse: Inverse) -> None:
    for layer in flow.bijection.modules():
        if isinstance(layer, Autoregressive):
            layer.inverse = inverse


def given_to(name: str, dtype: torch.dtype, rows: int = 9) -> list[torch.Tensor]:
    torch.manual_seed(1)
    z = [torch.randn(rows, D, dtype=dtype)]
    context = PAIRS[name].context
    return z + ([torch.randn(rows, context, dtype=dtype)] if context else [])


@every_pair
@torch.no_grad()
def test_any_student_leaves_the_answer_what_it_is(name: str) -> None:
    teacher, student = (flow.double() for flow in flows_of(name))
    given = given_to(name, torch.float64)
    set_inverse(teacher, Inverse("sequential", 1))
    x, log_prob = teacher.decode(*given)
    guided = started(name, teacher, student)
    for inverse, error in (
        (Inverse("sequential", 1), 1e-10),
        (Inverse("jacobi", D), 1e-9),
        (Inverse("jacobi", 4), 1e-9),
        (Inverse("jacobi", D, 1e-5), 1e-4),
    ):
        set_inverse(teacher, inverse)
        found, found_log_prob = guided.decode(*given)
        torch.testing.assert_close(found, x, rtol=error, atol=error)
        torch.testing.assert_close(found_log_prob, log_prob, rtol=error, atol=10 * error)
    # beyond all numbers, where the guesses are none
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.fill_(torch.nan)
    set_inverse(teacher, Inverse("jacobi", D))
    torch.testing.assert_close(guided.decode(*given)[0], x, rtol=1e-9, atol=1e-9)


@some_pairs
@torch.no_grad()
def test_exported_graphs_answer_as_the_teacher_does(name: str) -> None:
    teacher, student = flows_of(name)
    drafted = draft(started(name, teacher, student), "z", "x")
    given = given_to(name, torch.float32, rows=64)
    set_inverse(teacher, Inverse("sequential", 1))
    x, log_prob = teacher.double().decode(*(values.double() for values in given))
    feed = dict(zip(("z", "context"), (values.numpy() for values in given), strict=False))
    for width in (4, D):
        content = drafted.finish(Inverse("jacobi", width, 1e-5))
        check(read_graph(content))
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        found, found_log_prob = session.run(None, feed)
        np.testing.assert_allclose(found, x, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found_log_prob, log_prob, rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("name", ["masked by draws", "transformer by another family"])
@torch.no_grad()
def test_the_sweeps_of_a_perfect_student_are_one_a_layer(name: str) -> None:
    teacher, _ = (flow.double() for flow in flows_of(name))
    set_inverse(teacher, Inverse("jacobi", D, 1e-6))
    student = Flow(
        teacher.base,
        Compose(
            [
                Inverted(Inverted(layer)) if isinstance(layer, Autoregressive) else layer
                for layer in layers_of(teacher.bijection)
            ]
        ),
        teacher.features,
    )
    guided, given = started(name, teacher, student), given_to(name, torch.float64)
    with counted_sweeps() as counts:
        student.decode(*given)
        drawn = len(counts)
        guided.decode(*given)
    of_guided = counts[2 * drawn :]
    assert drawn == len(of_guided) == 2
    assert all(int(count.sweeps.max()) == 1 for count in of_guided)
    assert all(int(count.sweeps.max()) > 1 for count in counts[:drawn])


def test_a_student_whose_layers_do_not_divide_is_refused_by_layers() -> None:
    teacher, _ = flows_of("masked")
    student = zoo.build("iaf", (D,), options={"transforms": 3, "hidden": (8,)})
    with pytest.raises(ValueError, match="do not divide"):
        LearnedStart(teacher, student, 0, "layers")
    assert LearnedStart(teacher, student, 0, "draws").path == "draws"
