"""The gallery shows every family, and the pictures of the pages are small."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.families import FAMILIES, TYPED_FAMILIES
from tests.helpers.pages import PAGES, ROOT

GALLERY = ROOT / "models" / "GALLERY.md"
PICTURES = ROOT / "tests" / "benchmarks" / "results" / "pictures"
MAX_BYTES = 1_500_000

# | title | nats | `family` | …
LINE = re.compile(r"^\| ([^|]+) \| (−\d+\.\d+) ± \d+\.\d+ \| `([a-z-]+)` \|", re.MULTILINE)


def test_the_gallery_shows_every_family() -> None:
    page = GALLERY.read_text(encoding="utf-8")
    drawn = dict(re.findall(r"!\[([^]]+)\]\(([^)]+)\)", page))
    lines = LINE.findall(page)
    assert {family for _, _, family in lines} == FAMILIES.keys(), "run `make gallery`"
    for title, nats, _ in lines:
        assert f"{nats} nats" in page
        assert (GALLERY.parent / drawn[title]).is_file()
    assert all(f"`{family}`" in page for family in TYPED_FAMILIES)


@pytest.mark.parametrize("path", sorted(PICTURES.rglob("*.*")), ids=lambda path: path.name)
def test_a_picture_is_on_a_page_and_not_empty(path: Path) -> None:
    pages = [ROOT / page for page in PAGES]
    linked = {
        (page.parent / target).resolve()
        for page in pages
        for target in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    }
    assert path in linked
    assert np.asarray(Image.open(path).convert("L")).std() > 5


def test_all_pictures_are_small_together() -> None:
    assert sum(path.stat().st_size for path in PICTURES.rglob("*.*")) <= MAX_BYTES


def test_the_playground_says_what_every_family_is() -> None:
    table = ROOT / "service" / "playground" / "static" / "js" / "families.js"
    lines = re.findall(
        r'^  "?([a-z-]+)"?: \["(an? .+)", "(.+)"\],$', table.read_text(), re.MULTILINE
    )
    assert {family for family, _, _ in lines} == FAMILIES.keys() | TYPED_FAMILIES.keys()
    assert len({words for _, _, words in lines}) == len(lines)
