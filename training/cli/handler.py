"""Runs a subcommand: what it imports, when, and what becomes of its errors."""

import argparse
import importlib
import os
import sys
from collections.abc import Callable

Handler = Callable[[argparse.Namespace], int]

# What commands look at before torch is imported, which takes seconds.
_BEFORE_TORCH = {
    "train": ("training.first_look", "look"),
    "fit": ("training.inspection", "look_at_table"),
    "fit_detector": ("training.inspection", "look_at_detector_data"),
}

# The modules of the extra `plots`, which pages are made with too.
PLOTS = ("jinja2", "markupsafe", "matplotlib", "PIL")

# How torch says that the system gives it no memory.
ALLOCATION = "can't allocate memory"


def handler(name: str, module: str = "training.commands") -> Handler:
    """A handler that imports and calls a function of a module.

    Its errors become one line on stderr.
    """

    def handle(arguments: argparse.Namespace) -> int:
        from training.errors import TrainingError
        from training.memory import limit_memory

        limit_memory()
        # Threads that wait for others give their core away; read when torch is imported. Beside
        # busy processes two threads decoded 256 rows of 784 coordinates in 0.5 CPU-seconds, and in
        # 5 to 7 where they spin; one thread took 0.4.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        try:
            if name in _BEFORE_TORCH:
                first_module, first = _BEFORE_TORCH[name]
                arguments.looked_at = getattr(importlib.import_module(first_module), first)(
                    arguments
                )
            run = getattr(importlib.import_module(module), name)
            if sys.modules.get("torch"):  # which `inspect` does without
                importlib.import_module("training.scoring").use_granted_cpus()
        except ModuleNotFoundError as error:
            command = name.replace("_", "-")
            needed = (error.name or "").partition(".")[0]
            extra = "plots" if needed in PLOTS else "train"
            return _fail(
                f"`bijecta {command}` needs {needed}, which a serving install leaves out: "
                f"pip install 'bijecta[{extra}]'"
            )
        except (TrainingError, OSError) as error:
            return _fail(str(error))
        except MemoryError as error:
            return _fail(_too_large(error))
        try:
            run(arguments)
        except (TrainingError, OSError) as error:
            return _fail(str(error))
        except MemoryError as error:
            return _fail(_too_large(error))
        except RuntimeError as error:
            if ALLOCATION not in str(error):
                raise
            return _fail(_too_large(error))
        except KeyboardInterrupt:
            print(
                "\ninterrupted: "
                + (
                    "the same command begins anew"
                    if name in ("ensemble", "fit_detector", "plot", "report")
                    else "the same command goes on from what was saved last, which is every half "
                    "minute"
                ),
                file=sys.stderr,
            )
            raise
        return 0

    return handle


def _too_large(error: Exception) -> str:
    said = " ".join(str(error).split())[:200]
    return f"this takes more memory than the machine has{': ' if said else ''}{said}"


def _fail(message: str) -> int:
    print(f"bijecta: {message}", file=sys.stderr)
    return 1
