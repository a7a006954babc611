"""A student beside its teacher."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.errors import PlotError
from training.plots.kind import Kind
from training.plots.pictures.sheet import pictures, sheet
from training.plots.style import DATA, GREY, MODEL, PALE, few_ticks, new_figure, panels
from training.plots.subject import Float64, Subject

PICTURES_A_SIDE, POINTS = 5, 1000


def draw_student(subject: Subject, seed: int) -> Figure:
    """Draws of both from the same random numbers, and what each gives the student's draws."""
    teacher = subject.teacher
    context = subject.contexts(POINTS)
    z = subject.latents(POINTS, seed)
    if teacher.traits.latent_shape != subject.traits.latent_shape:
        raise PlotError("its teacher has latents of another shape")
    drawn, own = subject.decode(z, context)
    taught = teacher.finite_rows(teacher.latents(POINTS, seed), context)
    _, others = teacher.encode(drawn.astype(subject.traits.dtype), context)
    figure = new_figure(f"{subject.title} beside its teacher, {teacher.title}", 2.7)
    left, middle, right = panels(figure, 1, 3)
    _draws(left, teacher, taught, DATA, "teacher")
    _draws(middle, subject, drawn, MODEL, "student")
    scored = np.isfinite(own) & np.isfinite(others)
    if not scored.any():
        raise PlotError("no draw of the student has a score under both")
    own, others = own[scored], others[scored]
    low, high = np.quantile(np.concatenate([own, others]), [0.005, 1.0])
    right.plot([low, high], [low, high], color=PALE, lw=0.8)
    right.scatter(own, others, s=3, c=MODEL, alpha=0.5, linewidths=0, gid="scores")
    right.set(xlim=(low, high), ylim=(low, high))
    right.set_xlabel("student's log_prob (nats)")
    right.set_ylabel("teacher's log_prob (nats)")
    divergence = float((own - others).mean()) / subject.traits.dimensions
    error = float((own - others).std() / len(own) ** 0.5) / subject.traits.dimensions
    right.set_title(f"KL(student‖teacher)\n{divergence:.4f} ± {error:.4f} nats/dim")
    few_ticks(right)
    return figure


def _draws(axes: Axes, subject: Subject, drawn: Float64, colour: str, name: str) -> None:
    """Pictures, a waveform, or points of the first two coordinates."""
    axes.set_title(f"drawn by the {name}")
    try:
        _ = subject.picture_shape
    except PlotError:
        pass
    else:
        whole = sheet(pictures(subject, drawn[: PICTURES_A_SIDE**2]), PICTURES_A_SIDE)
        axes.imshow(whole.squeeze(), cmap=GREY, vmin=0, vmax=1, interpolation="nearest", gid=name)
        axes.axis("off")
        return
    flat, sound = drawn.reshape(len(drawn), -1), subject.traits.sound
    if sound is not None:
        seconds = np.arange(flat.shape[1]) / sound.rate
        axes.plot(seconds, flat[0] / sound.full_scale, color=colour, lw=0.5, gid=name)
        axes.set(xlabel="time (s)", ylabel="amplitude (full scale is 1)")
        return
    if flat.shape[1] < 2:
        raise PlotError("draws of one number alone are not drawn")
    names = subject.traits.column_names
    axes.scatter(flat[:, 0], flat[:, 1], s=3, c=colour, alpha=0.5, linewidths=0, gid=name)
    axes.set(xlabel=names[0], ylabel=names[1])
    few_ticks(axes)


STUDENT = Kind(
    "student",
    "Draws of the student and of its teacher from the same random numbers, and how both score the "
    "student's draws.",
    draw_student,
)
