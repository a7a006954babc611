"""Memory and use of the GPUs that a server sees, by NVIDIA's management library."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.metrics.spec import MetricSpec
from service.metrics.state_series import (
    GPU_MEMORY,
    GPU_MEMORY_LIMIT,
    GPU_METRICS,
    GPU_UTILISATION,
)

log = logging.getLogger(__name__)

SAMPLE_SECONDS = 5.0

STALE_SECONDS = 60.0
"""After so long without an answer of the driver nothing is shown."""

Figures = Mapping[MetricSpec, float]


class GpuGauges(Collector):
    """The gauges of all GPUs that the driver shows this process, by their number.

    A thread asks the driver: of a GPU that has fallen out it may not come back, and requests are
    not to wait for it.

    Args:
        nvml: the module `pynvml`, or what answers like it.
    """

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._figures: dict[str, Figures] = {}
        self._sampled = 0.0

    @classmethod
    def begin(cls) -> "GpuGauges | None":
        """Gauges whose thread runs; None, with a line in the log, where they cannot be had."""
        try:
            import pynvml

            pynvml.nvmlInit()
        except ImportError:
            log.info("no metrics of the GPU: pip install 'bijecta[nvml]'")
            return None
        except pynvml.NVMLError as error:
            log.warning("no metrics of the GPU: %s", error)
            return None
        gauges = cls(pynvml)
        threading.Thread(target=gauges._sample_forever, name="gpu-metrics", daemon=True).start()
        return gauges

    def sample(self) -> None:
        """Ask the driver; of a GPU that does not answer there are no figures."""
        nvml, figures = self._nvml, dict[str, Figures]()
        for number in range(nvml.nvmlDeviceGetCount()):
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(number)
                memory = nvml.nvmlDeviceGetMemoryInfo(handle)
                of_gpu = {GPU_MEMORY: memory.used, GPU_MEMORY_LIMIT: memory.total}
                figures[str(number)] = of_gpu
                # MIG's parts have none
                use = nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
                figures[str(number)] = of_gpu | {GPU_UTILISATION: use}
            except nvml.NVMLError:
                continue
        self._figures, self._sampled = figures, time.monotonic()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What Prometheus reads."""
        is_fresh = time.monotonic() - self._sampled < STALE_SECONDS
        for spec in GPU_METRICS:
            family = spec.gauges()
            for number, figures in self._figures.items() if is_fresh else ():
                if spec in figures:
                    family.add_metric((number,), figures[spec])
            yield family

    def _sample_forever(self) -> None:
        while True:
            try:
                self.sample()
            except self._nvml.NVMLError as error:
                log.warning("the GPU's driver does not answer: %s", error)
            time.sleep(SAMPLE_SECONDS)
