"""The questions as methods of clients: those that wait for their answers, and those to be awaited.

A new question is an entry in each of the two classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from bijecta_client.exchange import Steps
from bijecta_client.questions import Questions

P = ParamSpec("P")
T = TypeVar("T")


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
    log_prob_of_members = _blocking(Questions.log_prob_of_members)
    score = _blocking(Questions.score)
    encode = _blocking(Questions.encode)
    encode_by_members = _blocking(Questions.encode_by_members)
    decode = _blocking(Questions.decode)
    layers = _blocking(Questions.layers)
    sample = _blocking(Questions.sample)
    interpolate = _blocking(Questions.interpolate)
    png = _blocking(Questions.png)
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
    log_prob_of_members = _awaitable(Questions.log_prob_of_members)
    score = _awaitable(Questions.score)
    encode = _awaitable(Questions.encode)
    encode_by_members = _awaitable(Questions.encode_by_members)
    decode = _awaitable(Questions.decode)
    layers = _awaitable(Questions.layers)
    sample = _awaitable(Questions.sample)
    interpolate = _awaitable(Questions.interpolate)
    png = _awaitable(Questions.png)
    models = _awaitable(Questions.models)
    model = _awaitable(Questions.model)
    ready = _awaitable(Questions.ready)
