"""The application of Ray Serve: replicas behind one address, one of them killed, more and fewer."""

import ast
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import httpx
import pytest
import yaml

from tests.helpers.pages import ROOT
from tests.helpers.waiting import wait_until

FOLDER = ROOT / "deploy" / "ray"
STORE = ROOT / "tests" / "stored" / "format_1" / "store"
PORT = 18431
CALLERS = 8


def test_the_configuration_is_of_the_application() -> None:
    (said,) = yaml.safe_load((FOLDER / "serve.yaml").read_text())["applications"]
    module, _, name = said["import_path"].partition(":")
    source = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
    classes = {each.name for each in source.body if isinstance(each, ast.ClassDef)}
    assigned = {
        target.id
        for each in source.body
        if isinstance(each, ast.Assign)
        for target in each.targets
        if isinstance(target, ast.Name)
    }
    assert name in assigned
    assert {each["name"] for each in said["deployments"]} <= classes


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Ray Serve with one replica, which may become two."""
    ray = pytest.importorskip("ray", reason="needs Ray Serve: pip install 'bijecta[ray-serve]'")
    serve = pytest.importorskip("ray.serve", reason="needs Ray Serve, as bijecta[ray-serve] has it")
    for name, value in {"STORE": str(STORE), "DEVICE": "cpu:1"}.items():
        monkeypatch.setenv(f"BIJECTA_{name}", value)
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=80 * 2**20)
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    from deploy.ray.application import Bijecta

    scaling = {
        "min_replicas": 1,
        "max_replicas": 2,
        "target_ongoing_requests": 2,
        "upscale_delay_s": 1,
        "downscale_delay_s": 3,
        "metrics_interval_s": 0.5,
        "look_back_period_s": 2,
    }
    replica: Any = Bijecta
    options = {"autoscaling_config": scaling, "ray_actor_options": {"num_cpus": 0.5}}
    serve.run(replica.options(**options).bind(), name="bijecta", route_prefix="/")
    yield serve
    serve.shutdown()
    ray.shutdown()


def running(serve: Any) -> int:
    """How many replicas answer."""
    states = serve.status().applications["bijecta"].deployments["Bijecta"].replica_states
    return int({str(getattr(k, "value", k)): n for k, n in states.items()}.get("RUNNING", 0))


@pytest.mark.long
def test_a_replica_is_killed_under_load_and_no_request_is_lost(serve: Any) -> None:
    import ray
    from ray.serve.schema import ServeDeploySchema

    ServeDeploySchema.model_validate(yaml.safe_load((FOLDER / "serve.yaml").read_text()))
    address, over = f"http://127.0.0.1:{PORT}", Event()
    rows = [[k / 1000, 0.5, -0.5] for k in range(2000)]
    body = {"model": "maf", "x": rows}
    expected = httpx.post(f"{address}/log_prob", json=body, timeout=30).json()["log_prob"]
    outcomes: Counter[str] = Counter()

    def ask() -> None:
        with httpx.Client(base_url=address, timeout=30) as http:
            while not over.is_set():
                for attempt in range(8):
                    try:
                        answer = http.post("/log_prob", json=body)
                    except httpx.TransportError as error:  # no answer at all
                        outcomes[f"without an answer: {type(error).__name__}"] += 1
                        continue
                    if answer.status_code == 200:
                        right = answer.json()["log_prob"] == pytest.approx(expected, abs=1e-4)
                        outcomes["right" if right else "wrong"] += 1
                        outcomes["after a retry"] += attempt > 0
                        break
                    outcomes[f"answered {answer.status_code}"] += 1
                    time.sleep(0.1 * 2**attempt)
                else:
                    outcomes["lost"] += 1

    assert running(serve) == 1
    with ThreadPoolExecutor(CALLERS) as pool:
        callers = [pool.submit(ask) for _ in range(CALLERS)]
        try:
            up = wait_until(lambda: running(serve) == 2, 90, "it was not scaled up", 0.2)
            names = [
                each["name"]
                for each in ray.util.list_named_actors(all_namespaces=True)
                if "Bijecta" in each["name"]
            ]
            before = outcomes["right"]
            ray.kill(ray.get_actor(names[0], namespace="serve"))
            wait_until(lambda: running(serve) < 2, 90, "the kill was not noticed", 0.2)
            replaced = wait_until(lambda: running(serve) == 2, 90, "no other replica came", 0.2)
            after = outcomes["right"] - before
        finally:
            over.set()
        for caller in callers:
            caller.result()
    down = wait_until(lambda: running(serve) == 1, 90, "it was not scaled down", 0.2)
    print(f"up {up:.1f} s, replaced {replaced:.1f} s, down {down:.1f} s, {dict(outcomes)}")
    assert after > 0
    assert outcomes["lost"] == outcomes["wrong"] == 0
    assert not [each for each in outcomes if each.startswith("without an answer")]
