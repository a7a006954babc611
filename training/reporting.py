"""What the commands print about runs and bundles."""

import sys
from collections.abc import Sequence
from pathlib import Path

from service.bundle import METHODS, DensityManifest, Fidelity, HeldOut, Manifest, Sweeps
from training.coverage import LEVELS, Coverage
from training.errors import DataError
from training.evaluate import TypedHeldOut
from training.inspection import Inspection
from training.runs import Run

# Columns that a line names.
MOST_NAMED = 5


def print_score(run: Run, score: HeldOut) -> None:
    """Print the held-out score of a run."""
    bits = (
        f", {score.bits_per_dim:.3f} ± {score.bits_per_dim_se:.3f} bits/dim"
        if score.bits_per_dim is not None
        else ""
    )
    say(
        f"{run.file.name}: {score.log_prob:.3f} ± {score.se:.3f} nats per row{bits} "
        f"on {score.rows} held-out rows"
    )
    if isinstance(score, TypedHeldOut):
        independent = score.independent
        compared = (
            f"independent columns score {independent.log_prob:.3f} ± {independent.se:.3f}, "
            f"{independent.gain:.3f} ± {independent.gain_se:.3f} less"
        )
        if independent.is_beaten:
            say(f"{run.file.name}: {compared}")
        else:
            warn(f"{run.file.name}: {compared}: it does not beat them on these rows")


def print_coverage(run: Run, coverage: Coverage) -> None:
    """Print how held-out rows lie among draws, by a test of widths and one of whole histograms."""
    name, columns = run.file.name, coverage.columns
    place = LEVELS.index(0.9)
    shares = [column.shares[place] for column in columns]
    beyond = [
        f"{column.name} {share.share:.1%}"
        for column, share in zip(columns, shares, strict=True)
        if not share.is_right
    ]
    say(
        f"{name}: widths: central 90 % intervals of {coverage.draws} draws hold "
        f"{sum(s.share for s in shares) / len(shares):.1%} of the values of {coverage.rows} "
        f"held-out rows, and of a right column {shares[0].low:.1%} to {shares[0].high:.1%}; beyond "
        f"these: {_some_of(beyond, len(columns))}"
    )
    leaving = [column.name for column in columns if not column.in_band]
    say(
        f"{name}: places and shapes: histograms of ranks among draws leave the band of a right "
        f"column in {_some_of(leaving, len(columns))}"
    )
    say(
        f"{name}: of a right model either test finds {0.05 * len(columns):.2g} columns by chance; "
        "each may find what the other misses"
    )
    if coverage.joint is not None:
        of_joint = "lie within" if coverage.joint.in_band else "leave"
        say(f"{name}: ranks of distances of whole rows {of_joint} the band of a right model")


def _some_of(names: Sequence[str], count: int) -> str:
    """How many of the columns, and which."""
    if not names:
        return f"none of {count} columns"
    more = len(names) - MOST_NAMED
    named = ", ".join(names[:MOST_NAMED]) + f" and {more} more" * (more > 0)
    return f"{len(names)} of {count} columns ({named})"


def print_fidelity(run: Run, fidelity: Fidelity) -> None:
    """Print how close a student is to its teacher."""
    by_student, by_teacher = (
        f"{kl.mean:.4f} ± {kl.se:.4f}"
        for kl in (fidelity.kl_student_teacher, fidelity.kl_teacher_student)
    )
    say(
        f"{run.file.name}: KL(student‖teacher) {by_student}, KL(teacher‖student) {by_teacher} "
        "nats per dimension; the teacher's held-out score "
        f"{fidelity.teacher_held_out.mean:.3f}; a classifier is right about "
        f"{fidelity.two_sample:.3f} of draws (teacher against teacher "
        f"{fidelity.two_sample_of_teacher:.3f})"
        + (f"; {fidelity.overflowing} draws overflow" if fidelity.overflowing else "")
    )


def say(text: str) -> None:
    """Print a line."""
    print(text, flush=True)


def warn(text: str) -> None:
    """Print a line on stderr."""
    print(text, file=sys.stderr, flush=True)


def print_exported(folder: Path, manifest: DensityManifest) -> None:
    """Print how close the graphs of a new bundle are to the model in float64."""
    differences = manifest.tolerances
    say(
        f"{folder}: log_prob within {differences.log_prob_per_dim_max:.1e} nats per dimension of "
        f"float64, z within {differences.z_relative:.1e} and x within "
        f"{differences.x_relative:.1e} of their range, in {manifest.arithmetic} arithmetic"
    )
    if (residual := manifest.residual) is not None:
        worst = "beyond all numbers" if residual.p99 is None else f"{residual.p99:.1e} of the range"
        say(
            f"{folder}: {residual.within:.1%} of {residual.rows} held-out rows come back from "
            f"their latents; 99 % are off by up to {worst}"
        )


def print_measured_rows(folder: Path, manifest: Manifest) -> None:
    """Print on how many rows a new bundle of a flow was measured."""
    rows = manifest.measured_rows
    assert rows is not None
    say(f"{folder}: compared with float64 on {rows.encode} rows, and back on {rows.decode}")
    scored, ranked = manifest.held_out.rows, manifest.calibration.rows
    if min(scored, ranked) < rows.held_out:
        say(
            f"{folder}: the score is of {scored} and the quantiles are of {ranked} of "
            f"{rows.held_out} held-out rows, drawn at random; `bijecta train` and `evaluate` keep "
            "scores of all"
        )


def print_inverses(folder: Path, manifest: Manifest) -> None:
    """Print how the graphs of a new bundle compute what is sequential."""
    for direction, inverse in manifest.inverse.items():
        times = ", ".join(f"{ms:.2f} ms for {n} rows" for n, ms in inverse.milliseconds.items())
        say(
            f"{folder}: {direction} by {METHODS[inverse.method]} blocks of {inverse.width}, "
            f"{times}; residual {inverse.residual:.1e} of the range"
        )
        sweeps = manifest.sweeps.get(direction)
        if sweeps is not None:
            until = f" by more than {inverse.tolerance:.0e}" if inverse.tolerance else ""
            say(
                f"{folder}: until no value changes{until}, half of {sweeps.rows} rows take up to "
                f"{sweeps.median:.1f} sweeps, and none more than {sweeps.max:.1f}{_guessed(sweeps)}"
            )


def _guessed(sweeps: Sweeps) -> str:
    if (guess := sweeps.guess) is None:
        return ""
    times = ", ".join(f"{ms:.2f} ms for {n} rows" for n, ms in guess.unguided.items())
    return f", from the guesses of {guess.student}; without them {times}"


def print_columns(found: Inspection) -> None:
    """Say what is modelled and what is left out, in a few lines."""
    columns = found.decision.columns
    if not columns:
        raise DataError(f"{found.path} has no column to model: `bijecta inspect` says why")
    kinds: dict[str, list[str]] = {}
    for column in columns:
        kinds.setdefault(column.kind, []).append(column.name)
    said = ", ".join(f"{len(names)} {kind}" for kind, names in kinds.items())
    say(f"{found.path.name}: {found.rows} rows; {len(columns)} columns are modelled: {said}")
    for report in found.columns:
        if report.column is None:
            say(f"column {report.name!r}: {report.what}")
    for warning in found.warnings:
        warn(f"{found.path.name}: {warning}")
