"""onnxruntime's sessions and devices."""

from service.runtime.batches import MAX_ROWS, batch_rows, enough_rows, plans_memory
from service.runtime.cancellation import GRAPH_ID, NO_GRAPH, Cancellation, CancelledLoadError
from service.runtime.capture_lock import CAPTURES, CaptureLock
from service.runtime.cpus import CpuGrant, cpu_grant, granted_cpus
from service.runtime.cuda_memory import SHORT_BYTES, CudaMemory, CudaMemoryError, DeviceMemory
from service.runtime.devices import CUDA, Device, DeviceError, captures_graphs, session_options
from service.runtime.run_cost import measured_run

__all__ = [
    "CAPTURES",
    "CUDA",
    "GRAPH_ID",
    "MAX_ROWS",
    "NO_GRAPH",
    "SHORT_BYTES",
    "Cancellation",
    "CancelledLoadError",
    "CaptureLock",
    "CpuGrant",
    "CudaMemory",
    "CudaMemoryError",
    "Device",
    "DeviceError",
    "DeviceMemory",
    "batch_rows",
    "captures_graphs",
    "cpu_grant",
    "enough_rows",
    "granted_cpus",
    "measured_run",
    "plans_memory",
    "session_options",
]
