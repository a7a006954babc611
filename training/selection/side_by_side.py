"""Work that runs side by side, each part in a process of its own."""

import ctypes
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Self

import torch

from training.errors import TrainingError

_PR_SET_PDEATHSIG = 1


class SideBySide:
    """Runs functions in processes of their own, some at a time.

    The processes are forked: they have all that is in memory, and need not import torch and read
    the data again, which takes 3 s. This process must not have computed a gradient before, whose
    threads would be missing in them. Each computes with one thread. They end with this process,
    however it ends; leaving the context ends those that still run.

    Args:
        at_once: so many at a time. With one there is no process: functions run in this one.
    """

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.running: dict[Connection, tuple[int, ForkProcess]] = {}
        self.ended: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for number_and_process in self.running.values():
            process = number_and_process[1]
            process.kill()  # what it has saved is whole: files are replaced at once
            process.join()

    @property
    def is_full(self) -> bool:
        """Whether as many run as can."""
        return len(self.running) + len(self.ended) >= self.at_once

    def start(self, number: int, function: Callable[[], object]) -> None:
        """Begin to run a function, under this number."""
        if self.at_once == 1:
            function()
            self.ended.append(number)
            return
        reader, writer = multiprocessing.Pipe(duplex=False)
        context = multiprocessing.get_context("fork")
        process = context.Process(target=_run, args=(function, writer, os.getpid()))
        process.start()
        writer.close()
        self.running[reader] = number, process

    def wait(self) -> int:
        """Wait until a function has ended; returns its number.

        Raises:
            TrainingError: its process was ended from outside.
            BaseException: what the function raised.
        """
        if self.ended:
            return self.ended.pop()
        (reader, *_) = wait(list(self.running))
        assert isinstance(reader, Connection)
        number, process = self.running[reader]
        try:
            error = reader.recv()
        except EOFError:
            process.join()
            raise TrainingError(
                f"a training process was ended from outside ({_exit_of(process)}), perhaps for "
                "want of memory: the same command goes on from what was saved last"
            ) from None
        del self.running[reader]
        process.join()
        if error is not None:
            raise error
        return number


def can_fork() -> bool:
    """Whether processes can be forked safely: beside frameworks of macOS they cannot."""
    return sys.platform == "linux"


def _run(function: Callable[[], object], writer: Connection, parent: int) -> None:
    """The process of a function: run it, and send what it raised, or None."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before it could be watched
        os._exit(1)
    torch.set_num_threads(1)  # threads of the parent do not exist here
    try:
        function()
    except KeyboardInterrupt:  # of the terminal, which interrupts the parent too
        os._exit(1)
    except BaseException as error:
        error.add_note("".join(traceback.format_exception(error)))
        writer.send(error)
    else:
        writer.send(None)


def _exit_of(process: ForkProcess) -> str:
    code = process.exitcode or 0
    return f"signal {-code}" if code < 0 else f"exit status {code}"
