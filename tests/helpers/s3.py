"""An S3 of one's own (moto's), behind a network that can be made bad, and who asks meanwhile."""

import contextlib
import logging
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

BUCKET = "flows"
BODY = {"x": [[1.0, 2.0]]}
"""Of a request to a tiny bundle."""


@dataclass
class Network:
    """A port whose connections lead to another one.

    Args:
        target: that port, of this machine.

    Attributes:
        bytes_per_second: of each connection; None for no limit, 0 for none at all.
        is_down: whether connections are closed as soon as they are made.
    """

    target: int
    bytes_per_second: float | None = None
    is_down: bool = False
    port: int = field(init=False)

    def __post_init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                threading.Thread(target=self._forward, args=(near,), daemon=True).start()

    def _forward(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError):
            if self.is_down:
                return
            with socket.create_connection(("127.0.0.1", self.target)) as far:
                others = {near: far, far: near}
                while not self.is_down:
                    ready, _, _ = select.select([near, far], [], [], 0.05)
                    for each in ready:
                        if (rate := self.bytes_per_second) == 0:
                            time.sleep(0.05)
                            continue
                        data = each.recv(2**16 if rate is None else max(1, int(rate / 20)))
                        if not data:
                            return
                        others[each].sendall(data)
                        if rate is not None:
                            time.sleep(len(data) / rate)


@dataclass
class S3:
    """A bucket, and the network before it.

    Args:
        client: of boto3, past the network.
        network: that everybody else takes.
    """

    client: Any
    network: Network

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead to it."""
        return CREDENTIALS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.network.port}"}

    def put(self, path: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=path, Body=content)

    def upload(self, folder: Path, to: str) -> None:
        """Upload a bundle, the manifest last."""
        for path in sorted(folder.iterdir(), key=lambda path: path.name == "manifest.json"):
            self.put(f"{to}/{path.name}", path.read_bytes())


class Asker(threading.Thread):
    """Asks a server without a pause, until it is stopped.

    Attributes:
        versions: that have answered, in their order.
        failures: answers that were none.
        seconds: that each took.
    """

    def __init__(self, url: httpx.URL) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._ended = threading.Event()
        self.versions: list[int] = []
        self.failures: list[str] = []
        self.seconds: list[float] = []
        self.start()

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._ended.wait(0.005):
                started = time.monotonic()
                answer = client.post("/log_prob", json=BODY)
                self.seconds.append(time.monotonic() - started)
                if answer.status_code != 200:
                    self.failures.append(answer.text)
                else:
                    self.versions.append(answer.json()["version"])

    def end(self) -> None:
        self._ended.set()
        self.join()


CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "key-of-a-test",
    "AWS_SECRET_ACCESS_KEY": "secret-of-a-test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextlib.contextmanager
def s3_server() -> Iterator[S3]:
    """An S3 with an empty bucket."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )
    client.create_bucket(Bucket=BUCKET)
    network = Network(port)
    try:
        yield S3(client, network)
    finally:
        network.close()
        server.stop()


@contextlib.contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """Variables of this process for a while, which those that it starts have too."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
