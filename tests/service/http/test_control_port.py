"""Models are loaded and unloaded on a port of its own, where it is asked for."""

import re
import signal
import socket
from pathlib import Path

import httpx

from tests.helpers.http import metric
from tests.helpers.servers import Serve
from tests.helpers.waiting import wait_until

UNLOAD = "/v2/repository/models/moons-maf/unload"
LOAD = "/v2/repository/models/moons-maf/load"


def test_models_change_on_the_port_of_model_control_alone(moons_store: Path, serve: Serve) -> None:
    served = serve("--store", moons_store, "--control-port", "0", "--host", "127.0.0.1")
    said = re.compile(r"loaded and unloaded on 127\.0\.0\.1:(\d+)")
    wait_until(lambda: any(map(said.search, served.log)))
    port = next(match[1] for match in map(said.search, served.log) if match)
    public, ready = served.client, "/v2/models/moons-maf/ready"
    assert public.post(UNLOAD).status_code == 403
    assert public.get(ready).status_code == 200
    assert metric(public, "bijecta_request_failures_total", reason="forbidden") == 1
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as control:
        rebound = {"Host": f"evil.example:{port}"}
        assert control.post(UNLOAD, headers=rebound).status_code == 421
        assert control.post(UNLOAD, headers={"Origin": "https://evil.example"}).status_code == 403
        assert control.post(UNLOAD).status_code == 200
        assert public.get(ready).status_code == 503
        assert control.post(LOAD).status_code == 200
    assert public.get(ready).status_code == 200
    assert public.get(ready, headers=rebound).status_code == 200
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(timeout=40) == 0


def test_a_port_that_is_taken_is_said(moons_store: Path, serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        served = serve("--store", moons_store, "--control-port", str(port))
        assert served.process.wait(timeout=40) == 3
    assert any("address already in use" in line for line in served.log)
