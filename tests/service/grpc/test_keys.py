"""Who may do what over gRPC: the same keys as over HTTP, and the same answers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from service.grpc import GrpcListener
from service.grpc.admin import SCOPES
from service.grpc.protos import messages
from service.security import Keyring, change_keys
from service.server import Server
from tests.helpers.api_keys import CALLERS, Lines, add_key, keys_of_every_kind
from tests.helpers.asgi import make_server
from tests.helpers.grpc_calls import METHOD, count, infer_request
from tests.helpers.http import metric_of
from tests.helpers.tiny import write_tiny_bundle
from tests.helpers.waiting import until

OK, NOBODY, DENIED, MISSING, LIMITED = (
    grpc.StatusCode.OK,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)

ROWS = "x", np.zeros((3, 2), np.float32)


class Caller:
    """Asks with metadata of its own."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    async def ask(self, method: str, message: Any, *metadata: tuple[str, str]) -> Any:
        """The answer, or the error."""
        call = self._channel.unary_unary(METHOD + method)(
            message.SerializeToString(), metadata=metadata, timeout=20
        )
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            return error

    def stream(self, *metadata: tuple[str, str]) -> Any:
        """A stream of inference requests."""
        method = self._channel.stream_stream(METHOD + "ModelStreamInfer")
        return method(metadata=metadata, timeout=20)


@contextlib.asynccontextmanager
async def served(folder: Path, **settings: Any) -> AsyncIterator[tuple[Caller, Server]]:
    """A server of two models, with the keys of a file."""
    for name in ("mine", "other"):
        write_tiny_bundle(folder / "store", name)
    options = {"keys": folder / "keys.json", "model_control": True, "grpc_port": 0}
    server = make_server(folder / "store", **options | settings)
    listener = GrpcListener(server)
    async with server.running():
        await until(lambda: server.ready)
        await listener.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{listener.port}") as channel:
                yield Caller(channel), server
        finally:
            await listener.abort()


def bearer(key: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key}"),) if key else ()


def code_of(said: Any) -> grpc.StatusCode:
    return said.code() if isinstance(said, grpc.aio.AioRpcError) else OK


def named(method: str, name: str) -> Any:
    """The request of a method for a model."""
    kind = getattr(messages, f"{method}Request")
    return kind(**{"model_name" if method.startswith("Repository") else "name": name})


# as of `CALLERS`
ANYBODY, READERS = (OK,) * 8, (NOBODY,) * 3 + (OK, OK, DENIED, OK, OK)
READERS_OF_OTHER = (NOBODY,) * 3 + (OK, DENIED, DENIED, OK, DENIED)
TABLE: list[tuple[str, Any, tuple[grpc.StatusCode, ...]]] = [
    ("ServerLive", messages.ServerLiveRequest(), ANYBODY),
    ("ServerReady", messages.ServerReadyRequest(), ANYBODY),
    ("ServerMetadata", messages.ServerMetadataRequest(), READERS),
    ("RepositoryIndex", messages.RepositoryIndexRequest(), READERS),
    ("ModelStatistics", messages.ModelStatisticsRequest(), READERS),
    ("ModelReady", named("ModelReady", "mine"), READERS),
    ("ModelReady", named("ModelReady", "other"), READERS_OF_OTHER),
    ("ModelMetadata", named("ModelMetadata", "other.decode"), READERS_OF_OTHER),
    ("ModelConfig", named("ModelConfig", "other"), READERS_OF_OTHER),
    ("ModelStatistics", named("ModelStatistics", "other"), READERS_OF_OTHER),
    (
        "ModelMetadata",
        named("ModelMetadata", "none"),
        (NOBODY,) * 3 + (MISSING, DENIED, DENIED, MISSING, DENIED),
    ),
    ("ModelInfer", infer_request("mine", ROWS), (NOBODY,) * 3 + (OK, OK, *(DENIED,) * 3)),
    (
        "ModelInfer",
        infer_request("other.sample", count(2)),
        (NOBODY,) * 3 + (OK, *(DENIED,) * 4),
    ),
    (
        "RepositoryModelLoad",
        named("RepositoryModelLoad", "mine"),
        (NOBODY,) * 3 + (DENIED, DENIED, DENIED, OK, OK),
    ),
    (
        "RepositoryModelUnload",
        named("RepositoryModelUnload", "other"),
        (NOBODY,) * 3 + (DENIED, DENIED, DENIED, OK, DENIED),
    ),
]


def test_who_may_do_what(tmp_path: Path) -> None:
    keys = keys_of_every_kind(tmp_path / "keys.json")
    assert {method for method, _, _ in TABLE} == {"ModelInfer", *SCOPES}

    async def work() -> None:
        async with served(tmp_path) as (caller, server):
            lines = server.telemetry._request_log = Lines()  # type: ignore[assignment]
            for method, message, expected in TABLE:
                said = [await caller.ask(method, message, *bearer(keys[c])) for c in CALLERS]
                assert tuple(map(code_of, said)) == expected, method
                for each in said:
                    if code_of(each) is not OK:
                        assert "bijecta_" not in each.details()
                        assert dict(each.trailing_metadata())["x-request-id"]
            await until(lambda: len(lines.records) == len(TABLE) * len(CALLERS))
            named = {None, "ask", "mine", "metrics", "admin", "mine-admin"}
            assert {record.key for record in lines.records} == named
            assert not any(key and key in lines.text for key in keys.values())
            text = server.metrics.exposition().decode()
            for reason in ("unauthorized", "not-permitted"):
                assert metric_of(text, "bijecta_rejections_total", reason=reason) > 10

    asyncio.run(work())


def test_a_key_comes_in_either_of_two_fields_and_not_in_both(tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys.json")

    async def work() -> None:
        async with served(tmp_path) as (caller, _):
            metadata: list[tuple[tuple[tuple[str, str], ...], grpc.StatusCode]] = [
                ((("x-api-key", key),), OK),
                ((("x-api-key", key[:-1]),), NOBODY),
                ((("x-api-key", f"Bearer {key}"),), NOBODY),
                ((("authorization", key),), NOBODY),
                ((("authorization", f"Basic {key}"),), NOBODY),
                ((*bearer(key), ("x-api-key", key)), NOBODY),
                ((*bearer(key), *bearer(key)), NOBODY),
            ]
            for fields, code in metadata:
                said = await caller.ask("ServerMetadata", messages.ServerMetadataRequest(), *fields)
                assert code_of(said) is code, fields

    asyncio.run(work())


def test_a_listing_names_what_the_key_is_for(tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys.json", models=["mine"])

    async def work() -> None:
        async with served(tmp_path) as (caller, _):
            for method in ("RepositoryIndex", "ModelStatistics"):
                message = getattr(messages, f"{method}Request")()
                said = await caller.ask(method, message, *bearer(key))
                assert b"mine" in said
                assert b"other" not in said

    asyncio.run(work())


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes into a bucket."""
    monkeypatch.setattr("service.server.Keyring", partial(Keyring, clock=lambda: 0.0))


@pytest.mark.usefixtures("stopped_clock")
def test_what_is_beyond_a_rate_is_told_when_to_come_again(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    requests = add_key(path, "a", requests_per_second=2)
    rows = add_key(path, "b", rows_per_second=4)

    async def work() -> None:
        async with served(tmp_path) as (caller, _):
            for key, seconds in ((requests, 1), (rows, 1)):
                said = [
                    await caller.ask("ModelInfer", infer_request("mine", ROWS), *bearer(key))
                    for _ in range(3)
                ]
                codes = [code_of(each) for each in said]
                assert codes == [OK, OK if key == requests else LIMITED, LIMITED]
                pushback = dict(said[-1].trailing_metadata())["grpc-retry-pushback-ms"]
                assert int(pushback) == 1000 * seconds
                assert "this key allows" in said[-1].details()

    asyncio.run(work())


def test_each_message_of_a_stream_is_admitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.json"
    key, metrics = add_key(path, models=["mine"]), add_key(path, "metrics", scopes=["metrics"])
    monkeypatch.setattr("service.security.keyring.LOOK_SECONDS", 0.01)

    async def work() -> None:
        async with served(tmp_path) as (caller, server):
            for nobody, code in (("", NOBODY), (metrics, DENIED)):
                stream = caller.stream(*bearer(nobody))
                await stream.done_writing()
                assert await stream.code() is code
            stream = caller.stream(*bearer(key))

            async def asked(name: str) -> str:
                await stream.write(infer_request(name, ROWS).SerializeToString())
                answer = messages.ModelStreamInferResponse.FromString(await stream.read())
                return str(answer.error_message)

            assert not await asked("mine")
            assert "is no key for model 'other'" in await asked("other")
            assert not await asked("mine")
            change_keys(path, lambda keys: [k for k in keys if k.name == "metrics"])
            assert server.keyring is not None
            await until(lambda: len(server.keyring._keys) == 1)  # type: ignore[union-attr]
            assert "this key is not known here" in await asked("mine")
            await stream.done_writing()

    asyncio.run(work())
