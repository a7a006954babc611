"""GPUs that are none: their memory, CUDA's library, and their driver as NVML shows it."""

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np

from service.runtime import CudaMemoryError
from service.runtime.cuda_memory import Bytes


class HostMemory:
    """Memory of a device that is the CPU (`DeviceMemory`), full after so many bytes.

    Args:
        size: of it, in bytes.
    """

    kind, index = "cpu", 0

    def __init__(self, size: int = 2**40) -> None:
        self.left = size
        self.kept: dict[int, Bytes] = {}
        self.copied = 0
        self.is_freed = False

    def pinned(self, size: int) -> Bytes:
        self._take(size)
        return np.full(size, 0xEE, np.uint8)

    def allocate(self, size: int) -> int:
        self._take(size)
        # a float64 needs an address that eight divides
        there = np.full(size + 64, 0xEE, np.uint8)
        there = there[-there.ctypes.data % 64 :]
        self.kept[there.ctypes.data] = there
        return there.ctypes.data

    def to_device(self, address: int, source: Bytes, size: int) -> None:
        self.copied += size
        self.kept[address][:size] = source[:size]

    def to_host(self, target: Bytes, address: int, size: int) -> None:
        self.copied += size
        target[:size] = self.kept[address][:size]

    def free(self) -> None:
        self.is_freed = True

    def _take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise CudaMemoryError("there is no more")


class FakeCuda:
    """CUDA's library, whose GPUs' memory is the host's.

    Attributes:
        alive: bytes at each address that has not been freed.
        devices: which GPU was chosen, one after another.
        code: what every call that is not `cudaSetDevice` returns, if it is not 0.
    """

    def __init__(self) -> None:
        self.alive: dict[int, Any] = {}
        self.devices: list[int] = []
        self.code = 0
        self.errors_read = 0

    def cudaSetDevice(self, index: ctypes.c_int) -> int:  # noqa: N802
        self.devices.append(index.value)
        return 0

    def cudaHostAlloc(self, found: Any, size: ctypes.c_size_t, flags: ctypes.c_uint) -> int:  # noqa: N802
        assert flags.value == 1
        return self.cudaMalloc(found, size)

    def cudaMalloc(self, found: Any, size: ctypes.c_size_t) -> int:  # noqa: N802
        if not self.code:
            content = ctypes.create_string_buffer(size.value)
            found._obj.value = ctypes.addressof(content)
            self.alive[found._obj.value] = content
        return self.code

    def cudaMemcpy(  # noqa: N802
        self,
        to: ctypes.c_void_p,
        source: ctypes.c_void_p,
        size: ctypes.c_size_t,
        way: ctypes.c_int,
    ) -> int:
        assert way.value in (1, 2)
        device, host = (to.value, source.value)[:: 1 if way.value == 1 else -1]
        assert device in self.alive
        assert host in self.alive
        assert size.value <= len(self.alive[device])
        ctypes.memmove(to, source, size.value)
        return self.code

    def cudaFree(self, address: ctypes.c_void_p) -> int:  # noqa: N802
        assert address.value is not None
        del self.alive[address.value]
        return self.code

    cudaFreeHost = cudaFree  # noqa: N815

    def cudaGetLastError(self) -> int:  # noqa: N802
        self.errors_read += 1
        return self.code


class Driver:
    """Two GPUs, of 80 GB each; what is in `silent` does not answer.

    Args:
        silent: numbers of GPUs.
        partitioned: numbers of GPUs whose use is not known, as of MIG's parts.
    """

    NVMLError = OSError

    def __init__(self, silent: set[int] | None = None, partitioned: set[int] | None = None) -> None:
        self.silent = silent or set()
        self.partitioned = partitioned or set()

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:  # noqa: N802
        if number in self.silent:
            raise self.NVMLError("GPU is lost")
        return number

    def nvmlDeviceGetMemoryInfo(self, number: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(used=(number + 1) * 10**9, total=80 * 10**9)

    def nvmlDeviceGetUtilizationRates(self, number: int) -> SimpleNamespace:  # noqa: N802
        if number in self.partitioned:
            raise self.NVMLError("not supported")
        return SimpleNamespace(gpu=25, memory=5)
