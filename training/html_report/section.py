"""What a section of the page is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from training.html_report.blocks import Block
from training.html_report.reported import Reported


@dataclass(frozen=True)
class Section:
    """A section; `registry.SECTIONS` lists them.

    Args:
        title: its heading.
        write: what it says of a model. Raises AbsentError where it has nothing to say, and why.
    """

    title: str
    write: Callable[[Reported], Sequence[Block]]

    @property
    def anchor(self) -> str:
        """Its address in the page."""
        return self.title.lower().replace(" ", "-")
