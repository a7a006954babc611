"""A browser, and a server of models of every kind that a page shows."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.detectors import write_detector_bundle
from tests.helpers.servers import Serve
from tests.helpers.visits import ROOT, Visit, visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser

STORED = ROOT / "tests" / "stored"

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")

# A name that is none of this machine leads nowhere.
ARGUMENTS = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"]


@dataclass(frozen=True)
class Models:
    """Names of models, by what they are of.

    Those of `make serve` where the store is there, else those of tests/stored.
    """

    points: str
    images: str
    table: str
    detector: str
    conditional: str = "maf-context"
    sounds: str = "student-sounds"
    normal: str = "maf-mog"
    """Points of a normal base, which has no finite answer far away."""
    numbers: str = "maf"
    """Three numbers."""
    box: str = "maf-spline"
    """Of a uniform base."""
    mixed: str = "mixed"
    """A table that has numbers of as many digits as a float has."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def browser() -> Iterator["Browser"]:
    """Chromium; who asks for it is skipped where it is missing."""
    reason = "Playwright is not installed: pip install 'bijecta[dev]'"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    pytest.importorskip("axe_playwright_python", reason=reason)
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def models() -> Models:
    """The models of `store`."""
    return _models(Path(os.environ.get("STORE", ROOT / "store")))


def _models(demo: Path) -> Models:
    def one(name: str, stored: str) -> str:
        return name if (demo / name / "1" / "manifest.json").exists() else stored

    return Models(
        points=one("moons-maf", "maf-logistic"),
        images=one("digits-student", "maf-digits"),
        table=one("wine", "mixed"),
        detector=one("wine-detector", "detector"),
    )


@pytest.fixture(scope="package")
def folder(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of one model of each kind."""
    store = tmp_path_factory.mktemp("store")
    places = (Path(os.environ.get("STORE", ROOT / "store")), STORED / "format_1" / "store")
    names = (models.points, models.images, models.conditional, models.sounds, models.table)
    others = (models.normal, models.numbers, models.box, models.mixed)
    for name in dict.fromkeys((*names, *others)):
        place = next(
            p / name for p in (*places, STORED / "format_2" / "store") if (p / name).exists()
        )
        shutil.copytree(place, store / name)
    write_detector_bundle(store)
    if models.detector != "detector":
        shutil.copytree(places[0] / models.detector, store / models.detector)
    return store


@pytest.fixture(scope="package")
def address(folder: Path, browser: "Browser", serve: Serve) -> str:
    """Of a server of that store."""
    return str(serve("--store", folder).client.base_url).rstrip("/")


@pytest.fixture(scope="package")
def few(folder: Path, models: Models, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of points and a detector, which servers of other settings load in a moment."""
    store = tmp_path_factory.mktemp("few")
    for name in (models.points, "detector"):
        (store / name).symlink_to(folder / name)
    return store


@pytest.fixture
def open_tab(browser: "Browser") -> Iterator[Callable[..., Visit]]:
    """Open a tab with options of a browser's context; at the end, nothing may have gone wrong."""
    visits: list[Visit] = []

    def new(base: str, **options: Any) -> Visit:
        context = browser.new_context(**options)
        context.set_default_timeout(60_000)
        visits.append(visit(context, base))
        return visits[-1]

    yield new
    for each in visits:
        each.page.context.close()
    for each in visits:
        each.check()


@pytest.fixture
def tab(open_tab: Callable[..., Visit], address: str) -> Visit:
    """A tab of a desktop's size."""
    return open_tab(address, viewport={"width": 1280, "height": 900})
