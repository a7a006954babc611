"""What a client sends, request by request: no server is asked."""

import json
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from bijecta_client import (
    RefusedError,
    RowError,
    UnfamiliarValuesWarning,
    UnreadableError,
    bodies,
    native,
    tables,
)
from bijecta_client.exchange import Answer, Ask, Patience
from bijecta_client.questions import Questions

RECORD = {"amount": 0.1}


def questions(**options: Any) -> Questions:
    defaults: dict[str, Any] = {"model": "m", "version": None, "timeout": None}
    return Questions(**defaults | {"patience": Patience(0, 0), "rows_per_request": 10} | options)


def first(steps: Any) -> Ask:
    """The first request of a question."""
    ask = next(steps)
    assert isinstance(ask, Ask)
    return ask


def answered(steps: Any, content: dict[str, Any]) -> Any:
    """The question's next request after this answer, or its result."""
    try:
        return steps.send(Answer(200, {}, json.dumps(content).encode()))
    except StopIteration as done:
        return done.value


def test_native_questions_are_json_and_want_json() -> None:
    ask = first(questions().log_prob([RECORD]))
    assert (ask.method, ask.path) == ("POST", "/log_prob")
    assert ask.headers == {"Content-Type": "application/json", "Accept": "application/json"}
    assert json.loads(ask.content) == {"model": "m", "columns": {"amount": [0.1]}}


@pytest.mark.parametrize(("name", "path"), [("a/b", "a%2Fb"), ("a?b", "a%3Fb"), ("a@b", "a%40b")])
def test_names_are_quoted_in_paths(name: str, path: str) -> None:
    x = np.zeros((1, 2))
    assert first(questions(model=name).log_prob(x)).path == f"/v2/models/{path}/infer"
    asked = first(questions().encode(x, model=name, version=3)).path
    assert asked == f"/v2/models/{path}/versions/3/infer"
    assert first(questions().decode(x, model=name)).path == f"/v2/models/{path}.decode/infer"
    assert first(questions(model=name, version=2).model()).path == f"/models/{path}?version=2"


def test_the_version_of_the_client_is_one_of_its_model() -> None:
    of_client = questions(version=4)
    assert json.loads(first(of_client.log_prob([RECORD])).content)["version"] == 4
    assert json.loads(first(of_client.log_prob([RECORD], version=5)).content)["version"] == 5
    assert "version" not in json.loads(first(of_client.log_prob([RECORD], model="o")).content)


def test_options_that_say_nothing_are_not_sent() -> None:
    x = np.zeros((1, 2))
    ask = first(questions().log_prob(x))
    assert b"dequantize" not in ask.content
    assert b"partial" not in ask.content
    assert b'"partial": true' in first(questions().log_prob(x, failures=[])).content
    assert b'"seed": 0' in first(questions().log_prob(x, seed=0)).content


def test_a_model_that_answered_by_name_is_known_to_be_a_table() -> None:
    client = questions()
    steps = client.log_prob([RECORD])
    next(steps)
    assert answered(steps, {"log_prob": [-1.0]}).tolist() == [-1.0]
    path = client.interpolate([0.0], [1.0], 2)
    next(path)
    said = {"x": [[0.0], [1.0]], "log_prob": [0.0, 0.0], "z": [[0.0], [1.0]]}
    # no manifest is asked for
    assert answered(path, said).x.dtype == np.float64


def test_a_context_of_rows_goes_with_its_rows() -> None:
    context = [[float(i)] for i in range(5)]
    steps = questions(rows_per_request=2).log_prob([RECORD] * 5, context=context)
    sent = [json.loads(first(steps).content)["context"]]
    while isinstance(ask := answered(steps, {"log_prob": [0.0] * len(sent[-1])}), Ask):
        sent.append(json.loads(ask.content)["context"])
    assert sent == [[[0.0], [1.0]], [[2.0], [3.0]], [[4.0]]]


def test_a_part_of_too_few_or_many_rows_is_no_answer() -> None:
    for count in (0, 1, 3):
        steps = questions().log_prob([RECORD] * 2)
        next(steps)
        with pytest.raises(Exception, match="expected 2 rows, got shape"):
            answered(steps, {"log_prob": [0.0] * count})


def test_all_rows_of_a_seed_go_in_one_request() -> None:
    client = questions(rows_per_request=2)
    for steps in (client.log_prob([RECORD] * 5, seed=1), client.encode([RECORD] * 5, seed=1)):
        assert len(json.loads(first(steps).content)["columns"]["amount"]) == 5
    assert len(json.loads(first(client.encode([RECORD] * 5)).content)["columns"]["amount"]) == 2


def test_rows_that_parts_name_are_counted_from_the_first_of_all() -> None:
    said = {"column": "c", "value": "X", "rows": [1], "row_count": 1}
    error = {"row": 0, "reason": "a", "detail": "b"}
    answer = {"log_prob": [None, 0.0], "unknown_classes": [said], "errors": [error]}
    failures: list[RowError] = []
    steps = questions(rows_per_request=2).log_prob([RECORD] * 4, failures=failures)
    next(steps)
    assert isinstance(answered(steps, answer), Ask)
    with pytest.warns(UnfamiliarValuesWarning) as caught:
        answered(steps, answer)
    assert [failure.row for failure in failures] == [0, 2]
    (warning,) = [w.message for w in caught if isinstance(w.message, UnfamiliarValuesWarning)]
    assert warning.values == [said | {"rows": [1, 3], "row_count": 2}]


def test_what_a_sample_is_by_default() -> None:
    said = json.loads(first(questions().sample(2, records=True)).content)
    assert said == {
        "model": "m",
        "version": None,
        "n": 2,
        "temperature": 1.0,
        "quantize": False,
        "records": True,
    }


def test_rows_that_no_list_names_have_no_answer() -> None:
    error = {"row": 0, "reason": "a", "detail": "b"}
    said = {"log_prob": [None, None, -1.0], "errors": [error], "error_count": 2}
    failures: list[RowError] = []
    steps = questions().log_prob([RECORD] * 3, failures=failures)
    next(steps)
    assert np.isnan(answered(steps, said)).tolist() == [True, True, False]
    assert [failure.reason for failure in failures] == ["a", "not-listed"]
    steps = questions().log_prob([RECORD] * 3, failures=failures)
    next(steps)
    with pytest.raises(UnreadableError, match="expected rows"):
        answered(steps, said | {"outside_support": None})


def test_latents_go_in_parts_by_values_and_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_VALUES", 6)
    ask = next(steps := questions().decode(np.zeros((5, 2)), [[0.0]] * 5, records=True))
    sizes = []
    while isinstance(ask, Ask):
        sizes.append(n := len(json.loads(ask.content)["z"]))
        ask = answered(steps, {"rows": [{}] * n, "log_prob": [0.0] * n})
    assert sizes == [2, 2, 1]


def test_a_latent_that_is_a_number_is_left_to_the_server() -> None:
    steps = questions().decode(1.0, records=True)
    assert json.loads(first(steps).content)["z"] == 1.0
    assert answered(steps, {"rows": [{}], "log_prob": [0.0]}).x == [{}]


def test_a_context_of_numbers_is_not_made_into_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    asarray = np.asarray

    def numbers_alone(values: Any, dtype: Any = None, **options: Any) -> Any:
        assert dtype is not object
        return asarray(values, dtype, **options)

    monkeypatch.setattr(np, "asarray", numbers_alone)
    assert bodies.inputs({"context": np.ones((3, 2))})["context"].shape == (3, 2)


def test_requests_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Ask("GET", "/").path = "/models"  # type: ignore[misc]


def contexts_sent(form: str, n: int, context: Any) -> list[Any]:
    """The contexts of the parts of n rows, two each."""
    x: Any = [RECORD] * n if form == "by name" else np.zeros((n, 1))
    parts: Any
    if form == "by name":
        body = native.Body({}, "columns", tables.columns_of("x", x), context)
        parts = tables.parts(body.n, body.width, 2, body.part)
        return [json.loads(part)["context"] for _, _, part in parts]
    parts = bodies.parts(bodies.inputs({"x": x, "context": context}), 2)
    return [part["context"].tolist() for _, _, part in parts]


@pytest.mark.parametrize("form", ["by name", "by arrays"])
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_a_context_means_the_same_in_one_part_and_in_many(form: str, n: int) -> None:
    starts = range(0, n, 2)
    # one row for all, of one column and of two
    for one in ("a", ["a"], [["a"]]):
        for sent in contexts_sent(form, n, one):
            assert sent in (["a"], [["a"]])
    assert contexts_sent(form, n, [["a", "b"]]) == [[["a", "b"]] for _ in starts]
    # one of each row
    each = [[f"a{i}", "b"] for i in range(n)]
    assert contexts_sent(form, n, each) == [each[start : start + 2] for start in starts]
    of_one_column = [row[0] for row in each]
    assert contexts_sent(form, n, of_one_column) == [
        of_one_column[start : start + 2] for start in starts
    ]


@pytest.mark.parametrize("form", ["by name", "by arrays"])
def test_a_context_of_other_rows_is_not_taken_for_that_of_a_part(form: str) -> None:
    # a part has two rows, too
    for wrong in ([[0.0], [1.0]], [[0.0]] * 4, [[0.0]] * 6, np.zeros((0, 1))):
        with pytest.raises(RefusedError, match=r"expected 5 rows, or one row for all, got shape"):
            contexts_sent(form, 5, wrong)
    # of a question that is whole the server says what is wrong
    assert contexts_sent(form, 2, [[0.0]] * 3) == [[[0.0]] * 3]
    # of two columns, and of one column that has five rows, and not two
    assert contexts_sent(form, 5, [0.0, 1.0]) == [[[0.0, 1.0]]] * 3


def test_a_context_for_all_does_not_make_parts_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_VALUES", 12)
    for context in ([0.0] * 6, [[0.0] * 6]):
        body = native.Body({}, "columns", {"a": [1] * 12}, context)
        assert [n for _, n, _ in tables.parts(body.n, body.width, 99, body.part)] == [12]


@pytest.mark.parametrize("kind", ["an image's", "a table's"])
def test_a_data_frame_goes_to_a_detector_as_the_rows_that_it_takes(kind: str) -> None:
    client = questions()
    # that answers are in float64 does not tell which
    client._wide["m"] = True
    frame = Frame({"a": np.array([1.0, 2.0])})
    steps = client.score(frame)
    assert first(steps).path == "/models/m"
    columns = None if kind == "an image's" else [{"name": "a"}]
    asked = answered(steps, {"kind": "detector", "columns": columns})
    assert asked.path == ("/v2/models/m.score/infer" if columns is None else "/score")
    assert first(client.score(frame)).path == asked.path


def test_a_name_that_has_come_to_mean_a_table_gets_rows_by_name() -> None:
    client, frame = questions(), Frame({"a": np.array([1.0, 2.0])})
    steps = client.log_prob(frame)
    assert first(steps).path == "/models/m"
    assert answered(steps, {"kind": "flow", "columns": ["a"]}).path == "/v2/models/m/infer"
    assert first(client.log_prob(frame)).path == "/v2/models/m/infer"
    client._wide["m"] = True  # so its answers say
    steps = client.log_prob(frame)
    assert first(steps).path == "/models/m"
    assert answered(steps, {"kind": "table"}).path == "/log_prob"


class Frame:
    """A data frame of pandas."""

    def __init__(self, columns: dict[str, Any]) -> None:
        self.columns = columns

    def to_dict(self, orient: str) -> dict[str, Any]:
        return self.columns

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.stack(list(self.columns.values()), 1)


def test_a_decision_that_is_missing_is_no_anomaly() -> None:
    steps = questions().score([RECORD] * 3, failures=[])
    next(steps)
    numbers = {"score": [1.0, None, 2.0], "p_value": [0.5, None, 0.1]}
    said = {**numbers, "anomaly": [False, None, True], "log_prob": [-1.0, None, -2.0]}
    error = {"row": 1, "reason": "a", "detail": "b"}
    found = answered(steps, said | {"errors": [error]})
    assert found.anomaly.dtype == np.bool_
    assert found.anomaly.tolist() == [False, False, True]
