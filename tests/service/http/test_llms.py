"""llms.txt says what there is to ask: as it is served, and in the repository."""

import re
from pathlib import Path

from starlette.testclient import TestClient

from service.http.app import create_app
from service.operations import FLOW_OPERATIONS
from service.server import Server
from service.settings import Settings
from tests.helpers.pages import ROOT

COPY = ROOT / "llms.txt"


def test_it_is_served_and_its_links_lead_somewhere(tmp_path: Path) -> None:
    app = create_app(Server(Settings(store=tmp_path, device="cpu")))
    http = TestClient(app)  # no model is needed
    answer = http.get("/llms.txt")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text == COPY.read_text(), "run `make manifests`"
    paths = http.get("/openapi.json").json()["paths"]
    links = dict(re.findall(r"^- \[(?:GET|POST) (\S+)\]\((\S+)\)", answer.text, re.MULTILINE))
    assert {f"/{each.name}" for each in FLOW_OPERATIONS} <= links.keys()
    for named, link in links.items():
        if named != "/mcp":  # where the server has it
            assert named.replace("NAME", "{name}") in paths, named
            assert link.partition("#")[0] in paths.keys() | {"/docs"}, link
