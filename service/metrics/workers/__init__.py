"""One set of metrics of several workers: sums of what they count, and of what they are."""

from service.metrics.workers.gauges import Merged, Said, WorkerGauges, as_said
from service.metrics.workers.processes import ProcessFigures
from service.metrics.workers.shared_figures import SharedFigures

__all__ = ["Merged", "ProcessFigures", "Said", "SharedFigures", "WorkerGauges", "as_said"]
