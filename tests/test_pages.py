"""Pages are true: their code runs, their links lead somewhere, their tables are complete."""

import ast
import io
import re
import subprocess
import tomllib
from contextlib import chdir, redirect_stdout
from pathlib import Path

import pytest

from service.settings import Settings
from tests.helpers.pages import ALL_BLOCKS, PAGES, ROOT, Block, commands
from training.config import load_recipe, load_student

# What runs blocks beside `make test`; a test or a target of that name does.
CHECKS = (
    "make test",
    "make test-long",
    "make store",
    "make docker-check",
    "make alerts-check",
    ".ci/run",
)

# Blocks that nothing runs, by a line of theirs, and why. They are parsed all the same.
NOT_RUN = {
    "curl -s https://flows.example/log_prob": "tests/service/http/test_keys.py asks by keys",
    "bijecta-gpu": "needs a GPU and the network",
    "pip install ./service/client": "make release-check installs the wheel of the same folder",
    "pip install '.[train]' ./training/estimators": "make release-check installs wheels of both",
    "prometheus --config.file": "needs Prometheus",
    "docker compose kill bijecta": "needs Docker; make alerts-check kills a server as well",
    "kubectl apply": "needs a cluster; tests/deploy checks every object",
    "serve run deploy/ray": "tests/deploy/test_ray.py runs the application where Ray is",
    "helm upgrade": "needs a cluster; tests/deploy renders the chart",
    'np.save("digits.npy"': "tests/training/detection/test_fit_to_arrays.py does the same",
    "fit-detector digits.npy": "tests/training/detection/test_fit_to_arrays.py does the same",
    "make gpu-check-bundles": "tests/benchmarks/gpu rehearses them",
    "tests/benchmarks/gpu/install.sh": "needs a GPU",
    "torchrun --nproc-per-node 2": "tests/training/fit runs two processes",
    "make zoo-models ZOO=mnist-glow": "takes hours and the published data",
    "bijecta train fsdd-wavenet": "takes two hours and the recordings",
    "bijecta distill runs/$teacher": "tests/training/distill runs the same recipes, shortened",
}

every_block = pytest.mark.parametrize("block", ALL_BLOCKS, ids=str)


def test_every_page_is_known() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if tracked.returncode != 0:
        pytest.skip("not a git repository")
    written = {p for p in tracked.stdout.split() if "/results/" not in p}
    assert written == set(PAGES) | {"THIRD_PARTY_NOTICES.md"}
    assert (ROOT / "README.md").read_text().count("\n") <= 200


@every_block
def test_every_block_is_run_by_something_or_is_a_known_exception(block: Block) -> None:
    excepted = [line for line in NOT_RUN if line in block.text]
    if excepted:
        assert block.check.startswith("hand"), f"{block}: says {block.check}"
    else:
        assert block.check in CHECKS
    if block.language in ("sh", "console"):
        text = block.text
        if block.language == "console":
            text = "\n".join(command for command, _ in commands(block))
        done = subprocess.run(
            ["bash", "-n"], input=text, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    elif block.language == "toml":
        tomllib.loads(block.text)
    elif block.language == "python":
        ast.parse(block.text)
    else:
        assert block.language in ("diff", "text")


@pytest.mark.parametrize(
    "block", [b for b in ALL_BLOCKS if b.language == "toml" and not b.file], ids=str
)
def test_recipes_are_sound(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(block.text)
    if "distill" in tomllib.loads(block.text):
        load_student(str(path), load_recipe("digits-maf"))
    else:
        load_recipe(str(path), tmp_path / "rows.csv")


@pytest.mark.parametrize(
    "block",
    [b for b in ALL_BLOCKS if b.language == "python" and not b.file and b.check == "make test"],
    ids=str,
)
def test_python_prints_what_its_comments_say(block: Block) -> None:
    printed = io.StringIO()
    with chdir(ROOT), redirect_stdout(printed):  # here, where torch is imported already
        exec(compile(block.text, str(block), "exec"), {})
    expected = re.findall(r"print\(.*\)  # (.*)", block.text)
    assert printed.getvalue().splitlines() == expected


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    content = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", content):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        linked = (ROOT / page).parent / path if path else ROOT / page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
            assert anchor in slugs, target


def test_the_options_of_the_server_are_on_its_page() -> None:
    page = (ROOT / "service" / "README.md").read_text(encoding="utf-8")
    table = page.partition("## Options")[2].partition("\n## ")[0]
    flags = {flag.removeprefix("--") for flag in re.findall(r"`(--[a-z-]+)`", table)}
    fields = {name.replace("_", "-") for name in Settings.model_fields}
    assert flags == fields


def test_the_targets_named_on_pages_are_there() -> None:
    makefile = "\n".join(p.read_text() for p in [ROOT / "Makefile", *ROOT.rglob("tests/**/*.mk")])
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for page in PAGES:
        named = re.findall(r"`make ([a-z-]+)", (ROOT / page).read_text(encoding="utf-8"))
        gone = {"test-slow"} if page == "CHANGELOG.md" else set()
        assert not set(named) - targets - gone, page
