"""Where graphs run: the choice of a device, and onnxruntime's settings for it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onnxruntime

from service.runtime.cancellation import Cancellation
from service.runtime.cpus import granted_cpus

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

SPECIFICATION = re.compile(r"auto|(?P<kind>cpu|cuda)(:(?P<number>[0-9]+))?")


class DeviceError(Exception):
    """The device asked for cannot be used here."""


@dataclass(frozen=True)
class Device:
    """A device to run graphs on.

    Args:
        kind: `cpu` or `cuda`.
        index: of the GPU.
        required: whether another device will not do.
        threads: of the CPU, for a model.
    """

    kind: Literal["cpu", "cuda"]
    index: int = 0
    required: bool = True
    threads: int = 1

    @classmethod
    def choose(cls, specification: str) -> "Device":
        """The device that a specification means on this machine.

        Args:
            specification: `auto`, a GPU where there is one; `cpu`, or `cpu:n` with n threads;
                `cuda`, or `cuda:n`, the GPU of that number.

        Raises:
            DeviceError: it is no specification, or names a GPU and this onnxruntime knows none.
        """
        if not (match := SPECIFICATION.fullmatch(specification)):
            raise DeviceError(
                f"device: expected auto, cpu, cpu:n, cuda or cuda:n, got {specification!r:.40}"
            )
        number = int(match["number"] or 0)
        built = CUDA in onnxruntime.get_available_providers()
        if match["kind"] == "cuda" and not built:
            raise DeviceError(
                f"device {specification} was asked for, and this onnxruntime was built without CUDA"
            )
        if match["kind"] == "cuda" or (match["kind"] is None and built and _has_nvidia_device()):
            return cls("cuda", number, required=match["kind"] == "cuda")
        return cls("cpu", threads=number or granted_cpus())

    def runs(self, threads: int | None) -> int:
        """Runs of a model at a time; `threads` is how many the settings ask for, if they do."""
        return 1 if self.kind == "cuda" else threads or self.threads

    def session(
        self,
        content: bytes,
        cancellation: Cancellation | None = None,
        plans_memory: bool = True,
    ) -> onnxruntime.InferenceSession:
        """A graph, loaded.

        Args:
            content: of the ONNX file.
            cancellation: ends the load, with an error of onnxruntime's.
            plans_memory: whether a run takes all its memory at once, by the pattern of an earlier
                one of as many rows; that comes beside what the earlier one took, and stays.

        Raises:
            DeviceError: a GPU was asked for, and onnxruntime could not use it.
        """
        options = session_options()
        options.enable_mem_pattern = plans_memory
        if cancellation is not None:
            cancellation.watch_load(options)
        if self.kind == "cpu":
            session = onnxruntime.InferenceSession(content, options, providers=[CPU])
            # which keeps the file to fall back to the CPU: as much memory as the weights
            session.disable_fallback()
            session._model_bytes = None
            return session
        onnxruntime.preload_dlls()
        providers = [(CUDA, cuda_options(self.index)), CPU]
        session = onnxruntime.InferenceSession(content, options, providers=providers)
        # onnxruntime falls back to the CPU with no more than a line in its log
        if self.required and session.get_providers()[0] != CUDA:
            raise DeviceError(
                f"device cuda:{self.index} was asked for, and onnxruntime could not use it: it "
                "needs an NVIDIA driver (in a container: --gpus all), CUDA 13 and cuDNN 9 (pip "
                "install 'bijecta[cuda]' brings these two); device auto or cpu starts without"
            )
        return session


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


def cuda_options(index: int) -> dict[str, str]:
    """Onnxruntime's settings for the GPU of that number."""
    return {
        "device_id": str(index),
        # TF32 keeps 10 bits of mantissa: log-densities need all 23
        "use_tf32": "0",
        # the default tries every algorithm anew for each batch size
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
    }


def _has_nvidia_device() -> bool:
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()
