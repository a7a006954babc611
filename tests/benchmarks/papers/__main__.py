"""Trained runs beside the papers' figures.

    python -m tests.benchmarks.papers RUN …

Takes what the runs (`bijecta train`) say of themselves into results/papers/<run>.json, and writes
the page results/papers.md from all that are there. The weights stay in the runs.
"""

import json
import math
import sys
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

from models.zoo import FAMILIES
from service.bundle import HeldOut
from tests.benchmarks.common.bar import RESULTS
from tests.benchmarks.common.machine import hardware
from tests.benchmarks.common.markdown import table
from tests.benchmarks.papers.figures import FIGURES, Figure
from training.config.sources import ProtocolSource
from training.runs.run import Run

# what a dequantised pixel of 0–255 is wide on the unit interval, in nats
NATS_OF_A_BYTE = math.log(256)


@dataclass(frozen=True)
class Result:
    """What a run says of itself; scores in nats per row or bits per dimension."""

    name: str
    data: str
    dimensions: int
    test_rows: int
    train_rows: int | None
    flow: str
    parameters: int
    epochs: int
    best_epoch: int
    seconds: float
    hardware: str
    log_prob: float
    se: float
    bits_per_dim: float | None
    bits_per_dim_se: float | None
    noise_copies: int
    torch: str
    day: str


def result(run: Run) -> Result:
    """A trained and evaluated run."""
    recipe, progress = run.file.recipe, run.load_state()
    held_out = HeldOut.model_validate_json((run.folder / "evaluation.json").read_bytes())
    data, options = recipe.data, recipe.flow.options
    shape = " × ".join(map(str, run.file.flow.event_shape))
    layers, flow = str(options["transforms"]), run.best_flow()
    if FAMILIES[recipe.flow.family].without_gradients:
        fitted = list(flow.state_dict().values())
    else:
        fitted = list(flow.parameters())
        layers += f" × {list(options['hidden'])}"
    return Result(
        name=run.file.name,
        data=data.protocol if isinstance(data, ProtocolSource) else Path(data.source).name,
        dimensions=math.prod(run.file.flow.event_shape),
        test_rows=held_out.rows,
        train_rows=recipe.data.train_rows,
        flow=f"{recipe.flow.family}, {layers}, {shape}",
        parameters=sum(values.numel() for values in fitted),
        epochs=progress.epoch,
        best_epoch=progress.best_epoch,
        seconds=round(progress.seconds),
        hardware=hardware(progress.device),
        log_prob=held_out.log_prob,
        se=held_out.se,
        bits_per_dim=held_out.bits_per_dim,
        bits_per_dim_se=held_out.bits_per_dim_se,
        noise_copies=held_out.noise_copies,
        torch=version("torch"),
        day=date.today().isoformat(),
    )


def page(results: list[Result]) -> str:
    """The page of all results."""
    lines = [
        "# Trained flows beside the papers' figures",
        "",
        "Made by `python -m tests.benchmarks.papers` from runs of the recipes of the same names.",
        "Each figure is on the whole test set, with the weights that scored best on the",
        "validation rows, and ± its standard error over rows.",
        "",
    ]
    for name, figures in FIGURES.items():
        ours = [found for found in results if found.name.startswith(name)]
        if ours:
            lines += _section(name, ours, figures)
    return "\n".join(lines).rstrip() + "\n"


def _section(name: str, ours: list[Result], figures: list[Figure]) -> list[str]:
    rows = [_row(found) for found in ours]
    published = sorted({(figure.model, figure.value, figure.unit) for figure in figures})
    lines = [f"## {name}", ""]
    columns = ("recipe", "flow", "parameters", "minutes", "epochs", "hardware", "test rows")
    lines += table((*columns, "nats", "bits/dim"), rows)
    lines += ["Published, by the sources in the reference:", ""]
    lines += table(("model", "figure"), [(m, f"{v:g} {unit}") for m, v, unit in published])
    return lines


def _row(found: Result) -> tuple[str, ...]:
    bits = found.bits_per_dim
    nats = f"{found.log_prob:.2f} ± {found.se:.2f}"
    if bits is not None:
        unit = found.log_prob + found.dimensions * NATS_OF_A_BYTE
        nats += f" ({unit:.1f} on [0, 1])"
    return (
        found.name,
        found.flow,
        f"{found.parameters:,}",
        f"{found.seconds / 60:.0f}",
        f"{found.best_epoch} of {found.epochs}",
        found.hardware,
        f"{found.test_rows:,}",
        nats,
        "" if bits is None else f"{bits:.3f} ± {found.bits_per_dim_se:.3f}",
    )


def main(folders: list[str]) -> None:
    """Take in the runs, and write the page."""
    kept = RESULTS / "papers"
    kept.mkdir(exist_ok=True)
    for folder in folders:
        found = result(Run.open(Path(folder)))
        content = json.dumps(asdict(found), indent=1, ensure_ascii=False)
        (kept / f"{found.name}.json").write_text(content + "\n")
    results = [Result(**json.loads(path.read_text())) for path in sorted(kept.glob("*.json"))]
    (RESULTS / "papers.md").write_text(page(results))


if __name__ == "__main__":
    main(sys.argv[1:])
