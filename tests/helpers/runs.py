"""What a run folder holds, as tests compare it."""

import json

from training.runs.run import Run


def logged(run: Run) -> list[dict[str, float]]:
    """The lines of the log without the seconds, in which no two trainings agree."""
    lines: list[dict[str, float]] = [
        json.loads(line) for line in (run.folder / "log.jsonl").open(encoding="utf-8")
    ]
    for line in lines:
        assert line.pop("seconds") >= 0
    return lines
