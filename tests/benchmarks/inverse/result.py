"""What the comparison of inverses found on one device, and the bars that it must reach."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.benchmarks.common.bar import Bar
from tests.benchmarks.inverse.exact import TIMED_ROWS, Trained
from tests.benchmarks.inverse.measure import ONNX, PARALLEL, TORCH, Cell

PEERS = ("zuko", "nflows", "normflows")


@dataclass(frozen=True)
class Result:
    """One device's findings.

    Args:
        device: its name; a GPU's or a CPU's.
        threads: CPU threads of every side.
        made_with: versions, by package.
        parameters: of each side's five layers, by D.
        inverses: how our graph inverts, by D.
        cells: the table.
        trained: errors and times of a trained flow.
        memory: bytes of peak memory of the ONNX session, by direction; empty for a GPU.
        seconds: where the time went.
    """

    device: str
    threads: int
    made_with: dict[str, str]
    parameters: dict[int, dict[str, int]]
    inverses: dict[int, str]
    cells: list[Cell]
    trained: Trained
    memory: dict[str, int]
    seconds: dict[str, float]


def bars(result: Result) -> Iterator[Bar]:
    """The bars for two CPU cores, of our ONNX graph where not said otherwise."""
    at = {(cell.features, cell.batch): cell.ratios for cell in result.cells}
    for features, limit in ((784, 100), (43, 10), (6, 3)):
        ratio, peer, batch = min(
            (ratios[peer], peer, batch)
            for (d, batch), ratios in at.items()
            for peer in PEERS
            if d == features and peer in ratios
        )
        what = f"D={features}: least speed-up, over {peer} at batch {batch}"
        yield Bar(what, ratio, limit, floor=True)
    yield Bar("D=784: speed-up over zuko at batch 1", at[784, 1]["zuko"], 300, floor=True)
    ratio, features, batch = min((ratios[TORCH], d, batch) for (d, batch), ratios in at.items())
    what = f"least speed-up over ours in torch, at D={features}, batch {batch}"
    yield Bar(what, ratio, 1, floor=True)
    what = "time, in times of our parallel direction's"
    yield Bar(f"D=784, batch 256: {what}", 1 / at[784, 256][PARALLEL], 4)
    trained, seconds = result.trained, result.trained.seconds
    measured = f"D={trained.dimensions}, trained on {trained.data}, batch {TIMED_ROWS}"
    yield Bar(f"{measured}: {what}", seconds[ONNX] / seconds[PARALLEL], 4)
    what = f"{measured}: speed-up over ours in torch"
    yield Bar(what, seconds[TORCH] / seconds[ONNX], 1, floor=True)
    memory = result.memory["decode"] / result.memory["encode"]
    yield Bar("D=784, batch 256: peak memory, in times of the same", memory, 2)
    for side, error in trained.errors.items():
        yield Bar(f"error of x by {side}, as a part of its range", error, 1e-5)
    yield Bar("minutes of the whole command", sum(result.seconds.values()) / 60, 12)
