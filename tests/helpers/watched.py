"""Arrays that say which thread works on how many of their numbers."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORKING_METHODS = ("all", "any", "astype", "copy", "repeat", "sum", "tobytes", "tolist")


class Diary:
    """Which threads have worked on how many numbers."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, int]] = []

    def note(self, *values: Any) -> None:
        """The largest of some arrays is worked on, here and now."""
        numbers = max((v.size for v in values if isinstance(v, np.ndarray)), default=0)
        self.entries.append((threading.get_ident(), numbers))

    def most_in(self, thread: int) -> int:
        """The most numbers that a thread has worked on in one go."""
        return max((numbers for ident, numbers in self.entries if ident == thread), default=0)

    def most_elsewhere(self, thread: int) -> int:
        """The most numbers that any other thread has."""
        return max((numbers for ident, numbers in self.entries if ident != thread), default=0)

    def noting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that notes what it makes."""

        def noted(*arguments: Any, **options: Any) -> Any:
            made = function(*arguments, **options)
            self.note(made)
            return made

        return noted


class Watched(np.ndarray[Any, Any]):
    """An array that notes every work on all of its numbers, and so do the arrays made of it."""

    diary: Diary

    def __array_finalize__(self, made_of: Any) -> None:
        """Hand the diary on."""
        if isinstance(made_of, Watched) and "diary" in made_of.__dict__:
            self.diary = made_of.diary

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """Note a ufunc."""
        self.diary.note(*inputs)
        plain = [np.asarray(one) for one in inputs]
        return watched(getattr(ufunc, method)(*plain, **_plain(options)), self.diary)

    def __array_function__(self, function: Any, _: Any, arguments: Any, options: Any) -> Any:
        """Note a function of numpy."""
        self.diary.note(*_arrays(arguments))
        made = function(*_plain(arguments), **_plain(options))
        return watched(made, self.diary) if isinstance(made, np.ndarray) else made

    def __getitem__(self, key: Any) -> Any:
        """Note what is copied: slices are not."""
        made = super().__getitem__(key)
        if isinstance(made, np.ndarray) and not np.may_share_memory(
            np.asarray(made), np.asarray(self)
        ):
            self.diary.note(made)
        return made

    def __setitem__(self, key: Any, values: Any) -> None:
        """Note what is written."""
        self.diary.note(values)
        super().__setitem__(key, values)


def watched(array: Any, diary: Diary) -> Any:
    """An array that is watched."""
    if not isinstance(array, np.ndarray):
        return array
    view = array.view(Watched)
    view.diary = diary
    return view


def _arrays(value: Any) -> list[NDArray[Any]]:
    if isinstance(value, np.ndarray):
        return [value]
    return [a for one in value for a in _arrays(one)] if isinstance(value, list | tuple) else []


def _plain(value: Any) -> Any:
    if isinstance(value, Watched):
        return np.asarray(value)
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return type(value)(map(_plain, value)) if isinstance(value, list | tuple) else value


def _noted(name: str) -> Callable[..., Any]:
    def method(self: Watched, *arguments: Any, **options: Any) -> Any:
        self.diary.note(self)
        return watched(getattr(np.asarray(self), name)(*arguments, **options), self.diary)

    return method


for _name in WORKING_METHODS:
    setattr(Watched, _name, _noted(_name))
