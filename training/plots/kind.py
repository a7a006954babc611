"""What a kind of plot is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from training.plots.subject import Subject


@dataclass(frozen=True)
class Moving:
    """A picture that moves.

    Args:
        figure: what is drawn.
        show: draws the frame of a number from 0.
        milliseconds: how long each frame stands.
    """

    figure: Figure
    show: Callable[[int], None]
    milliseconds: Sequence[int]


@dataclass(frozen=True)
class Kind:
    """A kind of plot; `registry.KINDS` lists them.

    Args:
        name: by which it is asked for, and in the names of files.
        shows: what it shows, in a sentence for people.
        draw: the figure of a model, by a seed. Raises PlotError where the model has none, and
            says why.
        animate: the same, moving; None of kinds that stand still.
    """

    name: str
    shows: str
    draw: Callable[[Subject, int], Figure]
    animate: Callable[[Subject, int], Moving] | None = None
