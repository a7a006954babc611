"""A driver of GPUs, as NVIDIA's management library shows it."""

from types import SimpleNamespace


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
