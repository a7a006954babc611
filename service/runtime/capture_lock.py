"""What keeps the capture of a CUDA graph apart from everything else that uses a GPU."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class CaptureLock:
    """Many users of GPUs at a time, or one capture.

    onnxruntime captures in CUDA's global mode: while one thread captures, an allocation or a plain
    copy of any other thread of the process fails, and the capture with it.

    Used by `with`, it is held as a user.

    Args:
        patience: seconds that a capture waits for users to leave, while new ones wait for it.
    """

    def __init__(self, patience: float = 0.1) -> None:
        self._patience = patience
        self._changed = threading.Condition()
        self._users = 0
        self._is_capturing = False

    def __enter__(self) -> None:
        with self._changed:
            while self._is_capturing:
                self._changed.wait()
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._users -= 1
            if not self._users:
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Hold it alone; False where others went on using a GPU, or captured.

        A thread that holds it as a user must not ask.
        """
        is_alone = self._take()
        try:
            yield is_alone
        finally:
            if is_alone:
                self._give_back()

    def _take(self) -> bool:
        with self._changed:
            if self._is_capturing:
                return False
            self._is_capturing = True
            if self._changed.wait_for(lambda: not self._users, self._patience):
                return True
        self._give_back()
        return False

    def _give_back(self) -> None:
        with self._changed:
            self._is_capturing = False
            self._changed.notify_all()


CAPTURES = CaptureLock()
"""Of this process."""
