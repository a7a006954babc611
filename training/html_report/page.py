"""From sections to one page of HTML, which loads nothing."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from training.html_report.blocks import AbsentError, Block
from training.html_report.reported import Reported
from training.html_report.section import Section

TEMPLATE = "page.html"


class Written(NamedTuple):
    """A section of the page: what it says, or why it says nothing."""

    section: Section
    blocks: Sequence[Block]
    absent: str


def page_of(reported: Reported, sections: Sequence[Section]) -> bytes:
    """The page, in UTF-8.

    Args:
        reported: what it is on.
        sections: of it, in order.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    environment.filters["commands"] = _commands
    page = environment.get_template(TEMPLATE).render(
        name=reported.name,
        sections=[_written(section, reported) for section in sections],
        version=version("bijecta"),
        seed=str(reported.seed),
    )
    return page.encode()


def _written(section: Section, reported: Reported) -> Written:
    try:
        return Written(section, section.write(reported), "")
    except AbsentError as error:
        return Written(section, (), str(error))


def _commands(text: str) -> Markup:
    """A sentence, in which what stands between grave accents is code."""
    parts = [
        Markup("<code>{}</code>" if i % 2 else "{}").format(part)
        for i, part in enumerate(_printable(text).split("`"))
    ]
    return Markup("").join(parts)


def _printable(value: Any) -> Any:
    """Text with escapes for what HTML cannot hold, or what would turn the text around it."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in value)
