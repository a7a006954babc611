"""Pages of `bijecta report`, read strictly."""

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

from tests.helpers.recipes import call_bijecta

# Elements without an end.
VOID = {"meta", "link", "img", "br"}

ADDRESSES = ("src", "href", "srcset", "action", "data", "poster", "background", "formaction")


class Page(HTMLParser):
    """What stands in a page; that it is well-formed and loads nothing is checked on the way.

    Args:
        content: of its file.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content
        self.open: list[str] = []
        self.texts: dict[str, str] = {}
        """Of each section, by its heading."""
        self.headings: list[str] = []
        self.pictures: list[dict[str, str]] = []
        self.code: list[str] = []
        self.tags: set[str] = set()
        text = content.decode()
        assert text.startswith("<!doctype html>")
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"
        (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
        assert not re.search(r"url\(|@import", style)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        assert len(named) == len(attrs), f"an attribute stands twice: {attrs}"
        self.tags.add(tag)
        for name, value in named.items():
            assert not name.startswith("on"), f"a script: {name}"
            if name in ADDRESSES:
                assert value.startswith(("#", "data:")), f"an address elsewhere: {value[:80]}"
        if tag == "th":
            assert named.get("scope") in ("row", "col")
        if tag == "img":
            assert named["alt"].strip(".")
            assert {"width", "height"} <= named.keys()
            self.pictures.append(named)
        if tag == "h2":
            self.headings.append("")
        if tag == "code":
            self.code.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "h2" in self.open:
            self.headings[-1] += data
        elif self.headings and "section" in self.open:
            heading = self.headings[-1]
            self.texts[heading] = self.texts.get(heading, "") + data
            if self.open[-1] == "code":
                self.code[-1] += data


def report(*arguments: str | Path, cwd: Path) -> Page:
    """The page that the command writes."""
    done = call_bijecta("report", *arguments, "--output", "page.html", cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "page.html\n"
    assert [path.name for path in cwd.glob("page.html*")] == ["page.html"]
    return Page((cwd / "page.html").read_bytes())


def refused(*arguments: str | Path, cwd: Path) -> str:
    """What the command says when it fails: one line, and it leaves no page."""
    done = call_bijecta("report", *arguments, cwd=cwd)
    assert done.returncode == 1, done.stdout
    assert done.stderr.startswith("bijecta: ")
    assert done.stderr.count("\n") == 1
    assert not list(cwd.glob("**/*.html*"))
    return done.stderr
