"""Build the images of a clean clone, bring them up as deploy/README.md says, ask and stop them.

    python -m tests.release.docker_check STORE MODEL

STORE holds a model named MODEL. Takes a quarter of an hour: it downloads what the images hold, and
trains. Variables: DOCKER_BUILD, further flags of `docker build` such as `--network host`;
TORCH_INDEX, an index that has torch for the CPU; MODELS, what is trained (a flow and a detector).
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from sklearn.datasets import load_wine

from bijecta_client import Client
from tests.helpers.certificates import make_certificate
from tests.helpers.pages import ALL_BLOCKS
from tests.release.ask import questions
from tests.release.stopping import KEEPERS, Callers

ROOT = Path(__file__).parents[2]
PROJECT = "bijecta-docker-check"
MODELS = "moons-maf wine-detector"
SECONDS_TO_START, SECONDS_TO_TRAIN = 60.0, 1200.0
LARGEST_TRAIN = 1.9e9  # bytes, with torch for the CPU

# exits with 1 where the image holds what only training needs, or may do more than it must
INSIDE = """
import importlib.util, os, pathlib, sys
heavy = [name for name in ("torch", "onnx", "training") if importlib.util.find_spec(name)]
capable = "CapEff:\\t0000000000000000" not in pathlib.Path("/proc/self/status").read_text()
writable = os.access("/", os.W_OK) or not os.statvfs("/").f_flag & os.ST_RDONLY
sys.exit(f"{heavy} {capable} {writable}" if heavy or capable or writable or os.getuid() == 0 else 0)
"""

GETS = (
    "/docs",
    "/openapi.json",
    "/models",
    "/metrics",
    "/health/live",
    "/v2",
    "/v2/health/live",
)


def run(*command: str, folder: Path) -> str:
    """What a command prints, run in a folder; it has to succeed."""
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}")
    return done.stdout.strip()


def get(url: str) -> tuple[int, bytes]:
    """Status and body of an answer."""
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=30) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, error.read()


def wait_until(what: str, condition: Callable[[], bool], seconds: float) -> float:
    """Seconds until a condition holds; it has to, in so many."""
    began = time.monotonic()
    while True:
        try:
            if condition():
                return time.monotonic() - began
        except OSError:
            pass
        if time.monotonic() - began > seconds:
            raise SystemExit(f"{what} did not come to be in {seconds:.0f} s")
        time.sleep(0.1)


def is_ready(url: str) -> bool:
    """Whether the server would answer."""
    return get(f"{url}/health/ready")[0] == 200


def ask_everything(url: str, flow: str, detector: str = "") -> None:
    """Every endpoint answers; `/score` where there is a detector, of wines."""
    for path in GETS:
        status, _ = get(url + path)
        assert status == 200, f"{path}: {status}"
    with Client(url) as client:
        rows = client.sample(2, seed=1, model=flow).x
        assert all(answer is not None for answer in questions(client, flow, rows))
        if detector:
            wine = load_wine()
            values = dict(zip(wine.feature_names, wine.data[0].tolist(), strict=True))
            scored = client.score([values | {"cultivar": "cultivar 1"}], model=detector)
            assert 0 < scored.p_value[0] <= 1


class Check:
    """The steps, in a clean clone.

    Args:
        clone: the folder of the clone.
    """

    def __init__(self, clone: Path) -> None:
        self.clone = clone
        self.compose = (
            ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
        )
        self.compose += ["-p", PROJECT]

    def docker(self, *arguments: str) -> str:
        """What `docker` prints."""
        return run("docker", *arguments, folder=self.clone)

    def build(self, target: str) -> int:
        """Build an image; returns its size in bytes."""
        flags = os.environ.get("DOCKER_BUILD", "").split()
        if index := os.environ.get("TORCH_INDEX"):
            flags += ["--build-arg", f"TORCH_INDEX={index}"]
        revision = run("git", "rev-parse", "HEAD", folder=self.clone)
        flags += ["--build-arg", f"REVISION={revision}"]
        image = f"bijecta:{target}"
        self.docker(
            "build", *flags, "-f", "deploy/Dockerfile", "--target", target, "-t", image, "."
        )
        said = json.loads(self.docker("image", "inspect", image))[0]
        assert said["Config"]["Labels"]["org.opencontainers.image.revision"] == revision
        assert said["Config"]["User"] == "10001"
        return int(said["Size"])

    def check_alone(self, store: Path, model: str) -> None:
        """The image serves a folder, read-only and without capabilities, and stops at once."""
        hard = ("--read-only", "--cap-drop", "ALL", "-p", "127.0.0.1::8000")
        more = ("-e", "BIJECTA_INSECURE=true", "-v", f"{store}:/store:ro")
        container = self.docker("run", "-d", *hard, *more, "bijecta:cpu")
        try:
            url = f"http://{self.docker('port', container, '8000').split()[0]}"
            wait_until("the server", lambda: is_ready(url), SECONDS_TO_START)
            ask_everything(url, model)
            self.docker("exec", container, "python", "-c", INSIDE)
            self.stop(container)
        finally:
            self.docker("rm", "-f", container)

    def stop(self, container: str) -> None:
        """`docker stop`; the server ends by itself."""
        self.docker("stop", "-t", "60", container)
        code = self.docker("inspect", "-f", "{{.State.ExitCode}}", container)
        assert code == "0", f"the container ended with {code}"

    def check_compose(self, models: list[str]) -> None:
        """One command: live at once, ready with the first model, all models in the end."""
        url = self.up()
        try:
            wait_until("the server", lambda: get(f"{url}/health/live")[0] == 200, SECONDS_TO_START)
            assert get(f"{url}/health/ready")[0] == 503
            wait_until(
                "the reason",
                lambda: (
                    "`docker compose up train`"
                    in json.loads(get(f"{url}/health/ready")[1])["reason"]
                ),
                SECONDS_TO_START,
            )
            first = wait_until("the first model", lambda: is_ready(url), SECONDS_TO_TRAIN)
            train = self.container("train")
            assert self.docker("wait", train) == "0", self.docker("logs", "--tail", "50", train)
            wait_until(
                "the last model",
                lambda: (
                    {m["name"] for m in json.loads(get(f"{url}/models")[1])["models"]}
                    == set(models)
                ),
                SECONDS_TO_START,
            )
            print(f"the first of {len(models)} models answers after {first:.0f} s")
            flow = next(name for name in models if name.startswith("moons"))
            detector = next((name for name in models if name.endswith("detector")), "")
            ask_everything(url, flow, detector)
            self.docker("exec", self.container("bijecta"), "python", "-c", INSIDE)
            for name in ("bijecta", "train"):
                self.check_hardened(name)
            self.check_stop(url, flow, through_proxy=True)
            run(*self.compose, "start", "bijecta", folder=self.clone)
            networks = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
            address = self.docker("inspect", "-f", networks, self.container("bijecta"))
            self.check_stop(f"http://{address}:8000", flow, through_proxy=False)
        finally:
            run(*self.compose, "down", "--volumes", folder=self.clone)

    def check_folder(self, store: Path, model: str) -> None:
        """A folder of the host, read by its owner."""
        folder = self.clone / "store"
        shutil.copytree(store, folder, dirs_exist_ok=True)
        os.environ |= {"STORE": str(folder), "RUN_AS": f"{os.getuid()}:{os.getgid()}"}
        url = self.up("bijecta")
        try:
            wait_until("the server", lambda: is_ready(url), SECONDS_TO_START)
            ask_everything(url, model)
            self.check_keys(model)
        finally:
            run(*self.compose, "down", "--volumes", folder=self.clone)

    def check_keys(self, model: str) -> None:
        """On every address a server starts with keys alone, made as the page says; TLS too."""
        os.environ["BIND"] = "0.0.0.0"
        self.up("bijecta")
        server = self.container("bijecta")
        logs = f"docker logs --tail 20 {server} 2>&1"
        wait_until(
            "the reason",
            lambda: "there are no keys" in run("sh", "-c", logs, folder=self.clone),
            SECONDS_TO_START,
        )
        (block,) = [block for block in ALL_BLOCKS if "export BIND=0.0.0.0" in block.text]
        added = re.findall(r"^docker compose (run .*?)(?: >.*)?$", block.text, re.MULTILINE)
        key, _ = (run(*self.compose, *each.split(), folder=self.clone) for each in added)
        os.environ["BIJECTA_KEYS"] = "/store/keys.json"
        url = self.up("bijecta")
        wait_until("the server", lambda: is_ready(url), SECONDS_TO_START)
        assert get(f"{url}/models")[0] == get(f"{url}/metrics")[0] == 401
        with Client(url, key=key) as client:
            assert client.sample(2, seed=1, model=model).x is not None
        server = self.container("bijecta")
        assert self.docker("port", server, "8000").startswith("0.0.0.0:")
        wait_until("the health check", lambda: self.is_healthy(server), SECONDS_TO_START)
        certificate, key_file = make_certificate(self.clone / "store", "tls")
        os.environ["BIJECTA_TLS_CERTIFICATE"] = f"/store/{certificate.name}"
        os.environ["BIJECTA_TLS_KEY"] = f"/store/{key_file.name}"
        self.up("bijecta")
        server = self.container("bijecta")
        wait_until("its health check by TLS", lambda: self.is_healthy(server), SECONDS_TO_START)
        print("keys, every address and TLS: it answers who has a key, and is healthy")

    def is_healthy(self, container: str) -> bool:
        """What the image's health check has found."""
        return self.docker("inspect", "-f", "{{.State.Health.Status}}", container) == "healthy"

    def up(self, *services: str) -> str:
        """Bring services up on a free port; returns the server's address."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            os.environ["PORT"] = str(free.getsockname()[1])
        run(*self.compose, "up", "-d", *services, folder=self.clone)
        return f"http://127.0.0.1:{os.environ['PORT']}"

    def container(self, service: str) -> str:
        """The id of the container of a service, whether it runs or not."""
        label = f"label=com.docker.compose.service={service}"
        project = f"label=com.docker.compose.project={PROJECT}"
        return self.docker("ps", "-aq", "--filter", label, "--filter", project)

    def check_hardened(self, service: str) -> None:
        """What the compose file says of a container is what the engine does."""
        said: dict[str, Any] = json.loads(self.docker("inspect", self.container(service)))[0]
        host = said["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["Memory"] > 0
        assert host["PidsLimit"] > 0
        assert host["LogConfig"]["Config"]["max-file"] == "3"
        assert said["Config"]["User"] == "10001"

    def check_stop(self, url: str, model: str, through_proxy: bool) -> None:
        """`docker stop` under load; no request that the server has taken is lost."""
        wait_until("the server", lambda: is_ready(url), SECONDS_TO_START)
        callers = Callers(url, model, newcomers=not through_proxy)
        callers.wait(500)
        large = [callers.ask_large() for _ in range(4)]
        time.sleep(0.1)
        self.stop(self.container("bijecta"))
        callers.end()
        rows = [each.result() for each in large]
        way = "Docker's proxy" if through_proxy else "the container's address"
        print(f"stopped under load by {way}: {callers.answered} answered, {len(callers.lost)} lost")
        print(*callers.lost, sep="\n", end="")
        assert callers.lost == []
        assert callers.sent_away == KEEPERS
        assert len(set(rows)) == 1


def main(store: Path, model: str) -> None:
    """Check everything; prints the sizes of the images."""
    os.environ["MODELS"] = os.environ.get("MODELS", MODELS)
    with tempfile.TemporaryDirectory() as folder:
        run("git", "clone", "--quiet", str(ROOT), "bijecta", folder=Path(folder))
        check = Check(Path(folder) / "bijecta")
        for target in ("cpu", "train"):
            size = check.build(target)
            print(f"bijecta:{target} has {size / 1e6:.0f} MB", flush=True)
            if target == "train" and os.environ.get("TORCH_INDEX"):
                assert size <= LARGEST_TRAIN
        check.check_alone(store, model)
        check.check_compose(os.environ["MODELS"].split())
        check.check_folder(store, model)
    print("docker and compose answer")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2])
