"""The curves of a training."""

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from training.errors import PlotError
from training.plots.kind import Kind
from training.plots.style import DATA, INK, MODEL, few_ticks, new_figure, panels
from training.plots.subject import Subject

COLOURS = {"train": DATA, "validation": MODEL}

# Of students, by what their weights were chosen by; `training.distill` says what the log has.
OF_STUDENTS = {"kl": "−KL(student‖teacher)", "loss": "−losses"}


def draw_training(subject: Subject, _: int) -> Figure:
    """The scores of training and validation rows after each epoch, and the best of the latter.

    Those of a student are of draws, and say how far it is from its teacher.
    """
    log = subject.log
    unit = next((unit for unit in ("epoch", "step") if unit in log[0]), None)
    if unit is None or not any(name in log[0] for name in COLOURS):
        raise PlotError(f"the log has lines of {', '.join(log[0])}: expected scores by epoch")
    figure = new_figure(f"{subject.title}: training", 2.9)
    (axes,) = panels(figure, 1, 1)
    passes = [line[unit] for line in log]
    seen = []
    score, labels = "log_prob", {"train": "training rows", "validation": "validation rows"}
    if (chosen_by := subject.traits.chosen_by) is not None:
        labels = {"train": "training: −losses", "validation": f"draws: {OF_STUDENTS[chosen_by]}"}
        score = "score"
    for name, colour in COLOURS.items():
        scores = [line.get(name, math.nan) for line in log]
        if any(map(math.isfinite, scores)):
            marker = "." if len(log) == 1 else ""
            axes.plot(passes, scores, color=colour, label=labels[name], gid=name, marker=marker)
            seen += [score for score in scores if math.isfinite(score)]
    validation = np.array([line.get("validation", math.nan) for line in log])
    if np.isfinite(validation).any():
        best = int(np.nanargmax(np.where(np.isfinite(validation), validation, -np.inf)))
        axes.plot(passes[best], validation[best], "o", ms=4, color=INK, gid="best")
        shown = f"{validation[best]:.3f}".replace("-", "−")
        axes.set_title(f"best: {shown} nats after {unit} {passes[best]:g}")
    # the first passes would press all others into a line
    low, high = min(seen), max(seen)
    if len(seen) > 20:
        low = float(np.quantile(seen, 0.05))
    margin = 0.08 * (high - low) or 0.5
    axes.set_ylim(low - margin, high + margin)
    axes.set(xlabel=unit, ylabel=f"{score} (nats per row)")
    axes.legend(loc="lower right")
    few_ticks(axes, 6)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return figure


TRAINING = Kind(
    "training",
    "Scores of training and validation rows after each pass, and the best of the latter.",
    draw_training,
)
