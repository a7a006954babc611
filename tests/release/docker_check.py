"""Build the CPU image, serve from it with docker and with compose, and ask each.

    python -m tests.release.docker_check STORE MODEL

STORE holds a model named MODEL. DOCKER_BUILD holds further flags of `docker build`, such as
`--network host`. Takes minutes: it downloads what the image holds.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

ROOT = Path(__file__).parents[2]
IMAGE = "bijecta:cpu"
PROJECT = "bijecta-docker-check"
SECONDS_TO_START = 60.0

# exits with 1 where the image holds what only training needs, or runs as root
INSIDE = """
import importlib.util, os, sys
heavy = [name for name in ("torch", "onnx", "training") if importlib.util.find_spec(name)]
sys.exit(1 if heavy or os.getuid() == 0 else 0)
"""


def run(*command: str) -> str:
    """What a command prints, run in the root of the repository; it has to succeed."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}")
    return done.stdout


def ask(url: str, model: str) -> None:
    """Wait until the server is ready, draw two rows and see that they came."""
    opener, end = build_opener(ProxyHandler({})), time.monotonic() + SECONDS_TO_START
    while True:
        try:
            opener.open(f"{url}/health/ready", timeout=5).close()
            break
        except OSError as error:
            if time.monotonic() > end:
                raise SystemExit(f"{url} did not become ready: {error}") from None
            time.sleep(0.2)
    body = json.dumps({"model": model, "n": 2, "seed": 7}).encode()
    with opener.open(Request(f"{url}/sample", body), timeout=30) as answer:
        assert len(json.load(answer)["x"]) == 2


def check_image(store: Path, model: str) -> None:
    """Build the image, run it read-only, ask it and stop it."""
    flags = os.environ.get("DOCKER_BUILD", "").split()
    run("docker", "build", *flags, "-f", "deploy/Dockerfile", "--target", "cpu", "-t", IMAGE, ".")
    publish, volume = ("-p", "127.0.0.1::8000"), ("-v", f"{store}:/store:ro")
    container = run("docker", "run", "-d", "--read-only", *publish, *volume, IMAGE).strip()
    try:
        ask(f"http://{run('docker', 'port', container, '8000').split()[0]}", model)
        run("docker", "exec", container, "python", "-c", INSIDE)
        run("docker", "stop", "-t", "40", container)
        code = run("docker", "inspect", "-f", "{{.State.ExitCode}}", container).strip()
        assert code == "0", f"the container ended with {code}"
    finally:
        run("docker", "rm", "-f", container)


def check_compose(store: Path, model: str) -> None:
    """Bring up the service of docker-compose.yml, ask it and take it down."""
    compose = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    os.environ |= {"STORE": str(store), "PORT": str(port)}
    run(*compose, "-p", PROJECT, "up", "-d", "--build")
    try:
        ask(f"http://127.0.0.1:{port}", model)
    finally:
        run(*compose, "-p", PROJECT, "down", "--volumes")


def main(store: Path, model: str) -> None:
    """Check both; prints the size of the image."""
    check_image(store, model)
    check_compose(store, model)
    size = int(run("docker", "image", "inspect", "-f", "{{.Size}}", IMAGE))
    print(f"docker and compose answer; {IMAGE} has {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2])
