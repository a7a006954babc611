"""Whether this server traces requests, and where its spans go."""

import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from service.errors import masked
from service.settings import Settings, SettingsError
from service.telemetry.sampling import Sampling, sampling_of

if TYPE_CHECKING:
    from service.telemetry.trace_export import TraceExport

log = logging.getLogger(__name__)

# Where programs look for a collector that nobody named; https://opentelemetry.io/docs/specs/otlp
DEFAULT_URL = "http://localhost:4318"
PATH = "v1/traces"

PROTOCOL = "http/protobuf"

INSTALL = "traces are not in this install: pip install 'bijecta[traces]'"


class NotHereError(Exception):
    """What is asked for by a variable of OpenTelemetry, and cannot be had; the text says why."""


def traces_of(settings: Settings, counted: Callable[[int, bool], None]) -> "TraceExport | None":
    """What traces requests; None where nobody asks for it.

    What the variables of OpenTelemetry ask for stands there for every program of a machine: where
    it cannot be had, the log says so, and the server does without.

    Args:
        settings: of the server.
        counted: told of spans, by how many and whether a collector has taken them.

    Raises:
        SettingsError: what the settings of this server ask for cannot be had.
    """
    is_own = settings.trace_endpoint is not None
    try:
        url = _collector(settings, os.environ)
        if url is None:
            if settings.trace_ratio is not None:
                raise SettingsError("trace_ratio: traces go nowhere; --trace-endpoint says where")
            return None
        return _export(url, settings, counted)
    except NotHereError as error:
        if is_own:
            raise SettingsError(f"{error} (--trace-endpoint)") from None
        log.warning("%s; nothing is traced", error)
        return None


def _export(url: str, settings: Settings, counted: Callable[[int, bool], None]) -> "TraceExport":
    try:
        from service.telemetry.trace_export import TraceExport
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(("opentelemetry", "requests")):
            raise
        raise NotHereError(INSTALL) from None
    try:
        ratio = settings.trace_ratio
        sampling = sampling_of(os.environ) if ratio is None else Sampling(ratio)
        return TraceExport(url, sampling, counted)
    except (ValueError, RuntimeError) as error:  # of a variable that the SDK cannot follow
        raise NotHereError(f"traces: {error}") from None


def _collector(settings: Settings, environ: Mapping[str, str]) -> str | None:
    """The URL that takes spans; None where none is named.

    Raises:
        NotHereError: it is not one of HTTP, or another protocol is asked for.
    """
    given = settings.trace_endpoint
    own, common = (
        environ.get(f"OTEL_EXPORTER_OTLP_{each}ENDPOINT", "").strip() for each in ("TRACES_", "")
    )
    exporters = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporters == "none":
        if given is not None:
            log.warning("traces are off by the variables of OpenTelemetry")
        return None
    if given is None and not (own or common or exporters):
        return None
    if given is None and exporters not in ("", "otlp"):
        raise NotHereError(f"OTEL_TRACES_EXPORTER: expected otlp or none, got {exporters!r:.40}")
    protocol = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get(
        "OTEL_EXPORTER_OTLP_PROTOCOL"
    )
    if given is None and protocol and protocol.strip() != PROTOCOL:
        raise NotHereError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL: spans go by {PROTOCOL}, to port 4318 of most "
            f"collectors, got {protocol!r:.40}"
        )
    url = (own or common or DEFAULT_URL) if given is None else given
    if not _is_http(url):
        raise NotHereError(f"traces: expected http://HOST:PORT or https://…, got {masked(url)}")
    # of the variable for traces alone the path is what it says, of the other one always more
    is_whole = urlsplit(url).path not in ("", "/") if given is not None else bool(own)
    return url if is_whole else f"{url.removesuffix('/')}/{PATH}"


def _is_http(url: str) -> bool:
    """Whether a text is a URL of HTTP, with a host."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
