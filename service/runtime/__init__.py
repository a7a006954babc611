"""onnxruntime's sessions and devices."""

from service.runtime.cancellation import Cancellation, CancelledLoadError
from service.runtime.cpus import granted_cpus
from service.runtime.devices import CUDA, Device, DeviceError, session_options

__all__ = [
    "CUDA",
    "Cancellation",
    "CancelledLoadError",
    "Device",
    "DeviceError",
    "granted_cpus",
    "session_options",
]
