"""What a client sends, request by request: no server is asked."""

import json
from typing import Any

import numpy as np
import pytest

from bijecta_client import RowError, UnfamiliarValuesWarning
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
