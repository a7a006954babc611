"""One load of a bundle: a thread that can be given up, and that the end of nothing waits for."""

import atexit
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

from service.runtime import Cancellation
from service.store.loader import Loader, Model

# How long the end of the process waits for loads that have been told to end, in seconds.
END_SECONDS = 2.0

_threads: set[threading.Thread] = set()


class Load:
    """A bundle that is being loaded, in a thread of its own.

    Args:
        loader: makes the model.
        folder: of the bundle.
        identity: its name and version.

    Attributes:
        result: the model, or why there is none.
    """

    def __init__(self, loader: Loader, folder: Path, identity: tuple[str, int]) -> None:
        self.result: Future[Model] = Future()
        self._cancellation = Cancellation()
        self._is_abandoned = False
        thread = threading.Thread(
            target=_load,
            args=(loader, folder, identity, self._cancellation, self.result),
            name="store-load",
            daemon=True,
        )
        _threads.add(thread)
        thread.start()

    def abandon(self) -> None:
        """Have the load end soon; a model that it makes all the same is closed."""
        self._cancellation.cancel()
        # a result that is there already has nobody else to close it
        if not self.result.cancel() and not self._is_abandoned:
            with suppress(Exception):
                self.result.result().engine.close()
        self._is_abandoned = True


def _load(
    loader: Loader,
    folder: Path,
    identity: tuple[str, int],
    cancellation: Cancellation,
    result: Future[Model],
) -> None:
    try:
        try:
            model = loader.load(folder, cancellation, identity)
        except BaseException as error:
            with suppress(Exception):  # it may have been abandoned
                result.set_exception(error)
            return
        try:
            result.set_result(model)
        except Exception:  # it has been abandoned
            model.engine.close()
    finally:
        _threads.discard(threading.current_thread())
        del result  # an error would hold this frame, and the frame the error


@atexit.register
def end_loads() -> bool:
    """Wait a little for loads that have been told to end; returns whether all have.

    onnxruntime aborts the process where one of its sessions is at work while its libraries are
    taken down.
    """
    end = time.monotonic() + END_SECONDS
    threads = tuple(_threads)
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)
