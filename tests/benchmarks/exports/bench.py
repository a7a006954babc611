"""Exporting the runs of recipes, by the code of one checkout or another."""

import hashlib
import json
import shutil
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.common.checkout import ROOT, commit, environment, git
from tests.benchmarks.exports import process
from tests.benchmarks.exports.process import Cost, busy_process
from tests.benchmarks.exports.recipes import Entry
from tests.benchmarks.exports.rows import AFTER, WITHOUT, Busy, Row, SideName, State

# What exports depend on.
CODE = ("models", "training", "service")
PAIRS = 3


class NotMadeError(Exception):
    """A run, or what is kept of it, cannot be made."""


@dataclass(frozen=True)
class Side:
    """A checkout that exports.

    Args:
        name: which of the two.
        checkout: where it is.
    """

    name: SideName
    checkout: Path

    @property
    def code(self) -> str:
        """A checksum of what exports depend on."""
        said = [git(self.checkout, "rev-parse", f"HEAD:{folder}") for folder in CODE]
        said.append(git(self.checkout, "diff", "HEAD", "--", *CODE))
        return hashlib.sha256("".join(said).encode()).hexdigest()[:12]

    @property
    def keeps(self) -> bool:
        """Whether its training keeps what it measures for an export."""
        return (self.checkout / "training" / "runs" / "measured.py").exists()

    @property
    def environment(self) -> dict[str, str]:
        """Variables of its processes: threads are set by the command, as users have it."""
        variables = environment(self.checkout)
        return {k: v for k, v in variables.items() if not k.startswith(("OMP_", "MKL_"))}

    def export(self, run: Path, store: Path) -> list[str]:
        """The command that exports a run."""
        command = [sys.executable, "-m", "service.cli", "export", str(run), "--store", str(store)]
        # weights of a few steps may be too steep for latents in float32, which is not measured here
        accept = "--accept-residual"
        training = self.checkout / "training"
        sources = [*training.glob("cli.py"), *training.glob("cli/*.py")]  # one file until lately
        knows = any(accept in source.read_text(encoding="utf-8") for source in sources)
        return [*command, accept] if knows else command


class Bench:
    """Makes runs, and exports them.

    Args:
        folder: of runs, logs and figures.
        data: folder of data sets.
        limit: seconds of CPU time of an export, at most.
    """

    def __init__(self, folder: Path, data: Path, limit: int) -> None:
        self.folder, self.data, self.limit = folder.resolve(), data.resolve(), limit
        for name in ("runs", "logs"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def write_data(self) -> None:
        """Write the shared data sets as recipes read them; what is missing there is left out."""
        command = [sys.executable, "-m", "tests.benchmarks.papers.data", str(self.data)]
        subprocess.run(command, cwd=ROOT, check=False)

    def row(self, entry: Entry, state: State, side: Side) -> Row:
        """Export a recipe's run once."""
        self._prepare(entry, state, side)
        ended, cost, log = self._export(entry, side, f"{entry.name}-{state.split()[0]}-{side.name}")
        arithmetic = failed = None
        manifests = [*self._store.glob("*/*/manifest.json")]
        if manifests:
            arithmetic = json.loads(manifests[0].read_bytes())["arithmetic"]
        else:
            said = log.read_text(encoding="utf-8", errors="replace").splitlines()
            failed = " ".join(said[-1:]) or f"exit code {ended}"
            if ended == -9:
                failed = f"killed after {cost.cpu:.0f} CPU seconds"
        shutil.rmtree(self._store, ignore_errors=True)
        code_and_commit = side.code, commit(side.checkout)
        return Row(entry.name, state, side.name, *code_and_commit, cost, arithmetic, failed)

    def busy(self, entry: Entry, side: Side) -> Busy:
        """Export a recipe's run in turns alone and beside a busy process."""
        taken: dict[bool, list[float]] = {False: [], True: []}
        for pair in range(PAIRS):
            for beside in (False, True) if pair % 2 == 0 else (True, False):
                self._prepare(entry, AFTER, side)
                with busy_process() if beside else nullcontext():
                    code, cost, log = self._export(entry, side, f"{entry.name}-busy")
                shutil.rmtree(self._store, ignore_errors=True)
                if code:
                    raise NotMadeError(f"{entry.name} is not exported: {log}")
                taken[beside].append(cost.cpu)
        return Busy(
            entry.name, side.code, commit(side.checkout), tuple(taken[False]), tuple(taken[True])
        )

    @property
    def _store(self) -> Path:
        """Where bundles are written, each alone."""
        return self.folder / "store"

    def _export(self, entry: Entry, side: Side, name: str) -> tuple[int, Cost, Path]:
        """The exit code of an export, its cost, and what it said."""
        shutil.rmtree(self._store, ignore_errors=True)
        command = side.export(self.folder / "runs" / entry.name, self._store)
        log = self.folder / "logs" / f"{name}.log"
        code, cost = process.run(command, side.checkout, side.environment, log, self.limit)
        return code, cost, log

    def _prepare(self, entry: Entry, state: State, side: Side) -> None:
        """Make the run of a recipe, with what is kept of it or without."""
        runs = self.folder / "runs"
        run = runs / entry.name
        measured = run / "measured.json"
        if not (run / "weights.safetensors").exists():
            script = ["-m", "tests.benchmarks.exports.short_run", entry.name, str(runs)]
            self._make([*script, str(self.data)], ROOT, f"{entry.name}-run")
        measured.unlink(missing_ok=True)
        if state == WITHOUT or not side.keeps:
            return
        kept = run / f"measured-{side.code}.json"
        if not kept.exists():
            script = ["-P", str(Path(__file__).with_name("keep.py")), str(run)]
            self._make(script, side.checkout, f"{entry.name}-keep-{side.name}")
            shutil.copyfile(measured, kept)
        else:
            shutil.copyfile(kept, measured)

    def _make(self, script: list[str], checkout: Path, name: str) -> None:
        log = self.folder / "logs" / f"{name}.log"
        with log.open("wb") as said:
            done = subprocess.run(
                [sys.executable, *script],
                cwd=checkout,
                env=environment(checkout),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode:
            last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-1:]
            raise NotMadeError(f"{name}: {' '.join(last)} ({log})")
