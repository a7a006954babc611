"""The commands on the page of files print what the page says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.pages import ALL_BLOCKS, ROOT, Block, commands

BLOCKS = [b for b in ALL_BLOCKS if b.page == "service/FILES.md" and b.language == "console"]


def without_figures(text: str) -> str:
    """Text with the figures masked that another training makes others."""
    return re.sub(r"-?\d+\.\d+", "#", text)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_commands_print_what_the_page_says(block: Block, store: Path, tmp_path: Path) -> None:
    (tmp_path / "store").symlink_to(store)
    for command, printed in commands(block):
        line = command.replace("bijecta score", f"{sys.executable} -m service.cli score")
        done = subprocess.run(
            line,
            shell=True,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert without_figures(done.stdout.strip()) == without_figures(printed), line
