"""What `bijecta report` does."""

import re
from argparse import Namespace
from pathlib import Path

from training.errors import ReportError
from training.files import write_atomically
from training.html_report.opening import opened
from training.html_report.page import page_of
from training.html_report.registry import SECTIONS

FOLDER = Path("reports")


def report(arguments: Namespace) -> None:
    """Write a page on a run or a bundle, whole or not at all.

    Raises:
        ReportError: there is no such model, or a file of it is damaged.
        TrainingError: likewise, or data that is not its own.
        OSError: the page cannot be written.
    """
    output: Path | None = arguments.output
    if output is not None:
        _make_room(output)
    reported = opened(arguments)
    if output is None:
        # a run's name is what its run.json says: no path
        output = FOLDER / f"{re.sub(r'[^A-Za-z0-9_-]', '_', reported.name)}.html"
        _make_room(output)
    write_atomically(output, page_of(reported, SECTIONS))
    print(output, flush=True)


def _make_room(output: Path) -> None:
    """See, before anything is drawn, that a file can lie there."""
    if output.exists() and not output.is_file():
        raise ReportError(f"{output} is no regular file: --output names the page")
    output.parent.mkdir(parents=True, exist_ok=True)
