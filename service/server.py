"""Everything one running server owns, made once at start-up."""

from service.engine import granted_cpus
from service.metrics import Metrics
from service.operations import Operations
from service.settings import Settings
from service.store import Store


class Server:
    """The owner of a server's store, operations and metrics.

    Raises:
        DeviceError, BundleError: as `Store` does.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        threads = settings.threads or granted_cpus()
        self.store = Store(settings.store, settings.device, threads, settings.default_model)
        self.metrics.describe(self.store)
        self.operations = Operations(settings.max_rows, self.metrics)
