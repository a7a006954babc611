"""What `bijecta score` does, and what it prints."""

import os
import sys
import warnings
from argparse import Namespace
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from service.bundle import BundleError
from service.codecs import HAS_PYARROW, NO_PYARROW
from service.errors import os_error_text
from service.store_folder import named_folder

if TYPE_CHECKING:
    from service.bulk import Decision, Job, Outcome

SOME_SKIPPED = 3


def score_files(arguments: Namespace) -> int:
    """Score files; returns the exit code."""
    if not HAS_PYARROW:
        return _refuse(NO_PYARROW)
    from service.bulk import FORMATS, INPUT_FORMATS, BulkError, Decision, Job

    try:
        for given, formats in (
            (arguments.format, INPUT_FORMATS),
            (arguments.out_format, FORMATS),
        ):
            if given is not None and given not in formats:
                raise BulkError(f"a format is one of {', '.join(formats)}, not {given!r:.40}")
        job = Job(
            inputs=arguments.inputs,
            out=arguments.out,
            keep=[name.strip() for name in arguments.keep.split(",")] if arguments.keep else [],
            format=arguments.format,
            out_format=arguments.out_format,
            skips=arguments.on_error == "skip",
            report=arguments.report,
            overwrite=arguments.overwrite,
            restart=arguments.restart,
            is_quiet=arguments.quiet,
        )
        decision = Decision(arguments.alpha, arguments.fdr, arguments.seed, arguments.reasons)
        outcome = _run(arguments, job, decision)
    except (BulkError, BundleError) as error:
        return _refuse(str(error))
    except BrokenPipeError:  # who reads the output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _refuse(os_error_text(error))
    except KeyboardInterrupt:
        print("\nbijecta: the same command goes on where this one stopped", file=sys.stderr)
        raise
    if not arguments.quiet:
        for note in outcome.notes:
            _print(f"bijecta: warning: {note}")
        _say(arguments, outcome.rows, outcome.skipped)
    return SOME_SKIPPED if outcome.skipped else 0


def _run(arguments: Namespace, job: "Job", decision: "Decision") -> "Outcome":
    from service.bulk import BulkError, BundleScorer, by_ray, run, server_scorer

    is_url = arguments.model.startswith(("http://", "https://"))
    if is_url and arguments.engine == "ray":
        raise BulkError("--engine ray scores by a bundle, not by a server")
    if is_url:
        from bijecta_client import UnfamiliarValuesWarning

        # the command says what the data had not when it has scored all
        warnings.simplefilter("ignore", UnfamiliarValuesWarning)
        with closing(server_scorer(arguments.model, arguments.name, decision)) as server:
            return run(job, server)
    if arguments.name is not None:
        raise BulkError("--model is of a server: a bundle is named by its folder")
    folder = bundle_folder(arguments.model)
    with closing(BundleScorer(folder, arguments.device, decision)) as scorer:
        if arguments.engine == "ray":
            return run(job, scorer, by_ray(folder, arguments.device, decision, arguments.workers))
        return run(job, scorer)


def bundle_folder(text: str) -> Path:
    """The folder of a bundle: store/NAME/VERSION, or what store/NAME or store/NAME@ALIAS means.

    Raises:
        BundleError: there is none.
    """
    folder = named_folder(Path(text))
    if folder is None:
        raise BundleError(f"{text}: expected a bundle: store/NAME, or store/NAME/VERSION")
    return folder


def _say(arguments: Namespace, rows: int, skipped: int) -> None:
    line = f"{rows:,} row{'s' * (rows != 1)} scored"
    if skipped:
        report = arguments.report or f"{arguments.out}.skipped.ndjson"
        listed = "" if arguments.out == "-" and not arguments.report else f", listed in {report}"
        line += f"; {skipped:,} skipped{listed}"
    _print(line)


def _refuse(text: str) -> int:
    _print(f"bijecta: {text}")
    return 1


def _print(line: str) -> None:
    """Print a line, in the place of one that says how far the run is."""
    print(f"\r\x1b[K{line}" if sys.stderr.isatty() else line, file=sys.stderr)
