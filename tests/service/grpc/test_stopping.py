"""The end of a server that answers over gRPC: nothing that was accepted is lost."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import grpc
import numpy as np

from service.grpc.protos import messages
from tests.helpers.grpc_calls import METHOD, count, grpc_port, infer_request
from tests.helpers.servers import Serve, Served

QUESTION = infer_request("maf", ("x", np.zeros((1, 3), "f4"))).SerializeToString()
SAMPLE = infer_request("maf.sample", count(60_000), seed=1).SerializeToString()


def test_sigterm_under_load_loses_nothing(grpc_store: Path, serve: Serve) -> None:
    served = serve("--store", grpc_store, "--grpc-port", "0", "--drain-seconds", "1")
    asyncio.run(_sigterm_under_load(served))
    assert served.process.wait(timeout=60) == 0
    assert not [line for line in served.log if "ERROR" in line or "Traceback" in line]


async def _sigterm_under_load(served: Served) -> None:
    url, codes = f"127.0.0.1:{grpc_port(served)}", Counter[grpc.StatusCode]()
    has_begun = asyncio.Event()

    async def ask_on(channel: grpc.aio.Channel) -> None:
        """Ask until the server has gone."""
        call = channel.unary_unary(f"{METHOD}ModelInfer")
        while not codes[grpc.StatusCode.UNAVAILABLE]:
            try:
                response = messages.ModelInferResponse.FromString(await call(QUESTION, timeout=30))
                assert response.outputs[0].name == "log_prob"
                codes[grpc.StatusCode.OK] += 1
            except grpc.aio.AioRpcError as error:
                codes[error.code()] += 1
            if sum(codes.values()) >= 100:
                has_begun.set()

    async with grpc.aio.insecure_channel(url) as channel:
        silent = channel.stream_stream(f"{METHOD}ModelStreamInfer")()
        await silent.write(QUESTION)
        await silent.read()
        busy = channel.stream_stream(f"{METHOD}ModelStreamInfer")()
        callers = [asyncio.create_task(ask_on(channel)) for _ in range(8)]
        await has_begun.wait()
        served.process.send_signal(signal.SIGTERM)
        ready = channel.unary_unary(f"{METHOD}ServerReady")
        while messages.ServerReadyResponse.FromString(await ready(b"")).ready:
            await asyncio.sleep(0.02)
        # it says that it is going, and answers all the same
        codes_then = codes[grpc.StatusCode.OK]
        await busy.write(SAMPLE)
        whole = asyncio.create_task(_whole(channel))
        pieces = 0
        while True:
            piece = messages.ModelStreamInferResponse.FromString(await busy.read())
            pieces += 1
            assert not piece.error_message
            if piece.infer_response.parameters["triton_final_response"].bool_param:
                break
        assert pieces > 1
        assert await whole == 60_000
        await asyncio.gather(*callers)
        assert codes[grpc.StatusCode.OK] > codes_then
        # what came after the end was not taken, and nothing else happened
        assert codes.keys() == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
        for stream in (silent, busy):
            assert await stream.code() is grpc.StatusCode.UNAVAILABLE


async def _whole(channel: grpc.aio.Channel) -> int:
    answer = await channel.unary_unary(f"{METHOD}ModelInfer")(SAMPLE, timeout=60)
    response = messages.ModelInferResponse.FromString(answer)
    return int(response.outputs[0].shape[0])


def test_a_port_that_is_taken_is_said(grpc_store: Path, serve: Serve) -> None:
    # which would let another one beside it, as a server here lets its own
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        port = taken.getsockname()[1]
        served = serve("--store", grpc_store, "--grpc-port", str(port))
        assert served.process.wait(timeout=40) == 3
    assert any(f"gRPC cannot listen on 127.0.0.1:{port}" in line for line in served.log)
    assert not any("Traceback" in line for line in served.log)


def test_an_install_without_the_extra_says_what_to_install(grpc_store: Path) -> None:
    program = (
        "import sys; sys.modules['grpc'] = None; import service.cli; sys.exit(service.cli.main())"
    )
    command = [sys.executable, "-c", program, "serve", "--store", str(grpc_store)]
    done = subprocess.run(
        [*command, "--grpc-port", "0"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "pip install 'bijecta[grpc]'" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
