"""What a client asks a server, free of I/O: arrays to requests, answers to arrays.

A new question is a method of `Questions`, and an entry in each of the two classes at the end.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from functools import wraps
from operator import index
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar
from urllib.parse import quote, urlencode

import numpy as np
from numpy.typing import ArrayLike

from bijecta_client import bodies
from bijecta_client.answers import (
    Decoded,
    Encoded,
    Float32,
    Interpolated,
    RowError,
    Sampled,
)
from bijecta_client.asking import Asking
from bijecta_client.exchange import (
    Ask,
    Patience,
    Steps,
    TimedOutError,
    UnavailableError,
    UnreachableError,
    UnreadableError,
    exchange,
)

P = ParamSpec("P")
T = TypeVar("T")

Path = Literal["linear", "normalized", "geodesic"]


class Questions(Asking):
    """The questions of a client, each as steps that end in its answer.

    Every question may name another `model` and `version` than the client's; a version that is
    left out is the one that the name means. All raise `BijectaError`, of the kind that says what
    was wrong, and `TypeError` for arrays that hold no numbers.
    """

    def log_prob(
        self,
        x: ArrayLike,
        context: ArrayLike | None = None,
        dequantize: int | None = None,
        seed: int | None = None,
        *,
        failures: list[RowError] | None = None,
        model: str | None = None,
        version: int | None = None,
    ) -> Steps[Float32]:
        """Log-density of each row in nats, −inf outside a bounded support.

        Args:
            x: N × event shape.
            context: of a conditional model: N × columns, or one row for all; numbers and classes.
            dequantize: answer the log of the mean density over so many noisy copies of whole
                numbers.
            seed: of their noise; all rows then go in one request, for they share its stream.
            failures: rows without an answer are added to it and have NaN; without it they refuse
                the question.
            model, version: others than the client's.

        Returns:
            N numbers.
        """
        options = {"dequantize": dequantize, "seed": seed}
        most = self._rows if seed is None else None
        if most is not None and dequantize is not None:
            most = most // max(dequantize, 1)  # the server's limit is one of copies
        answer = yield from self._of_rows(
            "", {"x": x, "context": context}, ("log_prob",), options, most, model, version, failures
        )
        return answer["log_prob"]

    def encode(
        self,
        x: ArrayLike,
        context: ArrayLike | None = None,
        *,
        failures: list[RowError] | None = None,
        model: str | None = None,
        version: int | None = None,
    ) -> Steps[Encoded]:
        """Latents and log-density of rows x, N × event shape; refused outside the support."""
        arrays, outputs = {"x": x, "context": context}, Encoded._fields
        answer = yield from self._of_rows(
            "", arrays, outputs, {}, self._rows, model, version, failures
        )
        return Encoded(**answer)

    def decode(
        self,
        z: ArrayLike,
        context: ArrayLike | None = None,
        *,
        failures: list[RowError] | None = None,
        model: str | None = None,
        version: int | None = None,
    ) -> Steps[Decoded]:
        """Rows and log-density of latents z, N × latent shape."""
        arrays, outputs = {"z": z, "context": context}, Decoded._fields
        answer = yield from self._of_rows(
            ".decode", arrays, outputs, {}, self._rows, model, version, failures
        )
        return Decoded(**answer)

    def sample(
        self,
        n: int,
        seed: int | None = None,
        temperature: float = 1.0,
        truncation: float | None = None,
        quantize: bool = False,
        context: ArrayLike | None = None,
        *,
        model: str | None = None,
        version: int | None = None,
    ) -> Steps[Sampled]:
        """Rows drawn from the flow, with the log-density of each.

        They come in one request whatever their number, for they are the first n of their seed.

        Args:
            n: rows, as many as the server allows in a request.
            seed: the same one draws the same rows; chosen by the server where left out.
            temperature: the noise is multiplied by it.
            truncation: of a normal base: no noise beyond so many standard deviations.
            quantize: round whole-number columns; log_prob is that of the row before rounding.
            context: of a conditional model: n × columns, or one row for all.
            model, version: others than the client's.
        """
        due = self._due()
        path = yield from self._infer_path(".sample", model, version, due)
        inputs = bodies.inputs({"n": np.array([index(n)], np.int64), "context": context})
        options = {"seed": seed, "temperature": temperature, "quantize": quantize}
        options |= {"truncation": truncation}
        head, answer = yield from self._infer(path, inputs, ("x", "log_prob"), options, n, due)
        try:
            return Sampled(**answer, seed=head["parameters"]["seed"])
        except (KeyError, TypeError):
            raise UnreadableError("there is no seed in the answer", 200) from None

    def interpolate(
        self,
        start: ArrayLike,
        end: ArrayLike,
        steps: int = 10,
        path: Path = "linear",
        context: ArrayLike | None = None,
        *,
        model: str | None = None,
        version: int | None = None,
    ) -> Steps[Interpolated]:
        """Rows, log-density and latents along a path between two rows.

        Args:
            start, end: event shape each.
            steps: points on the path, both ends included.
            path: `linear`, `normalized` or `geodesic`, between the latents.
            context: of a conditional model: one row, for the whole path.
            model, version: others than the client's.
        """
        due = self._due()
        name, chosen = yield from self._target(model, version, due)
        body: dict[str, Any] = {"model": name, "version": chosen, "steps": steps, "path": path}
        body |= {"start": bodies.numbers("start", start), "end": bodies.numbers("end", end)}
        if context is not None:
            body["context"] = np.asarray(context, object).tolist()
        answer = yield from self._post("/interpolate", body, Interpolated._fields, steps, due)
        return Interpolated(**answer)

    def models(self) -> Steps[dict[str, Any]]:
        """What the server holds: `default`, `models` and `refused`."""
        return self._get("/models", self._due())

    def model(self, name: str | None = None, version: int | None = None) -> Steps[dict[str, Any]]:
        """The manifest of a model, the client's where none is named."""
        due = self._due()
        name, version = yield from self._target(name, version, due)
        query = "" if version is None else f"?{urlencode({'version': version})}"
        return (yield from self._get(f"/models/{quote(name, safe='')}{query}", due))

    def ready(self) -> Steps[bool]:
        """Whether the server would answer questions now; False where nothing is there."""
        try:
            yield from exchange(Ask("GET", "/health/ready"), Patience(0, 0.0), self._due())
        except (UnavailableError, UnreachableError, TimedOutError):
            return False
        return True


def _blocking(
    question: Callable[Concatenate[Questions, P], Steps[T]],
) -> Callable[Concatenate["BlockingQuestions", P], T]:
    """A question as a method that waits for its answer."""

    @wraps(question)
    def ask(self: "BlockingQuestions", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._finish(question(self._questions, *args, **kwargs))

    return ask


def _awaitable(
    question: Callable[Concatenate[Questions, P], Steps[T]],
) -> Callable[Concatenate["AwaitableQuestions", P], Awaitable[T]]:
    """A question as a method to be awaited."""

    @wraps(question)
    def ask(self: "AwaitableQuestions", /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        return self._finish(question(self._questions, *args, **kwargs))

    return ask


class BlockingQuestions(ABC):
    """The questions as methods that wait for their answers."""

    _questions: Questions

    @abstractmethod
    def _finish(self, steps: Steps[T]) -> T:
        """Carry out the steps of a question."""

    log_prob = _blocking(Questions.log_prob)
    encode = _blocking(Questions.encode)
    decode = _blocking(Questions.decode)
    sample = _blocking(Questions.sample)
    interpolate = _blocking(Questions.interpolate)
    models = _blocking(Questions.models)
    model = _blocking(Questions.model)
    ready = _blocking(Questions.ready)


class AwaitableQuestions(ABC):
    """The questions as methods to be awaited."""

    _questions: Questions

    @abstractmethod
    async def _finish(self, steps: Steps[T]) -> T:
        """Carry out the steps of a question."""

    log_prob = _awaitable(Questions.log_prob)
    encode = _awaitable(Questions.encode)
    decode = _awaitable(Questions.decode)
    sample = _awaitable(Questions.sample)
    interpolate = _awaitable(Questions.interpolate)
    models = _awaitable(Questions.models)
    model = _awaitable(Questions.model)
    ready = _awaitable(Questions.ready)
