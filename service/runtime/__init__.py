"""onnxruntime's sessions and devices."""

from service.runtime.batches import batch_rows, plans_memory
from service.runtime.cancellation import Cancellation, CancelledLoadError
from service.runtime.cpus import CpuGrant, cpu_grant, granted_cpus
from service.runtime.devices import CUDA, Device, DeviceError, session_options

__all__ = [
    "CUDA",
    "Cancellation",
    "CancelledLoadError",
    "CpuGrant",
    "Device",
    "DeviceError",
    "batch_rows",
    "cpu_grant",
    "granted_cpus",
    "plans_memory",
    "session_options",
]
