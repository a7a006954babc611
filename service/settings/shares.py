"""What one of several workers has of the limits of a server."""

import math

from service.settings.settings import Settings


def share_of(settings: Settings) -> Settings:
    """The settings of one worker, so that all of them together keep to those of the server.

    What is not divided here is shared (`--max-inflight-mib`, rates of keys), divided where it is
    used (threads, `--queue-rows`, `--batch-mib`), or of one request.
    """
    workers, models = settings.workers, settings.max_models_mib
    return settings.model_copy(
        update={
            "max_connections": math.ceil(settings.max_connections / workers),
            "max_grpc_streams": math.ceil(settings.max_grpc_streams / workers),
            "max_unsent_mib": max(1, settings.max_unsent_mib // workers),
            "max_models_mib": None if models is None else max(1, models // workers),
        }
    )
