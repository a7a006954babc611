"""Spans of calls over gRPC and of language models' tools, sent at the end of the process."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.running import NAME
from tests.helpers.servers import Serve

pytest.importorskip("opentelemetry.sdk", reason="traces are not installed: bijecta[traces]")
pytest.importorskip("grpc", reason="gRPC is not installed: bijecta[grpc]")
pytest.importorskip("mcp", reason="MCP is not installed: bijecta[mcp]")

import grpc
import mcp

from tests.helpers.grpc_calls import METHOD, grpc_port, infer_request
from tests.helpers.otlp import Collector, Span, collector

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
METADATA = (("traceparent", f"00-{TRACE}-{CALLER}-01"), ("tracestate", "a=1"))
X = np.array([[1, 2]], np.float32)


def grpc_calls(port: int) -> None:
    """A call that is answered, one that is refused, a stream of both, a probe, and another."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        infer = channel.unary_unary(f"{METHOD}ModelInfer")
        good, bad = (infer_request(n, ("x", X)).SerializeToString() for n in (NAME, "none"))
        infer(good, metadata=METADATA, timeout=30)
        with pytest.raises(grpc.RpcError):
            infer(bad, metadata=METADATA, timeout=30)
        stream = channel.stream_stream(f"{METHOD}ModelStreamInfer")
        list(stream(iter([good, bad]), metadata=METADATA, timeout=30))
        channel.unary_unary(f"{METHOD}ServerLive")(b"", timeout=30)
        channel.unary_unary(f"{METHOD}ModelMetadata")(b"", timeout=30)


async def tool_calls(url: str) -> None:
    async with mcp.Client(f"{url}/mcp") as client:
        await client.call_tool("log_prob", {"x": [[1, 2]]})


@pytest.fixture(scope="module")
def found(tiny_store: Path, serve: Serve) -> Iterator[Collector]:
    options = ("--mcp", "--grpc-port", "0", "--threads", "1")
    with collector() as found:
        served = serve("--store", tiny_store, *options, "--trace-endpoint", found.url)
        grpc_calls(grpc_port(served))
        asyncio.run(asyncio.wait_for(tool_calls(str(served.client.base_url)), 60))
        served.end()
        assert served.process.returncode == 0
        yield found


def of(found: Collector, name: str) -> list[Span]:
    return [span for span in found.servers if span.name == name]


def test_calls_over_grpc_continue_the_trace_of_their_caller(found: Collector) -> None:
    service = METHOD.strip("/")
    for method in ("ModelInfer", "ModelStreamInfer"):
        good, bad = of(found, f"{service}/{method}")
        for span, code in ((good, "OK"), (bad, "NOT_FOUND")):
            assert (span.trace, span.parent, span.state, span.status) == (TRACE, CALLER, "a=1", 0)
            said: dict[str, Any] = span.attributes
            assert said["rpc.system.name"] == "grpc"
            assert said["rpc.method"] == f"{service}/{method}"
            assert said["rpc.response.status_code"] == code
        assert (good.attributes["bijecta.model"], good.attributes["bijecta.rows"]) == (NAME, 1)
        assert bad.attributes["bijecta.reason"] == "unknown-model"
        stages = found.stages(good)
        assert {stage.name for stage in stages} >= {"parse", "queue", "run", "serialise"}
        assert all(good.start <= stage.start <= stage.end <= good.end for stage in stages)
    (other,) = of(found, f"{service}/ModelMetadata")
    assert other.trace != TRACE
    assert not other.parent


def test_a_call_of_a_tool_is_a_request_in_a_request(found: Collector) -> None:
    (asked,) = of(found, "POST /log_prob")
    (call,) = [span for span in of(found, "POST /mcp") if span.id == asked.parent]
    assert asked.trace == call.trace
    assert call.start <= asked.start < asked.end <= call.end
    assert asked.attributes["bijecta.rows"] == 1


def test_probes_are_not_traced(found: Collector) -> None:
    assert not [span for span in found.servers if re.search("health|ServerLive", span.name)]
