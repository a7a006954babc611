"""gRPC inference beside an empty handler of grpc.aio whose messages have the same sizes.

    python -m tests.benchmarks.serving.grpc_rate STORE MODEL DIMENSIONS

64 connections ask for one row at a time. Server and callers share the machine, so that only the
ratio of the two rates tells anything: they take turns, and the figure is the geometric mean over
the pairs with its 95 % interval. Exits with 1 where it is below 0.8. Where the machine does other
work too, the CPU time of a call tells more.
"""

import argparse
import asyncio
import math
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import uvloop

from tests.benchmarks.common.machine import cpu_seconds
from tests.helpers.grpc_calls import METHOD, infer_request

CONNECTIONS = 64
TURN_SECONDS = 2.0
PAIRS = 10
MIN_RATIO = 0.8
STUDENT_T = 2.262  # of nine degrees of freedom


def serve_empty(answer: bytes, port: "multiprocessing.Queue[int]") -> None:
    """Serve a handler that does nothing."""

    async def handle(_: bytes, __: object) -> bytes:
        return answer

    async def serve() -> None:
        server = grpc.aio.server()
        handlers = {"ModelInfer": grpc.unary_unary_rpc_method_handler(handle)}
        service = METHOD.strip("/")
        # not registered one by one, which would make it slower
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        number = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        port.put(number)
        await server.wait_for_termination()

    uvloop.run(serve())


async def rates(
    ports: list[int], processes: list[int], question: bytes
) -> list[list[tuple[float, float]]]:
    """Requests a second of each server, and its CPU seconds of each, in turns."""
    options = (("grpc.use_local_subchannel_pool", 1),)
    calls = [
        [
            grpc.aio.insecure_channel(f"127.0.0.1:{port}", options).unary_unary(
                f"{METHOD}ModelInfer"
            )
            for _ in range(CONNECTIONS)
        ]
        for port in ports
    ]

    async def turn(server: int) -> tuple[float, float]:
        began, count, used = time.monotonic(), 0, cpu_seconds(processes[server])
        end = began + TURN_SECONDS

        async def ask(call: grpc.aio.UnaryUnaryMultiCallable) -> None:
            nonlocal count
            while time.monotonic() < end:
                await call(question)
                count += 1

        await asyncio.gather(*map(ask, calls[server]))
        used = cpu_seconds(processes[server]) - used
        return count / (time.monotonic() - began), used / count

    for server in range(len(ports)):
        await turn(server)  # not counted
    return [[await turn(server) for server in range(len(ports))] for _ in range(PAIRS)]


def first_answer(port: int, question: bytes) -> bytes:
    """Ask until the models are loaded."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask = channel.unary_unary(f"{METHOD}ModelInfer")
        for _ in range(300):
            try:
                answer: bytes = ask(question, timeout=30, wait_for_ready=True)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                time.sleep(0.1)
            else:
                return answer
    raise SystemExit("the models are not loaded after half a minute")


def main() -> int:
    """Measure; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("model")
    parser.add_argument("dimensions", type=int)
    asked = parser.parse_args()
    row = np.full((1, asked.dimensions), 0.5, np.float32)
    question = infer_request(asked.model, ("x", row)).SerializeToString()
    serve = [sys.executable, "-m", "service.cli", "serve", "--store", str(asked.store)]
    environment = os.environ | {"BIJECTA_DEVICE": "cpu"}
    process = subprocess.Popen(
        [*serve, "--port", "0", "--grpc-port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    empty: multiprocessing.Process | None = None
    try:
        assert process.stderr is not None
        port = 0
        for line in process.stderr:
            if match := re.search(r"gRPC on \S+:(\d+)", line):
                port = int(match[1])
                break
        threading.Thread(target=process.stderr.read, daemon=True).start()  # a full pipe stops it
        answer = first_answer(port, question)
        context = multiprocessing.get_context("spawn")
        ports: multiprocessing.Queue[int] = context.Queue()
        empty = context.Process(target=serve_empty, args=(answer, ports))  # type: ignore[assignment]
        assert empty is not None
        empty.start()
        assert empty.pid is not None
        processes = [process.pid, empty.pid]
        found = uvloop.run(rates([port, ports.get(timeout=60)], processes, question))
    finally:
        process.terminate()
        if empty is not None:
            empty.terminate()
    for (ours, our_cpu), (theirs, their_cpu) in found:
        print(
            f"{ours:8.0f} requests/s, {1e6 * our_cpu:5.0f} µs of CPU each; empty handler "
            f"{theirs:8.0f}, {1e6 * their_cpu:5.0f} µs"
        )
    low, ratio, high = _mean([ours[0] / theirs[0] for ours, theirs in found])
    print(f"ratio {ratio:.3f} (95 % interval {low:.3f} to {high:.3f})")
    low, cpu_ratio, high = _mean([ours[1] / theirs[1] for ours, theirs in found])
    print(
        f"CPU time of a call, in times of an empty one: {cpu_ratio:.2f} ({low:.2f} to {high:.2f})"
    )
    return 0 if ratio >= MIN_RATIO else 1


def _mean(ratios: list[float]) -> tuple[float, float, float]:
    """The geometric mean, between the ends of its 95 % interval."""
    logs = list(map(math.log, ratios))
    mean, error = statistics.mean(logs), statistics.stdev(logs) / math.sqrt(len(logs))
    low, middle, high = (math.exp(mean + k * STUDENT_T * error) for k in (-1, 0, 1))
    return low, middle, high


if __name__ == "__main__":
    sys.exit(main())
