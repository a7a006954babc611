"""Where graphs run: the choice of a device, and onnxruntime's settings for it."""

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import onnxruntime

from service.runtime.cancellation import Cancellation
from service.runtime.capture_lock import CAPTURES
from service.runtime.cpus import granted_cpus

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

SPECIFICATION = re.compile(
    r"auto|(?P<cpu>cpu)(:(?P<threads>[0-9]+))?|(?P<cuda>cuda(:[0-9]+)?(,cuda(:[0-9]+)?)*)"
)

CAPTURING = "enable_cuda_graph"

# Of a model on each GPU: while one runs, the next is put together and copied.
GPU_RUNS = 2


class DeviceError(Exception):
    """The device asked for cannot be used here."""


@dataclass(frozen=True)
class Device:
    """A device to run graphs on, or several GPUs.

    Args:
        kind: `cpu` or `cuda`.
        indices: of the GPUs.
        required: whether another device will not do.
        threads: of the CPU, for a model.
        processes: that share it, each of which has its part of threads, CPUs, memory and queues.
    """

    kind: Literal["cpu", "cuda"]
    indices: tuple[int, ...] = (0,)
    required: bool = True
    threads: int = 1
    processes: int = 1

    @classmethod
    def choose(cls, specification: str, processes: int = 1) -> "Device":
        """The device that a specification means on this machine.

        Args:
            specification: `auto`, a GPU where there is one; `cpu`, or `cpu:n` with n threads;
                `cuda`, or `cuda:n`, the GPU of that number; `cuda:0,cuda:1`, both.
            processes: that share it.

        Raises:
            DeviceError: it is no specification, or names a GPU and this onnxruntime knows none.
        """
        if not (match := SPECIFICATION.fullmatch(specification)):
            raise DeviceError(
                "device: expected auto, cpu, cpu:n, cuda, cuda:n or several of these with commas, "
                f"got {specification!r:.40}"
            )
        built = CUDA in onnxruntime.get_available_providers()
        if match["cuda"] and not built:
            raise DeviceError(
                f"device {specification} was asked for, and this onnxruntime was built without CUDA"
            )
        if match["cuda"]:
            names = specification.split(",")
            indices = tuple(int(name.partition(":")[2] or 0) for name in names)
            return cls("cuda", indices, processes=processes)
        if match["cpu"] is None and built and _has_nvidia_device():
            return cls("cuda", required=False, processes=processes)
        threads = int(match["threads"] or 0) or granted_cpus()
        return cls("cpu", threads=threads, processes=processes)

    @property
    def each(self) -> "list[Device]":
        """Devices of one GPU each; a CPU alone."""
        return [replace(self, indices=(index,)) for index in self.indices]

    def runs(self, threads: int | None) -> int:
        """Batches of a model at a time; `threads` is how many the settings ask for, if they do.

        Of GPUs, each has as many, of which one runs.
        """
        if self.kind == "cuda":
            return len(self.indices) * (threads or GPU_RUNS)
        return self.part_of(threads or self.threads)

    def part_of(self, count: int) -> int:
        """What one process has of so many threads, CPUs or rows: one at least."""
        return max(1, count // self.processes)

    def session(
        self,
        content: bytes,
        cancellation: Cancellation | None = None,
        plans_memory: bool = True,
        captures: bool = False,
    ) -> onnxruntime.InferenceSession:
        """A graph, loaded on the CPU or on the first GPU.

        Args:
            content: of the ONNX file.
            cancellation: ends the load, with an error of onnxruntime's.
            plans_memory: whether memory is planned when a graph is loaded, which values share, and
                taken at once, by the pattern of an earlier run of as many rows. What is shared is
                held from the first of its values to the last, and what an earlier run took stays.
            captures: whether a GPU should be able to capture runs as CUDA graphs, where it can:
                see `captures_graphs`.

        Raises:
            DeviceError: a GPU was asked for, and onnxruntime could not use it.
        """
        options = session_options()
        options.enable_mem_pattern = plans_memory
        # without it a row of fsdd-wavenet took 8 MB in place of 25, one of mnist-glow to decode in
        # float64 0.9 in place of 1.3, in 0.97 to 1.03 of the time, loops included
        options.enable_mem_reuse = plans_memory
        if cancellation is not None:
            cancellation.watch_load(options)
        if self.kind == "cpu":
            session = onnxruntime.InferenceSession(content, options, providers=[CPU])
        else:
            session = _gpu_session(content, options, self.indices[0], captures)
            # onnxruntime falls back to the CPU with no more than a line in its log
            if self.required and session.get_providers()[0] != CUDA:
                raise DeviceError(
                    f"device cuda:{self.indices[0]} was asked for, and onnxruntime could not use "
                    "it: it needs an NVIDIA driver (in a container: --gpus all), CUDA 13 and cuDNN "
                    "9 (pip install 'bijecta[cuda]' brings these two); device auto or cpu starts "
                    "without"
                )
        # which keeps the file to fall back to the CPU: as much memory as the weights
        session.disable_fallback()
        session._model_bytes = None
        return session


def captures_graphs(session: onnxruntime.InferenceSession) -> bool:
    """Whether runs of a session can be captured as CUDA graphs."""
    options = session.get_provider_options().get(CUDA, {})
    return str(options.get(CAPTURING)).lower() in ("1", "true")


def session_options(threads: int = 1) -> onnxruntime.SessionOptions:
    """Onnxruntime's settings of a session that uses no more than that many threads of the CPU.

    The engine divides rows between runs of one thread each: less to wait for. And a number, or
    onnxruntime pins threads to CPUs that a container may not have.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # threads that spin on would take the CPUs from whoever runs next
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # every error is an exception: a line of its own for each would be at the will of callers
    options.log_severity_level = 4
    return options


def cuda_options(index: int, captures: bool = False) -> dict[str, str]:
    """Onnxruntime's settings for the GPU of that number."""
    return {
        CAPTURING: "1" if captures else "0",
        "device_id": str(index),
        # TF32 keeps 10 bits of mantissa: log-densities need all 23
        "use_tf32": "0",
        # the default tries every algorithm anew for each batch size
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
    }


def _gpu_session(
    content: bytes, options: onnxruntime.SessionOptions, index: int, captures: bool
) -> onnxruntime.InferenceSession:
    """A session on a GPU, which captures only where all nodes that compute can run there."""
    onnxruntime.preload_dlls()
    with CAPTURES:
        if captures:
            # which graphs cannot be captured only onnxruntime knows, and it does not say how it
            # means to tell: whatever is wrong besides is wrong again below
            with suppress(Exception):
                providers = [(CUDA, cuda_options(index, captures)), CPU]
                return onnxruntime.InferenceSession(
                    content, options, providers=providers, enable_fallback=0
                )
        providers = [(CUDA, cuda_options(index)), CPU]
        return onnxruntime.InferenceSession(content, options, providers=providers)


def _has_nvidia_device() -> bool:
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()
