"""Ending what onnxruntime does for nobody."""

import threading
from collections.abc import Callable

import onnxruntime

# Of a run: which CUDA graph it captures or replays.
GRAPH_ID, NO_GRAPH = "gpu_graph_id", "-1"


class CancelledLoadError(Exception):
    """A load that nobody waits for any more."""


class Cancellation:
    """Ends a load from another thread: between the pieces of a file, and within onnxruntime."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_cancelled = False
        self._ends: list[Callable[[], None]] = []

    def cancel(self) -> None:
        """End what goes on, and what begins later."""
        with self._lock:
            self._is_cancelled = True
            ends, self._ends = self._ends, []
        for end in ends:
            end()

    def check(self) -> None:
        """See that the load is still wanted.

        Raises:
            CancelledLoadError: it is not.
        """
        if self._is_cancelled:
            raise CancelledLoadError

    def watch_load(self, options: onnxruntime.SessionOptions) -> None:
        """Have sessions of these options given up once this is cancelled."""
        self._on_cancel(lambda: options.set_load_cancellation_flag(True))

    def run_options(self) -> onnxruntime.RunOptions:
        """Options of a run that ends, with an error, once this is cancelled."""
        options = onnxruntime.RunOptions()
        options.log_severity_level = 4  # that error would be a line on stderr
        options.add_run_config_entry(GRAPH_ID, NO_GRAPH)
        self._on_cancel(lambda: setattr(options, "terminate", True))
        return options

    def _on_cancel(self, end: Callable[[], None]) -> None:
        with self._lock:
            if not self._is_cancelled:
                self._ends.append(end)
                return
        end()
