"""The plots that a model has."""

import io
from base64 import b64encode

from matplotlib.figure import Figure
from PIL import Image

from training.errors import PlotError
from training.html_report.blocks import AbsentError, Block, Picture, Table
from training.html_report.reported import Reported
from training.html_report.section import Section
from training.plots import KINDS, still, styled

# Larger pictures, which are photographs or noise, are JPEG, which shows no difference.
MAX_PNG_BYTES, JPEG_QUALITY = 300_000, 85

MAX_PAGE_BYTES = 5_000_000
MAX_BASE64_BYTES = MAX_PAGE_BYTES - 500_000
"""Of all pictures: the tables are at most as large as the rest of the page."""

PIXELS_AN_INCH = 120
"""Of the screen: a figure is as wide as the page."""


def write_pictures(reported: Reported) -> list[Block]:
    """Each kind of plot, or why the model has none."""
    subject = reported.subject
    if subject is None:
        raise AbsentError(reported.no_subject)
    shown: list[Block] = []
    missing, room = [], MAX_BASE64_BYTES
    for kind in KINDS:
        try:
            with styled():
                picture = _picture(kind.draw(subject, reported.seed), kind.name, kind.shows)
        except PlotError as error:
            missing.append([kind.name, str(error)])
            continue
        room -= len(picture.base64)
        if room < 0:
            missing.append([kind.name, f"the page would be larger than {MAX_PAGE_BYTES:,} bytes"])
            room += len(picture.base64)
        else:
            shown.append(picture)
    if missing:
        shown.append(Table("Kinds of plots that are not here", ["Kind", "Why"], missing))
    return shown


def _picture(figure: Figure, name: str, shows: str) -> Picture:
    content, media_type = still(figure, "png"), "image/png"
    if len(content) > MAX_PNG_BYTES:
        smaller = io.BytesIO()
        with Image.open(io.BytesIO(content)) as image:
            image.convert("RGB").save(smaller, "jpeg", quality=JPEG_QUALITY)
        if smaller.tell() < len(content):
            content, media_type = smaller.getvalue(), "image/jpeg"
    width, height = figure.get_size_inches() * PIXELS_AN_INCH
    return Picture(
        caption=f"{name}: {shows}",
        alt=_seen(figure),
        media_type=media_type,
        base64=b64encode(content).decode(),
        width=round(width),
        height=round(height),
    )


def _seen(figure: Figure) -> str:
    """What is seen in a figure: its title, and those of its panels and axes."""
    said = [figure.get_suptitle()]
    for axes in figure.axes:
        labels = [axes.get_title(loc="left")]
        labels += [f"across {axes.get_xlabel()}"] * bool(axes.get_xlabel())
        labels += [f"up {axes.get_ylabel()}"] * bool(axes.get_ylabel())
        said.append(", ".join(label for label in labels if label))
    said += [figure.get_supxlabel(), figure.get_supylabel()]
    return ". ".join(dict.fromkeys(" ".join(each.split()) for each in said if each)) + "."


PICTURES = Section("Plots", write_pictures)
