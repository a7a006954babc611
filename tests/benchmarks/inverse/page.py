"""The Markdown page of the comparison of inverses."""

from tests.benchmarks.common.bar import Bar, figure
from tests.benchmarks.common.markdown import table
from tests.benchmarks.inverse.exact import TIMED_ROWS, Trained
from tests.benchmarks.inverse.measure import LARGE, ONNX, PARALLEL, TORCH, Cell
from tests.benchmarks.inverse.result import PEERS, Result

SIDES = (ONNX, TORCH, *PEERS, PARALLEL)


def page(result: Result, reached: list[Bar]) -> str:
    """The page of one device.

    Args:
        result: what was found.
        reached: the bars that apply to it, reached or missed; none for a GPU.
    """
    versions = ", ".join(f"{name} {version}" for name, version in result.made_with.items())
    lines = [
        "# Inverses of masked autoregressive flows",
        "",
        f"Made by `make bench-inverse` on {result.device}, {result.threads} CPU threads, with",
        f"{versions}.",
        "",
        "Milliseconds of the sequential direction, float32: sampling in ours, zuko and nflows,",
        "density in normflows. One architecture: five masked layers with affine conditionals and",
        "two hidden layers of H units, the order reversed from layer to layer. Medians of calls",
        "that the sides make in turns; in brackets, how many times our ONNX graph's time.",
        f"At D={LARGE} a call of the other libraries runs one of the five equal layers, and five",
        "times its time is what the table says. zuko computes no log-determinant, the others do.",
        "Every side has the same CPUs. Graphs run as in a server, which divides rows into batches",
        "of up to 256, each run by one thread; torch runs all rows of a call with all threads.",
        "",
        *table(
            ["D", "H", "batch", *SIDES],
            [[*map(str, (c.features, c.hidden, c.batch)), *_times(c)] for c in result.cells],
        ),
        "Parameters of the five layers, masked weights included:",
        "",
        *table(
            ["D", *next(iter(result.parameters.values()))],
            [[str(d), *(f"{n:,}" for n in c.values())] for d, c in result.parameters.items()],
        ),
        "Our graphs invert "
        + "; ".join(f"at D={d} by {inverse}" for d, inverse in result.inverses.items())
        + ".",
        "",
        *_trained(result.trained),
        "Time went to "
        + ", ".join(f"{what} ({seconds:.0f} s)" for what, seconds in result.seconds.items())
        + ".",
    ]
    if result.memory:
        mib = {direction: value / 2**20 for direction, value in result.memory.items()}
        lines += [
            "",
            f"Peak memory of the ONNX session at D={LARGE}, batch 256, loading included: "
            f"{mib['decode']:.0f} MiB; of our parallel direction's, {mib['encode']:.0f} MiB.",
        ]
    if reached:
        lines += [
            "",
            "Bars, on two CPU cores; speed-ups, time and memory are the ONNX graph's:",
            "",
        ]
        lines += [f"- {'' if bar.held else '**missed** '}{bar}" for bar in reached]
    return "\n".join(lines) + "\n"


def _trained(trained: Trained) -> list[str]:
    errors = ", ".join(f"{error:.1e} by {side}" for side, error in trained.errors.items())
    times = ", ".join(f"{figure(1e3 * t)} ms by {side}" for side, t in trained.seconds.items())
    return [
        f"Of a flow trained on {trained.data}, D={trained.dimensions}, which inverts by",
        f"{trained.inverse}, the largest",
        "error of x, as a part of its range, against one float64 pass a dimension at the latents",
        f"of held-out rows is {errors}; {TIMED_ROWS} samples take {times}.",
        "",
    ]


def _times(cell: Cell) -> list[str]:
    found = []
    for side in SIDES:
        if side not in cell.seconds:
            found.append("")
            continue
        time = figure(1e3 * cell.seconds[side])
        found.append(time if side == ONNX else f"{time} ({figure(cell.ratios[side])}×)")
    return found
