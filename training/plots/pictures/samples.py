"""A sheet of pictures that are drawn from a model."""

from matplotlib.figure import Figure

from training.plots.kind import Kind
from training.plots.pictures.sheet import draw_sheet, pictures
from training.plots.subject import Subject, shown_value

ROWS, COLUMNS = 8, 12
MOST_CLASSES = 20


def draw_samples(subject: Subject, seed: int) -> Figure:
    """Samples; where classes alone condition the model, a row of each class."""
    _ = subject.picture_shape  # refused before any is drawn
    columns = subject.traits.context
    classes = (columns[0].classes or [])[:MOST_CLASSES] if len(columns) == 1 else []
    rows = len(classes) or ROWS
    context = subject.contexts(rows if classes else rows * COLUMNS)
    labels: list[str] = []
    if classes and context is not None:
        labels = [shown_value(columns[0], value) for value in context[:, 0]]
        context = context.repeat(COLUMNS, 0)
    drawn = subject.finite_rows(subject.latents(rows * COLUMNS, seed), context)
    names = ("", columns[0].name if labels else "")
    return draw_sheet(f"{subject.title}: samples", pictures(subject, drawn), COLUMNS, labels, names)


SAMPLES = Kind(
    "samples", "Samples; a row for each class where a label conditions the model.", draw_samples
)
