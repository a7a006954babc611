"""Figures as files, the same byte for byte whenever they are drawn."""

import io
import shutil
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.animation import FFMpegWriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from training.errors import PlotError
from training.files import write_atomically
from training.plots.kind import Moving

STILL, MOVING = ("png", "svg"), ("gif", "mp4")

# Neither dates nor versions: the same picture is the same file.
METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": "Bijecta"},
}

# Lines are still smooth.
GIF_COLOURS = 32
MP4_FRAMES_A_SECOND = 25


def still(figure: Figure, form: str) -> bytes:
    """A figure as PNG or SVG."""
    content = io.BytesIO()
    figure.savefig(content, format=form, metadata=METADATA[form])
    return content.getvalue()


def write_still(figure: Figure, path: Path) -> None:
    """Write a figure as PNG or SVG, by the ending of the path.

    Raises:
        OSError: it cannot be written.
    """
    write_atomically(path, still(figure, path.suffix[1:]))


def write_moving(moving: Moving, path: Path) -> None:
    """Write frames as GIF or MP4, by the ending of the path.

    Raises:
        PlotError: MP4, and there is no ffmpeg.
        OSError: it cannot be written.
    """
    if path.suffix == ".gif":
        write_atomically(path, _gif(moving))
        return
    if shutil.which(matplotlib.rcParams["animation.ffmpeg_path"]) is None:
        raise PlotError("mp4 is written by ffmpeg, which is not on the PATH: gif needs no more")
    frame = 1000 / MP4_FRAMES_A_SECOND
    exact = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-pix_fmt", "yuv420p"]
    # H.264 in yuv420p wants even sides
    exact += ["-vf", "scale=trunc(iw/2)*2:trunc(ih/2)*2"]
    writer = FFMpegWriter(fps=MP4_FRAMES_A_SECOND, metadata={}, extra_args=exact)
    FigureCanvasAgg(moving.figure)
    temporary = path.with_name(f"{path.stem}.partial.mp4")  # with the rights that files have
    try:
        with writer.saving(moving.figure, str(temporary), moving.figure.dpi):
            for number, milliseconds in enumerate(moving.milliseconds):
                moving.show(number)
                for _ in range(max(1, round(milliseconds / frame))):
                    writer.grab_frame()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _gif(moving: Moving) -> bytes:
    """The frames as a GIF that repeats without an end, all in the colours of the last one."""
    canvas = FigureCanvasAgg(moving.figure)
    frames = []
    for number in range(len(moving.milliseconds)):
        moving.show(number)
        canvas.draw()  # type: ignore[no-untyped-call]
        pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        frames.append(Image.fromarray(pixels).convert("RGB"))
    # median cut, the usual way, made green of blue points beside much white and grey
    palette = frames[-1].quantize(GIF_COLOURS, method=Image.Quantize.FASTOCTREE)
    frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    content = io.BytesIO()
    frames[0].save(
        content,
        "gif",
        save_all=True,
        append_images=frames[1:],
        duration=list(moving.milliseconds),
        loop=0,
        optimize=False,
    )
    return content.getvalue()
