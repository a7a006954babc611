"""Figures as small files, of which a page can have many."""

import io
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

COLOURS = 32


def write_small(figure: Figure, path: Path, dpi: int = 100) -> None:
    """Write a figure as PNG of few colours, without a date."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=dpi)
    image = Image.open(content).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    image.save(path, optimize=True)
