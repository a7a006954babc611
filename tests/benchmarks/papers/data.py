"""Write the shared data sets in the forms that recipes of the papers' protocols read.

`python -m tests.benchmarks.papers.data FOLDER` makes

FOLDER/bsds300/{train,validation,test}.npy   patches of 8 × 8 pixels, 0–255
FOLDER/cifar10/{train,test}.npy              images of 3 × 32 × 32, 0–255
FOLDER/mnist, FOLDER/fashion-mnist           links to the published files
FOLDER/fsdd                                  a link to a zip of recordings
FOLDER/power.npy                             7 measurements and the minute of the day
FOLDER/miniboone.npy                         the validation split, all there is in one piece
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np

from tests.helpers.shared_data import SHARED

RECORDINGS = "fsdd_george_jackson_nicolas_theo.zip"


def write(folder: Path) -> None:
    """Write what is not there yet."""
    reference = loaders()
    for name in ("bsds300", "cifar10"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    linked = {"mnist": "mnist", "fashion-mnist": "fashion_mnist", "fsdd": f"fsdd/{RECORDINGS}"}
    for ours, theirs in linked.items():
        if not (folder / ours).exists():
            (folder / ours).symlink_to((SHARED / theirs).resolve())
    for ours, theirs in (("train", "train"), ("validation", "val"), ("test", "test")):
        path = folder / "bsds300" / f"{ours}.npy"
        if not path.exists():
            np.save(path, reference.bsds300_patches(theirs))
    with np.load(SHARED / "power_head" / "power_head_raw.npz") as power:
        np.save(folder / "power.npy", np.column_stack([power["x"], power["minute"]]))
    np.save(
        folder / "miniboone.npy", reference.load_npz(SHARED / "miniboone" / "miniboone_val.npz")
    )
    for part, rows in (("train", "train_0_10000"), ("test", "test_0_1000")):
        images, _ = reference.load_cifar(SHARED / "cifar10" / f"cifar10_{rows}.npz")
        np.save(folder / "cifar10" / f"{part}.npy", images)


def loaders() -> ModuleType:
    """The shared folder's own loaders."""
    spec = importlib.util.spec_from_file_location("load_data", SHARED / "load_data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    write(Path(sys.argv[1]))
