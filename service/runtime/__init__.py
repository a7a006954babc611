"""onnxruntime's sessions and devices."""

from service.runtime.cpus import granted_cpus
from service.runtime.devices import CUDA, Device, DeviceError

__all__ = [
    "CUDA",
    "Device",
    "DeviceError",
    "granted_cpus",
]
