"""Running a bundle's two graphs on a device."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from service.bundle import DECODE, ENCODE, BundleError

Float32 = NDArray[np.float32]
Device = Literal["auto", "cuda", "cpu"]

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

# Enough for full speed, few enough that a request of any size needs bounded memory.
ROWS_AT_ONCE = 4096

CUDA_OPTIONS = {
    # TF32 keeps 10 bits of mantissa: log-densities need all 23
    "use_tf32": "0",
    # the default tries every algorithm anew for each batch size
    "cudnn_conv_algo_search": "HEURISTIC",
    "arena_extend_strategy": "kSameAsRequested",
}


class DeviceError(Exception):
    """The device asked for cannot be used here."""


class Engine:
    """One loaded bundle: its two sessions and the one thread that runs them.

    Args:
        folder: the bundle.
        device: where to run.
        threads: CPU threads within one run.

    Raises:
        DeviceError: `cuda` was asked for and onnxruntime did not take it.
    """

    def __init__(self, folder: Path, device: Device, threads: int) -> None:
        self._encode = _session(folder / ENCODE, device, threads)
        self._decode = _session(folder / DECODE, device, threads)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=folder.parent.name)

    @property
    def provider(self) -> str:
        """The execution provider in use, in onnxruntime's words."""
        provider: str = self._encode.get_providers()[0]
        return provider

    async def encode(self, x: Float32, context: Float32 | None) -> tuple[Float32, Float32]:
        """X (N × event shape) and context (N × columns) → z, log_prob (N, in nats)."""
        return await self._run(self._encode, _inputs("x", x, context))

    async def decode(self, z: Float32, context: Float32 | None) -> tuple[Float32, Float32]:
        """Z (N × latent shape) and context (N × columns) → x, log_prob (N, in nats)."""
        return await self._run(self._decode, _inputs("z", z, context))

    def warm_up(self, event_shape: tuple[int, ...], z: Float32, context: Float32 | None) -> None:
        """Run both graphs once: what cannot run fails now, and the first request finds it ready.

        Args:
            event_shape: shape of one data row.
            z: one latent, 1 × latent shape.
            context: its context, where the graphs take one.

        Raises:
            BundleError: the graphs are not of these shapes.
        """
        x, log_prob = self._decode.run(None, _inputs("z", z, context))
        again, _ = self._encode.run(None, _inputs("x", x, context))
        found = (x.shape, again.shape, log_prob.shape)
        if found != ((1, *event_shape), z.shape, (1,)):
            raise BundleError(
                f"the graphs' x, z and log_prob have shapes {found} where the manifest says event "
                f"shape {event_shape} and latent shape {z.shape[1:]}"
            )

    def close(self) -> None:
        """Wait for the run in progress and let the thread go."""
        self._executor.shutdown()

    async def _run(
        self, session: onnxruntime.InferenceSession, inputs: dict[str, Float32]
    ) -> tuple[Float32, Float32]:
        loop = asyncio.get_running_loop()
        parts = []
        for start in range(0, len(next(iter(inputs.values()))), ROWS_AT_ONCE):
            chosen = slice(start, start + ROWS_AT_ONCE)
            feed = {name: rows[chosen] for name, rows in inputs.items()}
            run: Callable[[], list[Float32]] = partial(session.run, None, feed)
            parts.append(await loop.run_in_executor(self._executor, run))
        if len(parts) == 1:
            return parts[0][0], parts[0][1]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _inputs(name: str, rows: Float32, context: Float32 | None) -> dict[str, Float32]:
    """What a graph is fed with, by name."""
    return {name: rows} if context is None else {name: rows, "context": context}


def granted_cpus() -> int:
    """CPUs this process may use: its affinity, cut down by the container's quota."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            cpus = min(cpus, int(quota) // int(period))
    except (OSError, ValueError):
        pass  # no cgroup v2: nothing is cut
    return max(cpus, 1)


def _session(path: Path, device: Device, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # a number, or onnxruntime pins threads to CPUs that a container may not have
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    built = CUDA in onnxruntime.get_available_providers()
    if device == "cuda" and not built:
        raise DeviceError("device cuda was asked for, and this onnxruntime is a build without CUDA")
    if device == "cpu" or (device == "auto" and not (built and _has_nvidia_device())):
        return onnxruntime.InferenceSession(path, options, providers=[CPU])
    onnxruntime.preload_dlls()
    session = onnxruntime.InferenceSession(path, options, providers=[(CUDA, CUDA_OPTIONS), CPU])
    # onnxruntime falls back to the CPU with no more than a line in its log
    if device == "cuda" and session.get_providers()[0] != CUDA:
        raise DeviceError(
            "device cuda was asked for, and onnxruntime could not use it: it needs an NVIDIA "
            "driver (in a container: --gpus all), CUDA 13 and cuDNN 9 (pip install 'bijecta[cuda]' "
            "brings these two); device auto or cpu starts without"
        )
    return session


def _has_nvidia_device() -> bool:
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()
