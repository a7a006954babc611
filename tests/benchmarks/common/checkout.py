"""This checkout, and others of the repository that it is compared with."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]


def environment(checkout: Path = ROOT) -> dict[str, str]:
    """The variables of a process with a checkout's code, wherever it is started, no settings."""
    kept = {name: v for name, v in os.environ.items() if not name.startswith("BIJECTA_")}
    paths = [str(checkout)]
    if checkout == ROOT and "PYTHONPATH" in kept:  # packages beside those of this Python
        paths.append(kept["PYTHONPATH"])
    return {**kept, "PYTHONPATH": os.pathsep.join(paths)}


def commit(checkout: Path = ROOT) -> str:
    """Its commit, for people."""
    return git(checkout, "describe", "--always", "--dirty").strip()


def git(checkout: Path, *arguments: str) -> str:
    """What git says of a checkout."""
    command = ["git", "-C", str(checkout), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
