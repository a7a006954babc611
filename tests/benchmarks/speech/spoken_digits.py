"""Ten digits that a model says: `.wav` files, and their spectrograms beside real ones.

    python -m tests.benchmarks.speech.spoken_digits RUN FOLDER [DATA]

RUN is of labelled sounds, such as fsdd-student or its teacher; DATA is where they lie, if not where
they were in training. Writes FOLDER/0.wav … 9.wav and FOLDER/spectrograms.png.
"""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot

from service.codecs.wav import write_sound
from tests.benchmarks.speech import mel
from tests.benchmarks.speech.mel import Array
from tests.benchmarks.speech.sounds import drawn, sound_of
from training.runs.lifecycle import dataset_of
from training.runs.run import Run

# of the spectrograms' colours
QUIETEST, LOUDEST = 20.0, 90.0


def picture(rows: dict[str, Array], rate: int, path: Path) -> None:
    """Log-mel spectrograms of digits, a row of them for each side.

    Args:
        rows: by what they are, sounds of the digits in order: digits × samples.
        rate: samples a second.
        path: of the PNG.
    """
    mpl.use("Agg")
    (count,) = {len(sounds) for sounds in rows.values()}
    figure, axes = pyplot.subplots(len(rows), count, figsize=(2 * count, 2.2 * len(rows)))
    for (name, sounds), cells in zip(rows.items(), axes, strict=True):
        for digit, (spectrum, cell) in enumerate(
            zip(mel.spectrograms(sounds, rate), cells, strict=True)
        ):
            cell.imshow(spectrum, origin="lower", aspect="auto", vmin=QUIETEST, vmax=LOUDEST)
            cell.set(xticks=[], yticks=[], title=f"{name}: {digit}")
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def main(folder: Path, out: Path, place: Path | None) -> None:
    """Say and picture the digits."""
    run = Run.open(folder)
    dataset = dataset_of(run, place)
    sound = sound_of(dataset)
    assert dataset.test.context is not None
    labels = dataset.test.context[:, 0]
    digits, first = np.unique(labels, return_index=True)
    flow = run.best_flow().requires_grad_(False)
    said = drawn(flow, torch.from_numpy(digits[:, None]))
    out.mkdir(parents=True, exist_ok=True)
    for digit, samples in zip(digits, said, strict=True):
        content = write_sound(samples[None].astype(np.float32), sound)
        (out / f"{digit:.0f}.wav").write_bytes(content)
    rows = {run.file.name: said, "real": dataset.test.rows[first].astype(float)}
    picture(rows, sound.rate, out / "spectrograms.png")
    print(f"{out}: {len(digits)} sounds of {said.shape[1] / sound.rate:.2f} s, spectrograms.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
