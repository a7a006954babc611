"""The commands of the page's section "Stores elsewhere" do what it says."""

from pathlib import Path

import pytest

from service.cli import main
from tests.helpers.pages import ALL_BLOCKS, ROOT, commands
from tests.helpers.tiny import write_tiny_bundle


def test_the_index_is_written_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_bundle(tmp_path / "store", "wine")
    monkeypatch.chdir(tmp_path)
    blocks = [b for b in ALL_BLOCKS if b.page == "deploy/README.md" and b.language == "console"]
    ((command, printed),) = [step for b in blocks for step in commands(b) if "index" in step[0]]
    assert main(command.split()[1:]) == 0
    assert capsys.readouterr().out.strip() == printed


def test_every_kind_of_address_is_on_the_page() -> None:
    from service.remote.address import EXTRAS

    page = (ROOT / "deploy" / "README.md").read_text()
    for scheme in EXTRAS.keys() - {"http"} | {"file"}:
        assert f"| `{scheme}://" in page
