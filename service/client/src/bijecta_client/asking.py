"""How a question becomes requests, and their answers one answer; free of I/O."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bijecta_client import bodies, native, remarks, tables
from bijecta_client.answers import Numbers, RowError
from bijecta_client.errors import BijectaError, UnreadableError
from bijecta_client.exchange import (
    MALFORMED,
    Ask,
    Patience,
    Steps,
    exchange,
    json_of,
)

B = TypeVar("B")


@dataclass(frozen=True)
class Question:
    """What is asked of rows, beside the rows.

    Args:
        outputs: of each row.
        options: of the question, None for the server's own.
        most: rows of a request; None for all of them.
        model, version: others than the client's.
        failures: rows without an answer are added to it; where it is None they are refused.
    """

    outputs: Sequence[str]
    options: Mapping[str, Any]
    most: int | None
    model: str | None
    version: int | None
    failures: list[RowError] | None

    @property
    def said(self) -> dict[str, Any]:
        """The options, of which those are left out that say nothing."""
        options = {key: value for key, value in self.options.items() if value is not None}
        return options if self.failures is None else {**options, "partial": True}


class Asking:
    """What all questions of a client share.

    Args:
        model: asked where a question names none, NAME or NAME@ALIAS; None for the server's
            default, or its only one.
        version: of that model; None for the one that the name means.
        timeout: seconds of a whole question, however often it is sent; None for no limit.
        patience: how often at most a request is sent again, or for how long.
        rows_per_request: questions of more rows are sent in parts.
    """

    def __init__(
        self,
        model: str | None,
        version: int | None,
        timeout: float | None,
        patience: Patience,
        rows_per_request: int,
    ) -> None:
        self._model = model
        self._version = version
        self._timeout = timeout
        self._patience = patience
        self._rows = rows_per_request
        # by names of models: whether answers were in float64 the last time, as tables have them,
        # and whether rows may go by name
        self._wide: dict[str, bool] = {}
        self._named: dict[str, bool] = {}

    def _due(self) -> float:
        """When a question that is put now is of no more use."""
        return math.inf if self._timeout is None else monotonic() + self._timeout

    def _get(self, path: str, due: float) -> Steps[dict[str, Any]]:
        return json_of((yield from exchange(Ask("GET", path), self._patience, due)))

    def _post(self, endpoint: str, content: bytes, due: float) -> Steps[dict[str, Any]]:
        """The answer of a native endpoint, by JSON."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        ask = Ask("POST", endpoint, content, headers)
        return json_of((yield from exchange(ask, self._patience, due)))

    def _target(
        self, model: str | None, version: int | None, due: float
    ) -> Steps[tuple[str, int | None]]:
        """The model and version of a question; who names none is told by the server, once."""
        if model is not None:
            return model, version  # the client's version is one of the client's model
        if self._model is None:
            listed = yield from self._get("/models", due)
            self._model = _default(listed)
        return self._model, self._version if version is None else version

    def _manifest(self, name: str, version: int | None, due: float) -> Steps[dict[str, Any]]:
        query = "" if version is None else f"?{urlencode({'version': version})}"
        return (yield from self._get(f"/models/{quote(name, safe='')}{query}", due))

    def _is_wide(self, name: str, version: int | None, due: float) -> Steps[bool]:
        """Whether a model answers in float64, by its manifest where no answer has told yet."""
        if name not in self._wide:
            manifest = yield from self._manifest(name, version, due)
            self._wide[name] = manifest.get("kind") in ("table", "detector")
        return self._wide[name]

    def _is_table(self, name: str, version: int | None, due: float) -> Steps[bool]:
        """Whether a model takes rows by name, by its manifest where no answer has told yet."""
        if not self._wide.get(name, True):
            return False  # a flow
        if name not in self._named:
            manifest = yield from self._manifest(name, version, due)
            kind = manifest.get("kind")
            self._wide.setdefault(name, kind in ("table", "detector"))
            if kind not in ("table", "detector"):
                return False
            # detectors of images and other arrays have no columns
            self._named[name] = kind == "table" or manifest.get("columns") is not None
        return self._named[name]

    def _of_x(
        self,
        endpoint: str,
        x: tables.Named | ArrayLike,
        context: ArrayLike | None,
        question: Question,
        graph: str = "",
    ) -> Steps[dict[str, Any]]:
        """The outputs of rows x, which have names or are an array."""
        due = self._due()
        is_named = tables.is_named(x)
        if tables.is_frame(x):  # flows take the numbers of data frames, as arrays
            name, version = yield from self._target(question.model, question.version, due)
            is_named = yield from self._is_table(name, version, due)
        if is_named:
            columns = tables.columns_of("x", x)
            return (yield from self._native(endpoint, "columns", columns, context, question, due))
        inputs = bodies.inputs({"x": x, "context": context})  # type: ignore[dict-item]
        return (yield from self._of_arrays(graph, inputs, question, due))

    def _native(
        self,
        endpoint: str,
        field: str,
        rows: tables.Columns | NDArray[Any],
        context: ArrayLike | None,
        question: Question,
        due: float,
    ) -> Steps[dict[str, Any]]:
        """The outputs of rows of a table, asked for in JSON, in parts."""
        name, version = yield from self._target(question.model, question.version, due)
        head = {"model": name, "version": version, **question.said}
        body = native.Body(head, field, rows, context)

        def ask(content: bytes, n: int) -> Steps[tuple[dict[str, Any], dict[str, Any]]]:
            said = yield from self._post(endpoint, content, due)
            answer = native.arrays(said, question.outputs, np.float64)
            native.mark_outside(answer["log_prob"], said)
            answer |= remarks.reasons(said)
            bodies.check_rows(answer, n)
            self._wide[name] = self._named[name] = True
            return said, answer

        parts = tables.parts(body.n, body.width, question.most, body.part)
        return (yield from self._in_parts(parts, ask, question))

    def _of_arrays(
        self, graph: str, inputs: Mapping[str, NDArray[Any]], question: Question, due: float
    ) -> Steps[dict[str, Numbers]]:
        """The outputs of arrays, asked for in parts."""
        target = yield from self._target(question.model, question.version, due)

        def ask(
            part: Mapping[str, NDArray[Any]], n: int
        ) -> Steps[tuple[dict[str, Any], dict[str, Any]]]:
            head, answer = yield from self._infer(
                graph, target, part, question.outputs, question.said, n, due
            )
            said = head.get("parameters") or {}
            found = remarks.reasons(said)
            bodies.check_rows(found, n)
            return said, answer | found

        return (yield from self._in_parts(bodies.parts(inputs, question.most), ask, question))

    def _in_parts(
        self,
        parts: Iterable[tuple[int, int, B]],
        ask: Callable[[B, int], Steps[tuple[dict[str, Any], dict[str, Any]]]],
        question: Question,
    ) -> Steps[dict[str, Any]]:
        """The answers to parts as one.

        Args:
            parts: where each begins, its rows, and what is asked of them.
            ask: from a part and its number of rows to what the answer says of rows, and outputs.
            question: which takes the rows without an answer.
        """
        inexact: list[int] = []
        unfamiliar: list[dict[str, Any]] = []
        answers = []
        for first, n, part in parts:
            try:
                said, answer = yield from ask(part, n)
            except BijectaError as error:
                error.begins_at(first)
                raise
            answers.append(answer)
            inexact += remarks.inexact_rows(said, first)
            unfamiliar += remarks.unfamiliar(said, first)
            if question.failures is not None:
                question.failures.extend(remarks.row_errors(said, answer["log_prob"], first))
        remarks.warn(inexact, unfamiliar)
        return bodies.joined(answers)

    def _infer(
        self,
        graph: str,
        target: tuple[str, int | None],
        inputs: Mapping[str, NDArray[Any]],
        outputs: Sequence[str],
        options: Mapping[str, Any],
        n: int,
        due: float,
    ) -> Steps[tuple[dict[str, Any], dict[str, Numbers]]]:
        """One request: the head of its answer, and the outputs of n rows.

        Numbers of float64 go as such to tables, and to models that have not answered yet.
        """
        name = target[0]
        path = _infer_path(graph, *target)
        is_wide = self._wide.get(name, True)
        sent = inputs if is_wide else bodies.narrowed(inputs)
        head, values = yield from self._infer_once(path, sent, outputs, options, n, due)
        self._wide[name] = any(array.dtype == np.float64 for array in values.values())
        if not is_wide and self._wide[name] and bodies.is_narrower(sent, inputs):
            # the name meant a flow before, and means a table now: it is to have all digits
            return (yield from self._infer_once(path, inputs, outputs, options, n, due))
        return head, values

    def _infer_once(
        self,
        path: str,
        inputs: Mapping[str, NDArray[Any]],
        outputs: Sequence[str],
        options: Mapping[str, Any],
        n: int,
        due: float,
    ) -> Steps[tuple[dict[str, Any], dict[str, Numbers]]]:
        content, length = bodies.pack(inputs, outputs, options)
        headers = {"Content-Type": "application/octet-stream", bodies.LENGTH: str(length)}
        ask = Ask("POST", path, content, headers)
        answer = yield from exchange(ask, self._patience, due)
        try:
            head, arrays = bodies.unpack(answer.content, int(answer.headers[bodies.LENGTH]))
            values = {name: arrays[name] for name in outputs}
        except MALFORMED as error:
            wrong = f"the answer is not one of the Open Inference Protocol: {error!r}"
            raise UnreadableError(wrong, answer.status) from None
        bodies.check_rows(values, n)
        return head, values


def _infer_path(graph: str, name: str, version: int | None) -> str:
    chosen = "" if version is None else f"/versions/{version}"
    return f"/v2/models/{quote(name, safe='')}{graph}{chosen}/infer"


def _default(listed: Mapping[str, Any]) -> str:
    """The model that a server answers with where none is named."""
    try:
        names = [str(model["name"]) for model in listed.get("models", ())]
    except MALFORMED:
        raise UnreadableError(f"expected a list of models, got {listed!r:.80}", 200) from None
    name = listed.get("default") or (names[0] if len(names) == 1 else None)
    if name is None:
        raise BijectaError(f"say which model: one of {', '.join(names)}")
    return str(name)
