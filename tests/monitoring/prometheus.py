"""A Prometheus on this machine, with the rules of `deploy/` that wait for seconds, not minutes."""

import json
import math
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.helpers.pages import ROOT
from tests.helpers.waiting import free_port, wait_until

RULES = ROOT / "deploy" / "alerts.yml"

EVERY = "5s"
"""Between scrapes; a server that has little of a CPU and many callers takes a second for one."""

WAIT = "2s"
"""What a rule waits for, in place of its own `for:`."""


def quick_rules() -> str:
    """The rules, with the same expressions and a short `for:`."""
    text = re.sub(r"^( +for: ).*$", rf"\g<1>{WAIT}", RULES.read_text(), flags=re.MULTILINE)
    quick, slow = yaml.safe_load(text), yaml.safe_load(RULES.read_text())
    for groups in (quick["groups"], slow["groups"]):
        for group in groups:
            for rule in group["rules"]:
                rule.pop("for", None)
    assert quick == slow, "more than `for:` has changed"
    return text


def alert_names() -> list[str]:
    """The alerts of the rules, in their order."""
    return re.findall(r"- alert: (\w+)", RULES.read_text())


class Prometheus:
    """A Prometheus.

    Args:
        folder: of its files.
        jobs: how it scrapes each server, by the name of its job.
    """

    def __init__(self, folder: Path, jobs: Mapping[str, dict[str, Any]]) -> None:
        folder.mkdir()
        (folder / "alerts.yml").write_text(quick_rules())
        config = {
            "global": {"scrape_interval": EVERY, "evaluation_interval": "2s"},
            "rule_files": ["alerts.yml"],
            "scrape_configs": [{"job_name": name, **job} for name, job in jobs.items()],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        port = free_port()
        command = [
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stderr=log, stdout=log)
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
        wait_until(self._is_ready, what=f"Prometheus does not start: {folder / 'log'}", pause=0.2)

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, "Prometheus has ended"
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def values(self, query: str) -> list[float]:
        """What a query comes to now, without what is no number."""
        answer = self._http.post("/api/v1/query", data={"query": query})
        said: dict[str, Any] = json.loads(answer.text)
        assert said["status"] == "success", f"{query}: {said}"
        found = [float(one["value"][1]) for one in said["data"]["result"]]
        return [value for value in found if not math.isnan(value)]

    def firing(self) -> set[str]:
        """The alerts that fire now."""
        alerts = self._http.get("/api/v1/alerts").json()["data"]["alerts"]
        return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}

    def fires(self, alert: str) -> bool:
        """Whether an alert fires now."""
        return alert in self.firing()

    def version(self) -> str:
        """Its version."""
        said: str = self._http.get("/api/v1/status/buildinfo").json()["data"]["version"]
        return said

    def close(self) -> None:
        """End it."""
        self._http.close()
        self._process.terminate()
        self._process.wait(timeout=30)
