"""TLS without a proxy, a UNIX socket, and a path below which a proxy shows the server."""

import asyncio
import contextlib
import logging
import math
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http import Process
from service.security import TlsFiles
from service.security.tls import first_expiry
from service.server import Server
from service.settings import Settings, SettingsError
from tests.helpers.asgi import make_server
from tests.helpers.certificates import make_certificate
from tests.helpers.http import metric
from tests.helpers.pages import ROOT
from tests.helpers.tiny import write_tiny_bundle
from tests.helpers.waiting import wait_until

ASKED = {"x": [[1, 2]]}

Made = Callable[..., tuple[Path, Path]]

# The beginning of one, as far as its times.
CERTIFICATE = bytes.fromhex(
    "3081a5308192a00302010202010130"
    "0a06082a8648ce3d040302"
    "30143112301006035504030c096c6f63616c686f7374"
    "301e170d3236313133303030303030305a170d3236313230323030303030305a"
)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Makes a certificate for localhost that stands on itself, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the command openssl")
    folder = tmp_path_factory.mktemp("certificates")

    return partial(make_certificate, folder)


@contextlib.contextmanager
def served(store: Path, **settings: Any) -> Iterator[Process]:
    """A server as `bijecta serve` runs it, in a thread."""
    write_tiny_bundle(store, "tiny")
    options: dict[str, Any] = {"store": store, "device": "cpu", "port": 0, "stop_seconds": 5}
    process = Process(Server(Settings(**options | settings, gc_policy="python")))
    thread = threading.Thread(target=process.run)
    thread.start()
    try:
        wait_until(lambda: process._served.ready)
        yield process
    finally:
        process.should_exit = True
        thread.join()


def is_healthy(**variables: Any) -> bool:
    """What the health check of the images says, in their environment."""
    command = [sys.executable, str(ROOT / "deploy" / "healthcheck.py")]
    environment = {name: str(value) for name, value in variables.items()}
    return (
        subprocess.run(command, env=environment, check=False, capture_output=True).returncode == 0
    )


def port_of(process: Process) -> int:
    found: int = process.servers[0].sockets[0].getsockname()[1]
    return found


def test_connections_of_ours_work_through_tls(tmp_path: Path, certificates: Made) -> None:
    certificate, key = certificates("first")
    with served(tmp_path, tls_certificate=certificate, tls_key=key, control_port=0) as process:
        trusted = ssl.create_default_context(cafile=str(certificate))
        port = port_of(process)
        # each of the eight sockets that listen takes some
        for _ in range(12):
            with httpx.Client(base_url=f"https://localhost:{port}", verify=trusted) as client:
                said = client.post("/log_prob", json=ASKED)
                assert said.json()["log_prob"] == [3]
        with httpx.Client(base_url=f"https://localhost:{port}", verify=trusted) as client:
            large = client.post("/sample?n=200000", headers={"Accept": "application/x-npy"})
            assert len(large.content) > 200_000 * 8
            body = b'{"x": [' + b"[1, 2]," * 50_000 + b"[1, 2]]}"
            assert len(client.post("/log_prob", content=body).json()["log_prob"]) == 50_001
        control = process._served.control_port
        with httpx.Client(base_url=f"https://localhost:{control}", verify=trusted) as client:
            assert client.post("/v2/repository/models/tiny/load").status_code == 200
            name = "bijecta_tls_certificate_expiry_timestamp_seconds"
            assert metric(client, name) == end_of(certificate)
        # a head too large is answered, and the connection closed, by the connection itself
        raw = socket.create_connection(("localhost", port))
        with trusted.wrap_socket(raw, server_hostname="localhost") as wrapped:
            wrapped.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000)
            assert wrapped.recv(100).startswith(b"HTTP/1.1 431")
        assert is_healthy(BIJECTA_PORT=port, BIJECTA_TLS_CERTIFICATE=certificate)
        assert not is_healthy(BIJECTA_PORT=port)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://localhost:{port}/health/live")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"https://localhost:{port}/health/live")


def test_a_certificate_is_taken_up_when_it_changes_with_its_key(
    tmp_path: Path, certificates: Made, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (first, first_key), (second, second_key) = certificates("a"), certificates("b")
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    shutil.copy(first, certificate)
    shutil.copy(first_key, key)
    files = TlsFiles(certificate, key)

    def shown() -> bytes:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        theirs = ssl.create_default_context()
        theirs.check_hostname, theirs.verify_mode = False, ssl.CERT_NONE
        client = theirs.wrap_bio(incoming, outgoing)
        server = files.context.wrap_bio(outgoing, incoming, server_side=True)
        for _ in range(4):
            for side in (client, server):
                with contextlib.suppress(ssl.SSLWantReadError):
                    side.do_handshake()
        found = client.getpeercert(binary_form=True)
        assert found is not None
        return found

    def of(path: Path) -> bytes:
        return ssl.PEM_cert_to_DER_cert(path.read_text())

    assert shown() == of(first)
    assert files.expiry == end_of(first)
    shutil.copy(second, certificate)  # and not its key yet
    files.refresh()
    assert shown() == of(first)
    assert "the certificate of before stays" in caplog.text
    assert files.expiry == end_of(first)
    shutil.copy(second_key, key)
    files.refresh()
    assert shown() == of(second)
    assert files.expiry == end_of(second)


def end_of(certificate: Path) -> float:
    """When a certificate expires, as openssl says it."""
    command = ["openssl", "x509", "-in", str(certificate), "-noout", "-enddate"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return ssl.cert_time_to_seconds(said.strip().removeprefix("notAfter="))


def test_of_several_certificates_the_first_to_expire_counts(certificates: Made) -> None:
    short, long = certificates("short")[0], certificates("long", days=40_000)[0]
    both = long.read_bytes() + b"a remark\n" + short.read_bytes()
    assert end_of(long) > 2524608000  # of 2050: with four digits of the year
    assert first_expiry(long.read_bytes()) == end_of(long)
    assert first_expiry(both) == end_of(short)
    assert first_expiry(b"") is None
    assert first_expiry(both.replace(b"MI", b"!!")) is None


@given(st.binary(max_size=300), st.integers(0, 400))
def test_what_is_no_certificate_has_no_end(noise: bytes, at: int) -> None:
    der = noise if at > len(CERTIFICATE) else CERTIFICATE[:at] + noise + CERTIFICATE[at + 1 :]
    found = first_expiry(ssl.DER_cert_to_PEM_cert(der).encode())
    assert found is None or math.isfinite(found)
    whole = ssl.DER_cert_to_PEM_cert(CERTIFICATE).encode()
    assert first_expiry(whole) == datetime(2026, 12, 2, tzinfo=UTC).timestamp()


def test_files_that_are_no_certificate_are_refused_in_words(
    tmp_path: Path, certificates: Made
) -> None:
    certificate, key = certificates("c")
    _, other = certificates("d")
    locked = tmp_path / "locked.pem"
    command = ["openssl", "ec", "-in", str(key), "-aes256", "-passout", "pass:x", "-out"]
    subprocess.run([*command, str(locked)], check=True, capture_output=True)
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing")
    for one, two, words in (
        (certificate, other, "no certificate with its key"),
        (certificate, locked, "without a password"),
        (nothing, key, "no certificate with its key"),
        (tmp_path / "none.pem", key, r"tls_certificate: .*No such file"),
        (certificate, tmp_path / "none.pem", r"tls_key: .*No such file"),
        (certificate, tmp_path, r"tls_key: .*Is a directory"),
    ):
        with pytest.raises(SettingsError, match=words):
            TlsFiles(one, two)


def test_a_server_listens_on_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as stale:  # as a server that was killed leaves it
        stale.bind(str(path))
    options: dict[str, Any] = {"uds": path, "host": "0.0.0.0", "model_control": True}
    with served(tmp_path / "store", **options) as process:
        for _ in range(12):
            transport = httpx.HTTPTransport(uds=str(path))
            with httpx.Client(base_url="http://any.name", transport=transport) as client:
                assert client.post("/log_prob", json=ASKED).json()["log_prob"] == [3]
        assert all(s.sockets[0].family == socket.AF_UNIX for s in process.servers)
        assert is_healthy(BIJECTA_UDS=path)
    assert not path.exists()


@pytest.mark.parametrize("kind", ["a file", "no folder", "long"])
def test_a_socket_that_cannot_be_made_ends_the_server_with_a_line(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    paths = {
        "a file": tmp_path / "f",
        "no folder": tmp_path / "x/y",
        "long": tmp_path / ("l" * 120),
    }
    (tmp_path / "f").write_text("mine")
    settings = Settings(store=tmp_path, device="cpu", uds=paths[kind], gc_policy="python")
    with pytest.raises(SystemExit) as ended:
        Process(Server(settings)).run()
    assert ended.value.code == 3
    (record,) = [
        r for r in caplog.records if r.levelno == logging.ERROR and r.name.endswith("shutdown")
    ]
    assert record.getMessage().startswith(str(paths[kind]))
    assert (tmp_path / "f").read_text() == "mine"


def test_a_proxy_may_leave_the_root_path_out_or_pass_it_on(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(served(tmp_path, root_path="/flows/a"))
        client = stack.enter_context(httpx.Client(base_url=f"http://localhost:{port_of(process)}"))
        for root in ("", "/flows/a"):
            said = client.post(f"{root}/log_prob", json=ASKED)
            assert said.json()["log_prob"] == [3]
            assert client.get(f"{root}/v2/models/tiny").status_code == 200
            assert client.get(f"{root}/health/ready").status_code == 200
            assert 'src="docs/docs.js"' in client.get(f"{root}/docs").text
            assert client.get(f"{root}/docs/docs.js").status_code == 200
            described = client.get(f"{root}/openapi.json").json()
            assert described["servers"] == [{"url": "/flows/a"}]
            assert client.head(f"{root}/models").status_code == 200
        assert client.get("/flows/a").text == client.get("/").text  # the page
        for path in ("/flows/ab/models", "/flows/models", "/flows"):
            assert client.get(path).status_code == 404


def test_grpc_shows_the_same_certificate_and_takes_up_another(
    tmp_path: Path, certificates: Made
) -> None:
    grpc = pytest.importorskip("grpc", reason="gRPC is not installed: pip install 'bijecta[grpc]'")
    from service.grpc import GrpcListener

    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    write_tiny_bundle(tmp_path / "store", "tiny")
    options: dict[str, Any] = {"tls_certificate": certificate, "tls_key": key, "grpc_port": 0}

    async def asked(port: int, trusted: Path) -> bool:
        credentials = grpc.ssl_channel_credentials(trusted.read_bytes())
        async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
            call = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
            try:
                return bool(await call(b"", timeout=20))
            except grpc.aio.AioRpcError:
                return False

    async def work() -> None:
        (first, first_key), (second, second_key) = certificates("e"), certificates("f")
        shutil.copy(first, certificate)
        shutil.copy(first_key, key)
        server = make_server(tmp_path / "store", **options)
        listener = GrpcListener(server)
        await listener.start()
        try:
            assert await asked(listener.port, first)
            assert not await asked(listener.port, second)
            shutil.copy(second, certificate)
            shutil.copy(second_key, key)
            assert server.tls is not None
            server.tls.refresh()
            assert await asked(listener.port, second)
            assert not await asked(listener.port, first)
        finally:
            await listener.abort()

    asyncio.run(work())
