"""The additions of CONTRIBUTING.md, made in a copy of the repository."""

import re
import shutil
from pathlib import Path

from tests.helpers.pages import ROOT, blocks

PAGE = "CONTRIBUTING.md"
COPIED = ("models", "service", "training", "tests/laws", "tests/helpers", "tests/__init__.py")


def claimed() -> dict[str, tuple[int, int]]:
    """The files of each addition that the table states: of the repository, and of the client."""
    rows = re.findall(
        r"^\| \[([a-z ]+)\]\(#\S+\) \| (\d+)(?:, and (\d+) in the client)? \|$",
        (ROOT / PAGE).read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    return {name: (int(files), int(client or 0)) for name, files, client in rows}


def shown() -> dict[str, list[str]]:
    """The files that each addition's section touches."""
    content = (ROOT / PAGE).read_text(encoding="utf-8")
    section = re.compile(r"^### An? ([a-z ]+)\n(.*?)(?=^### |\Z)", re.DOTALL | re.MULTILINE)
    return {
        name: sorted(set(re.findall(r"^```(?:python|diff) (\S+)$", text, re.MULTILINE)))
        for name, text in section.findall(content)
    }


def copy_with_additions(folder: Path) -> None:
    """Copy the repository's packages into a folder, and make every addition there."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    for block in blocks(PAGE):
        path = folder / block.file
        if block.language == "python":
            assert not path.exists(), f"{block}: {block.file} is there already"
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "diff":
            path.write_text(_patched(path.read_text(encoding="utf-8"), block.text, str(block)))


def _patched(content: str, diff: str, where: str) -> str:
    """A file with the lines of a diff that begin with + in place of those that begin with -."""
    lines = diff.splitlines()
    assert all(line[:1] in ("", " ", "+", "-") for line in lines), where
    before, after = (
        "".join(f"{line[1:]}\n" for line in lines if line[:1] != other) for other in "+-"
    )
    assert content.count(before) == 1, f"{where}: found {content.count(before)} times:\n{before}"
    return content.replace(before, after)
