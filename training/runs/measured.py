"""What takes long to measure of a run is measured once, and kept with what it is of."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from service.bundle import sha256
from training.files import write_atomically
from training.runs.run import Run

MEASURED = "measured.json"


def keep(run: Run, name: str, options: Mapping[str, Any], figures: Any) -> None:
    """Write figures of a run's best weights into its folder.

    Args:
        run: it.
        name: of what was measured.
        options: what the figures depend on beside weights, data and the version of the code.
        figures: as JSON has them.
    """
    path, whole = run.folder / MEASURED, _all(run)
    whole[name] = {"of": _of(run, options), "figures": figures}
    write_atomically(path, json.dumps(whole, indent=1).encode())


def kept(run: Run, name: str, options: Mapping[str, Any]) -> Any:
    """Figures that `keep` has written of the same weights, data, options and code; None of others.

    Args:
        run: whose best weights they are of.
        name, options: as of `keep`.
    """
    entry = _all(run).get(name)
    if not isinstance(entry, dict) or entry.get("of") != _of(run, options):
        return None
    return entry.get("figures")


def kept_of(run: Run, name: str) -> Mapping[str, Any]:
    """What the figures are of that `keep` has written last; nothing where there are none."""
    entry = _all(run).get(name)
    of = entry.get("of") if isinstance(entry, dict) else None
    return of if isinstance(of, dict) else {}


def _of(run: Run, options: Mapping[str, Any]) -> dict[str, Any]:
    """What figures are of."""
    return {
        "weights": sha256(run.weights),
        "data": run.file.data_sha256,
        **{package: version(package) for package in ("bijecta", "torch")},
        **options,
    }


def _all(run: Run) -> dict[str, Any]:
    """The content of the file; nothing where it is damaged or missing."""
    try:
        content = json.loads((run.folder / MEASURED).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
