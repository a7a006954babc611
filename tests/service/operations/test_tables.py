"""Tables of named columns: whatever their order, rows and context are those of the model."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bulk.scorers.rows import model_rows
from service.bundle import ContextColumn
from service.errors import InvalidInputError, MalformedBodyError
from service.operations import TEXT, RowFaults, context_alone, context_rows, rows_and_context
from service.tables import from_arrow, from_values
from service.types import Arrays


def model(
    columns: list[str] | None = None, shape: tuple[int, ...] = (3,), context: tuple[str, ...] = ()
) -> Any:
    """As much of a manifest as tables ask for."""
    return SimpleNamespace(
        column_names=columns,
        event_shape=list(shape),
        latent_shape=list(shape),
        dimensions=int(np.prod(shape)),
        context=[SimpleNamespace(name=name, labels=None) for name in context] or None,
    )


ROWS = np.arange(12.0).reshape(4, 3)

NAMES = st.lists(st.text(min_size=1, max_size=6), min_size=3, max_size=3, unique=True)


def table(rows: Any, names: list[str]) -> Arrays:
    return dict(zip(names, np.asarray(rows).T, strict=True))


@given(names=NAMES, order=st.permutations(range(3)))
def test_a_table_is_put_in_order_by_name(names: list[str], order: list[int]) -> None:
    shuffled = table(ROWS[:, order], [names[i] for i in order])
    rows, context = rows_and_context(shuffled, model(names), "x")
    assert np.array_equal(rows, ROWS)
    assert context is None


@pytest.mark.parametrize("pattern", ["x{}", "x_{}", "x.{}", "f{}", "{}"])
@pytest.mark.parametrize("columns", [None, ["height", "width", "depth"]])
def test_numbered_names_are_in_the_order_of_their_numbers(
    pattern: str, columns: list[str] | None
) -> None:
    names = [pattern.format(i) for i in (2, 0, 1)]
    rows, _ = rows_and_context(table(ROWS[:, [2, 0, 1]], names), model(columns), "x")
    assert np.array_equal(rows, ROWS)


def test_a_models_own_names_overrule_their_numbers() -> None:
    columns = ["x1", "x2", "x0"]
    rows, _ = rows_and_context(table(ROWS[:, [2, 0, 1]], ["x0", "x1", "x2"]), model(columns), "x")
    assert np.array_equal(rows, ROWS)


def test_a_model_without_names_takes_columns_as_they_stand() -> None:
    rows, _ = rows_and_context(table(ROWS, ["c", "a", "b"]), model(), "x")
    assert np.array_equal(rows, ROWS)
    latents, _ = rows_and_context(table(ROWS, ["c", "a", "b"]), model(["a", "b", "c"]), "z")
    assert np.array_equal(latents, ROWS)


WRONG = {
    "a missing name": (["a", "b", "x"], "lacks 'c', and has 'x', unknown"),
    "no name that is known": (["k", "l", "m"], "lacks 'a', 'b', 'c', and has 'k', 'l', 'm'"),
    "numbers from one": (["x1", "x2", "x3"], "lacks 'a', 'b', 'c'"),
    "numbers of two kinds": (["x0", "f1", "x2"], "lacks 'a', 'b', 'c'"),
    "numbers of unknown names": (["t0", "t1", "t2"], "lacks 'a', 'b', 'c'"),
    "names in capitals": (["A", "B", "C"], "the model's columns are 'a', 'b', 'c'"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_other_names_are_refused_with_what_is_missing_and_what_is_not_known(wrong: str) -> None:
    names, words = WRONG[wrong]
    with pytest.raises(InvalidInputError, match=words):
        rows_and_context(table(ROWS, names), model(["a", "b", "c"]), "x")


def test_columns_beside_those_of_the_model_are_refused() -> None:
    content = table(ROWS, ["a", "b", "c"]) | {"id": np.arange(4)}
    with pytest.raises(InvalidInputError, match="the table has 'id', unknown to this model"):
        rows_and_context(content, model(["a", "b", "c"]), "x")


def test_a_column_named_as_the_field_is_a_coordinate_or_all_rows_by_its_type() -> None:
    plain = table(ROWS[:, :2], ["y", "x"])
    for columns, expected in ((None, ROWS[:, :2]), (["x", "y"], ROWS[:, [1, 0]])):
        rows, _ = rows_and_context(plain, model(columns, (2,)), "x")
        assert np.array_equal(rows, expected)
    for shape in ((3,), (1, 3)):
        lists, _ = rows_and_context({"x": ROWS}, model(["x", "y", "z"], shape), "x")
        assert np.array_equal(lists, ROWS.reshape(4, *shape))
    one, _ = rows_and_context({"x": ROWS[:, 0]}, model(None, (1,)), "x")
    assert np.array_equal(one, ROWS[:, :1])
    with pytest.raises(InvalidInputError, match="a column 'x' of lists, and also 'y'"):
        rows_and_context({"x": ROWS, "y": ROWS[:, 0]}, model(["x", "y"], (2,)), "x")


def test_lists_are_taken_apart_as_training_took_them_apart() -> None:
    content = {"c": ROWS[:, 2], "v": ROWS[:, :2]}
    rows, _ = rows_and_context(content, model(["v.0", "v.1", "c"]), "x")
    assert np.array_equal(rows, ROWS)


def test_single_columns_become_rows_of_any_shape() -> None:
    rows, _ = rows_and_context(table(ROWS, ["0", "1", "2"]), model(None, (3, 1)), "x")
    assert rows.shape == (4, 3, 1)


def test_context_comes_by_the_names_of_its_columns() -> None:
    age, colour = np.array([1, 2, 3, 4]), np.array(["red", "blue", "red", "red"])
    content = {"colour": colour, **table(ROWS, ["c", "b", "a"]), "age": age}
    asked = model(["a", "b", "c"], context=("age", "colour"))
    rows, context = rows_and_context(content, asked, "x")
    assert np.array_equal(rows, ROWS[:, ::-1])
    assert context is not None
    assert context.tolist() == list(map(list, zip(age.tolist(), colour.tolist(), strict=True)))
    both = context_alone({"colour": colour, "age": age}, asked)
    assert both.tolist() == context.tolist()
    assert context_alone({"c": age}, model(context=("age",))).tolist() == age[:, None].tolist()
    del content["age"]
    with pytest.raises(InvalidInputError, match="the table has 'colour', and lacks 'age'"):
        rows_and_context(content, asked, "x")


def test_a_context_of_one_column_is_one_value_for_each_row() -> None:
    _, context = rows_and_context(
        {"x": ROWS, "context": np.arange(4)}, model(context=("age",)), "x"
    )
    assert context is not None
    assert context.shape == (4, 1)


def test_a_coordinate_may_be_called_context() -> None:
    content = table(ROWS, ["context", "b", "c"])
    rows, context = rows_and_context(content, model(["context", "b", "c"]), "x")
    assert np.array_equal(rows, ROWS)
    assert context is None


def test_text_and_tables_of_nothing_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="column 'b' holds text"):
        rows_and_context({"a": np.ones(2), "b": np.array(["1", "2"])}, model(None, (2,)), "x")
    with pytest.raises(MalformedBodyError, match="the table has no column"):
        rows_and_context({}, model(None, (2,)), "x")


LABELS = ["01", "02", "5411", "-", "NA", "none", "1e1"]
WORDS = [*reversed(LABELS), "1", "5412"]
FOUND = [*range(len(LABELS) - 1, -1, -1), None, None]


@pytest.mark.parametrize(("name", "others"), [("state", 0), ("context", 0), ("state", 1)])
def test_names_of_classes_are_no_numbers_in_any_format(name: str, others: int) -> None:
    state = ContextColumn(name="state", classes=list(range(len(LABELS))), labels=LABELS)
    age = ContextColumn(name="age", mean=1.0, scale=1.0, low=0.0, high=2.0)
    asked = model(["a", "b", "c"])
    asked.context, asked.dtype = [state, age][: 1 + others], "float32"
    rows = {each: np.zeros(len(WORDS)) for each in "abc"}
    ages = {"age": from_values(["1.5"] * len(WORDS))} if others else {}
    expected = [code for code in FOUND if code is not None]
    arrow = pa.chunked_array([pa.array(WORDS).dictionary_encode()])
    for words in (from_values(WORDS), from_arrow("c", arrow)["c"], np.array(WORDS, TEXT)):
        given = {name: words, **ages}
        contexts = [rows_and_context({**rows, **given}, asked, "x")[1], context_alone(given, asked)]
        if not others:  # by its place
            contexts.append(context_alone({"anything": words}, asked))
        for context in contexts:
            faults = RowFaults(len(WORDS), partial=True)
            found = context_rows(asked, context, faults)
            assert found is not None
            faults.keep_sound()
            assert faults.kept(found)[:, 0].tolist() == expected
        scored = model_rows(asked, {**rows, **given}, len(WORDS))
        assert scored.context is not None
        assert scored.context[:, 0].tolist() == expected
        assert [error.row for error in scored.faults.errors] == [7, 8]
    # numbers are codes, in lines of JSON beside names too
    mixed = model_rows(asked, {**{k: v[:2] for k, v in rows.items()}, name: from_values([1, "01"]),
                               **{k: from_values([1.5, 1.5]) for k in ages}}, 2)  # fmt: skip
    assert mixed.context is not None
    assert mixed.context[:, 0].tolist() == [1.0, 0.0]
    with pytest.raises(MalformedBodyError, match="has nulls"):
        context_alone({name: from_values(["01", None])}, asked)
