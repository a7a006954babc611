"""The log of a run as TensorBoard shows it."""

from collections.abc import Callable, Mapping
from pathlib import Path

from training.errors import TrainingError


def tensorboard_writer(folder: Path) -> Callable[[Mapping[str, float]], None]:
    """A function that writes lines of a log to a folder that `tensorboard --logdir` reads.

    A resumed run writes to the same folder, where epochs that were repeated are there twice.

    Raises:
        TrainingError: tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise TrainingError(
            "--tensorboard needs a package of that name: pip install 'bijecta[tensorboard]' "
            f"({error})"
        ) from None
    writer = SummaryWriter(str(folder))

    def write(line: Mapping[str, float]) -> None:
        (counter, at), *figures = line.items()
        for name, value in figures:
            writer.add_scalar(f"{name} by {counter}", value, int(at))
        writer.flush()

    return write
