"""Steps whose results are kept, so that who runs out of time goes on where it was."""

import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

# A step that has ended the process so often is left out.
MOST_TRIES = 2


class OutOfTimeError(Exception):
    """The rest is for the next call."""


class Steps:
    """Results by the name of their step, in a file.

    Args:
        path: of the file.
        machine: what they were found on; results of another are forgotten.
        seconds: after which no further step begins.
    """

    def __init__(self, path: Path, machine: dict[str, str], seconds: float) -> None:
        self._path, self._end = path, time.monotonic() + seconds
        content = json.loads(path.read_text()) if path.exists() else {}
        if content.get("machine") != machine:
            content = {"machine": machine, "found": {}, "tries": {}, "seconds": {}}
        self._content: dict[str, Any] = content
        path.parent.mkdir(parents=True, exist_ok=True)

    @property
    def machine(self) -> dict[str, str]:
        """What the results were found on."""
        return dict(self._content["machine"])

    @property
    def found(self) -> dict[str, Any]:
        """Results by step; of one that failed, a dictionary with `error`."""
        return dict(self._content["found"])

    @property
    def errors(self) -> dict[str, str]:
        """What went wrong, by step."""
        return {
            name: said["error"]
            for name, said in self.found.items()
            if isinstance(said, dict) and "error" in said
        }

    def do(self, name: str, work: Callable[[], Any]) -> None:
        """Carry out a step, unless its result is known.

        Args:
            name: of the step.
            work: gives what JSON can hold; an error of it is kept as its result, and it is tried
                once more by the next call.

        Raises:
            OutOfTimeError: no time is left for it.
        """
        tries, known = self._content["tries"].get(name, 0), self._content["found"].get(name)
        failed = isinstance(known, dict) and "error" in known
        if tries >= MOST_TRIES and known is None:
            self._keep(name, {"error": "it ended the process"}, 0.0)
        if (known is not None and not failed) or tries >= MOST_TRIES:
            return
        if time.monotonic() > self._end:
            raise OutOfTimeError
        self._content["tries"][name] = tries + 1
        self._save()
        started = time.monotonic()
        try:
            result = work()
        except Exception as error:
            traceback.print_exc()
            result = {"error": f"{type(error).__name__}: {error}"[:2000]}
        self._keep(name, result, time.monotonic() - started)

    def _keep(self, name: str, result: Any, seconds: float) -> None:
        self._content["found"][name] = result
        self._content["seconds"][name] = round(seconds, 2)
        self._save()
        print(f"{name} ({seconds:.1f} s): {json.dumps(result)[:300]}", flush=True)

    def _save(self) -> None:
        # a process that ends while it writes leaves what was there
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(self._content, indent=1) + "\n")
        part.replace(self._path)
