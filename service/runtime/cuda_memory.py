"""Memory of a GPU, and memory of the host that a GPU reads and writes by itself."""

import ctypes
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

# of the CUDA that onnxruntime is built for; `onnxruntime.preload_dlls` has loaded it
LIBRARY = "libcudart.so.13"

PORTABLE = 1  # pinned for every GPU
TO_DEVICE, TO_HOST = 1, 2

# Shorter copies are over before another thread that got the interpreter's lock would give it back.
SHORT_BYTES = 2**20

Bytes = NDArray[np.uint8]


class CudaMemoryError(Exception):
    """CUDA's library is not there, or has no such memory."""


class DeviceMemory(Protocol):
    """Memory of one device and of the host.

    Attributes:
        kind: of the device, in onnxruntime's words.
        index: its number.
    """

    kind: str
    index: int

    def pinned(self, size: int) -> Bytes:
        """Bytes of the host."""
        ...

    def allocate(self, size: int) -> int:
        """The address of bytes of the device."""
        ...

    def to_device(self, address: int, source: Bytes, size: int) -> None:
        """Copy the first bytes of what `pinned` gave to the device; done when it returns."""
        ...

    def to_host(self, target: Bytes, address: int, size: int) -> None:
        """Copy bytes of the device to the first of what `pinned` gave; done when it returns."""
        ...

    def free(self) -> None:
        """Give all of it back; nothing may use it any more."""
        ...


class CudaMemory:
    """Memory of an NVIDIA GPU (`DeviceMemory`), by CUDA's own library.

    onnxruntime's Python interface has no pinned memory for the CUDA that is built into it.

    Args:
        index: of the GPU.

    Raises:
        CudaMemoryError: see there.
    """

    kind = "cuda"

    def __init__(self, index: int) -> None:
        self.index = index
        try:
            # of calls by `_held` other threads of the interpreter wait
            self._freed: Any = ctypes.CDLL(LIBRARY)
            self._held: Any = ctypes.PyDLL(LIBRARY)
        except OSError as error:
            raise CudaMemoryError(f"{LIBRARY} cannot be loaded: {error}") from None
        self._pinned: list[int] = []
        self._allocated: list[int] = []

    def pinned(self, size: int) -> Bytes:
        """Bytes of the host, which the GPU copies without the CPU."""
        found = ctypes.c_void_p()
        self._use_device()
        self._call(
            self._freed, "cudaHostAlloc", ctypes.byref(found), _size(size), ctypes.c_uint(PORTABLE)
        )
        assert found.value is not None
        self._pinned.append(found.value)
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(found.value))

    def allocate(self, size: int) -> int:
        """The address of bytes of the GPU."""
        found = ctypes.c_void_p()
        self._use_device()
        self._call(self._freed, "cudaMalloc", ctypes.byref(found), _size(size))
        assert found.value is not None
        self._allocated.append(found.value)
        return found.value

    def to_device(self, address: int, source: Bytes, size: int) -> None:
        """See `DeviceMemory`."""
        self._copy(address, source.ctypes.data, size, TO_DEVICE)

    def to_host(self, target: Bytes, address: int, size: int) -> None:
        """See `DeviceMemory`."""
        self._copy(target.ctypes.data, address, size, TO_HOST)

    def free(self) -> None:
        """See `DeviceMemory`."""
        self._use_device()
        for name, addresses in (("cudaFreeHost", self._pinned), ("cudaFree", self._allocated)):
            while addresses:
                self._call(self._freed, name, ctypes.c_void_p(addresses.pop()))

    def _copy(self, to: int, source: int, size: int, way: int) -> None:
        library = self._held if size < SHORT_BYTES else self._freed
        self._use_device()
        pointers = ctypes.c_void_p(to), ctypes.c_void_p(source)
        self._call(library, "cudaMemcpy", *pointers, _size(size), ctypes.c_int(way))

    def _use_device(self) -> None:
        """Which GPU is meant is kept for each thread, and onnxruntime may have changed it."""
        self._call(self._held, "cudaSetDevice", ctypes.c_int(self.index))

    def _call(self, library: Any, name: str, *arguments: Any) -> None:
        if code := getattr(library, name)(*arguments):
            # the next to look for an error of its own must not find this one
            self._held.cudaGetLastError()
            raise CudaMemoryError(f"{name} of GPU {self.index} failed with CUDA's error {code}")


def _size(size: int) -> ctypes.c_size_t:
    return ctypes.c_size_t(size)
