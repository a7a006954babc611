"""Spans of requests: they continue their callers' traces, nest, and cost others nothing."""

import json
import logging
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import masked
from service.settings import Settings, SettingsError
from service.telemetry import traces_of
from service.telemetry.sampling import Sampling, sampling_of
from service.telemetry.trace import TraceParent, trace_parent, trace_state
from tests.helpers.exchange import Exchange
from tests.helpers.http import metric_of
from tests.helpers.running import NAME, run, running

pytest.importorskip("opentelemetry.sdk", reason="traces are not installed: bijecta[traces]")

from opentelemetry.context import Context
from opentelemetry.sdk.trace import sampling as sdk
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from service.telemetry import tracing
from service.telemetry.trace_export import CLOSE_SECONDS
from tests.helpers.otlp import Collector, collector

BODY = b'{"x": [[1, 2], [3, 4]]}'
INFER = b'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}'
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{CALLER}-01"
STAGES = {"receive", "parse", "queue", "run", "serialise"}
ERROR = 2


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests say what the environment says."""
    for name in ("TRACES_EXPORTER", "EXPORTER_OTLP_ENDPOINT", "SERVICE_NAME", "SDK_DISABLED"):
        monkeypatch.delenv(f"OTEL_{name}", raising=False)


def asked(store: Path, found: Collector, *exchanges: Exchange, **options: Any) -> str:
    """Have a server answer, whose spans a collector has when it has ended; returns its metrics."""
    said = []

    async def work() -> None:
        given = {"trace_endpoint": found.url, **options}
        async with running(store, max_body_mib=1, **given) as served:
            for exchange in exchanges:
                await exchange.run(served.app)
        said.append(served.server.metrics.exposition().decode())

    run(work)
    return said[0]


def test_a_request_continues_the_trace_of_its_caller(tiny_store: Path) -> None:
    headers = {"traceparent": PARENT, "tracestate": "a=1, b=2", "X-Request-Id": "night-7"}
    with collector() as found:
        asked(tiny_store, found, Exchange("POST", "/log_prob", BODY, headers))
    (span,) = found.servers
    assert (span.name, span.trace, span.parent) == ("POST /log_prob", TRACE, CALLER)
    assert (span.state, span.status) == ("a=1,b=2", 0)
    assert span.attributes == {
        "http.request.method": "POST",
        "http.route": "/log_prob",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/log_prob",
        "network.protocol.version": "1.1",
        "bijecta.request_id": "night-7",
        "bijecta.operation": "log_prob",
        "bijecta.model": NAME,
        "bijecta.version": 1,
        "bijecta.rows": 2,
    }
    assert found.resource["service.name"] == "bijecta"
    assert found.paths == ["/v1/traces"]


def test_spans_of_the_stages_nest_and_take_no_longer_than_the_request(tiny_store: Path) -> None:
    before = time.time_ns()
    with collector() as found:
        asked(
            tiny_store,
            found,
            Exchange("POST", "/log_prob", BODY),
            Exchange("POST", f"/v2/models/{NAME}/infer", INFER),
            Exchange("POST", "/sample?n=60000", b"", {"Accept": "application/x-npy"}),
        )
    names = ["POST /log_prob", "POST /v2/models/{name}/infer", "POST /sample"]
    assert [span.name for span in found.servers] == names
    assert [span.attributes["bijecta.rows"] for span in found.servers] == [2, 1, 60_000]
    for span in found.servers:
        assert not span.parent
        assert before <= span.start < span.end <= time.time_ns()
        stages = found.stages(span)
        assert {stage.name for stage in stages} == STAGES
        for stage in stages:
            assert stage.trace == span.trace
            assert span.start <= stage.start <= stage.end <= span.end
        if span.name != "POST /sample":  # pieces overlap
            assert sum(stage.end - stage.start for stage in stages) <= span.end - span.start
            assert [stage.name for stage in sorted(stages, key=lambda s: s.start)] == [
                "receive", "parse", "queue", "run", "serialise",
            ]  # fmt: skip
    assert len({span.trace for span in found.servers}) == 3
    assert len({span.id for span in found.spans}) == len(found.spans)


def test_names_are_few_and_say_nothing_that_callers_make_up(tiny_store: Path) -> None:
    cases = [
        ("GET", f"/models/{NAME}", 200, "GET /models/{name}", 0),
        ("HEAD", "/models", 200, "HEAD /models", 0),
        ("GET", "/v2/models/secret/stats?key=secret", 404, "GET /v2/models/{name}/stats", 0),
        ("GET", "/nowhere/" + "a" * 5000, 404, "GET", 0),
        ("SECRET", "/log_prob", 405, "HTTP /log_prob", 0),
        ("POST", "/log_prob", 413, "POST /log_prob", 0),
        ("GET", "/log_prob", 405, "GET /log_prob", 0),
    ]
    headers = {"Authorization": "Bearer secret", "Cookie": "secret"}
    exchanges = [
        Exchange(m, p, b"secret" * 300_000 if s == 413 else b"", headers) for m, p, s, *_ in cases
    ]
    with collector() as found:
        asked(tiny_store, found, *exchanges)
    for (method, _, status, name, code), span in zip(cases, found.servers, strict=True):
        assert (span.name, span.status) == (name, code)
        assert span.attributes["http.response.status_code"] == status
        assert span.attributes["http.request.method"] == method.replace("SECRET", "_OTHER")
        assert len(span.attributes["url.path"]) <= 512
        assert "secret" not in str(span).replace("/v2/models/secret/", "")


def test_a_fault_of_the_server_is_an_error(
    tiny_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("secret")

    async def work() -> None:
        async with running(tiny_store, trace_endpoint=found.url) as served:
            monkeypatch.setattr("service.engine.session.OnnxGraph.__call__", fail)
            await Exchange("POST", "/log_prob", BODY).run(served.app)

    with collector() as found:
        run(work)
    (span,) = found.servers
    assert (span.status, span.attributes["error.type"]) == (ERROR, "500")
    assert "secret" not in str(found.spans)


@pytest.mark.parametrize(
    ("sampler", "ratio", "sent", "kept"),
    [
        (None, None, None, True),
        (None, 0.0, None, False),
        (None, 0.0, "01", True),
        (None, 1.0, "00", False),
        ("always_on", None, "00", True),
        ("always_off", None, "01", False),
        ("parentbased_always_off", None, "01", True),
        ("traceidratio", None, "00", True),  # of 1 where nothing is said
        ("Nonsense", None, None, True),
        ("always_off", 1.0, None, True),
    ],
)
def test_who_decides_what_is_traced(
    tiny_store: Path,
    monkeypatch: pytest.MonkeyPatch,
    sampler: str | None,
    ratio: float | None,
    sent: str | None,
    kept: bool,
) -> None:
    if sampler is not None:
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    headers = {} if sent is None else {"traceparent": f"00-{TRACE}-{CALLER}-{sent}"}
    exchange = Exchange("POST", "/log_prob", BODY, headers)
    with collector() as found:
        said = asked(tiny_store, found, exchange, trace_ratio=ratio)
    assert len(found.servers) == kept
    assert metric_of(said, "bijecta_trace_spans_total", outcome="sent") == len(found.spans)


@pytest.mark.parametrize("prefix", ["", "parentbased_"])
@given(
    ratio=st.floats(0, 1), trace_id=st.integers(1, 2**128 - 1), parent=st.sampled_from([None, 0, 1])
)
@settings(max_examples=40)
def test_traces_are_kept_as_the_sdk_keeps_them(
    prefix: str, ratio: float, trace_id: int, parent: int | None
) -> None:
    name = f"{prefix}traceidratio"
    ours = sampling_of({"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": str(ratio)})
    theirs: sdk.Sampler = sdk.TraceIdRatioBased(ratio)
    if prefix:
        theirs = sdk.ParentBased(theirs)
    context = Context()
    if parent is not None:
        above = NonRecordingSpan(SpanContext(trace_id, 1, True, TraceFlags(parent)))
        context = set_span_in_context(above, context)
    decision = theirs.should_sample(context, trace_id, "request").decision
    keeps = ours.keeps(trace_id, None if parent is None else bool(parent))
    assert keeps == (decision is sdk.Decision.RECORD_AND_SAMPLE)


@pytest.mark.parametrize("text", ["", "nan", "2", "-0.1", "half"])
def test_a_share_that_makes_no_sense_is_all(text: str, caplog: pytest.LogCaptureFixture) -> None:
    said = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": text}
    assert sampling_of(said) == Sampling(1.0, follows_parent=False)
    assert bool(text) == ("expected 0 to 1" in caplog.text)


def test_probes_begin_no_trace_and_continue_those_of_others(tiny_store: Path) -> None:
    paths = ("/health/live", "/metrics", "/v2/health/ready")
    exchanges = [Exchange("GET", path) for path in paths]
    exchanges.append(Exchange("GET", "/health/live", b"", {"traceparent": PARENT}))
    with collector() as found:
        asked(tiny_store, found, *exchanges)
    assert [span.name for span in found.servers] == ["GET /health/live"]


def test_what_is_not_traced_makes_no_span_and_has_its_trace_in_the_log(
    tiny_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[dict[str, Any]] = []
    write = "service.telemetry.request_log.RequestLog._write_all"
    monkeypatch.setattr(
        write, lambda _, content: lines.extend(map(json.loads, bytes(content).splitlines()))
    )

    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(tracing, "ReadableSpan", forbidden)
    monkeypatch.setattr(tracing, "Trace", forbidden)
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-00"}
    exchanges = [Exchange("POST", "/log_prob", BODY, headers), Exchange("POST", "/log_prob", BODY)]
    with collector() as found:
        asked(tiny_store, found, *exchanges, trace_ratio=0.0, request_log=True)
    assert [line["trace_id"] for line in lines] == [TRACE, None]
    assert [exchange.status for exchange in exchanges] == [200, 200]
    assert not found.requests


def test_a_collector_that_is_down_costs_spans_alone_and_is_said_once(
    tiny_store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    with collector() as gone:
        pass  # nobody listens there any more
    exchanges, began = [Exchange("POST", "/log_prob", BODY) for _ in range(20)], time.monotonic()
    with caplog.at_level(logging.INFO):
        said = asked(tiny_store, gone, *exchanges)
    assert time.monotonic() - began < CLOSE_SECONDS  # what is lost is not waited for
    assert all(exchange.status == 200 for exchange in exchanges)
    lost = [r.getMessage() for r in caplog.records if "trace" in r.getMessage()]
    assert len(lost) == 2, lost
    assert re.fullmatch(
        r"traces go to http://127\.0\.0\.1:\d+/v1/traces: 1 of those that begin here", lost[0]
    )
    assert "Connection refused" in lost[1]
    assert not gone.requests
    assert metric_of(said, "bijecta_trace_spans_total", outcome="lost") > 0
    assert metric_of(said, "bijecta_trace_spans_total", outcome="sent") == 0


def test_a_collector_that_comes_back_is_said(
    tiny_store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")

    async def work() -> None:
        async with running(tiny_store, trace_endpoint=found.url) as served:
            for status in (401, 401, 200, 200):
                found.status = status
                came = len(found.paths)
                await Exchange("POST", "/log_prob", BODY).run(served.app)
                while len(found.paths) == came:
                    time.sleep(0.001)

    with collector(401) as found, caplog.at_level(logging.INFO):
        run(work)
    said = [r.getMessage() for r in caplog.records if r.getMessage().startswith("traces")]
    assert [text.split(found.url)[0] for text in said] == [
        "traces go to ", "traces are lost: ", "traces: ",
    ]  # fmt: skip
    assert said[1].endswith("401")


def test_a_collector_that_keeps_silent_does_not_keep_the_server_from_ending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.telemetry.trace_export.CLOSE_SECONDS", 0.1)
    exporting = traces_of(Settings(trace_endpoint="http://127.0.0.1:9"), lambda *_: None)
    assert exporting is not None
    monkeypatch.setattr(exporting._processor, "shutdown", lambda: time.sleep(2))
    began = time.monotonic()
    exporting.close()
    assert time.monotonic() - began < 1


URL = "http://127.0.0.1:9"
OTLP = "OTEL_EXPORTER_OTLP_"


@pytest.mark.parametrize(
    ("variables", "options", "url"),
    [
        ({}, {}, None),
        ({}, {"trace_endpoint": URL}, f"{URL}/v1/traces"),
        ({}, {"trace_endpoint": f"{URL}/"}, f"{URL}/v1/traces"),
        ({}, {"trace_endpoint": f"{URL}/in/v1/traces"}, f"{URL}/in/v1/traces"),
        ({f"{OTLP}ENDPOINT": URL}, {}, f"{URL}/v1/traces"),
        ({f"{OTLP}ENDPOINT": f"{URL}/in/"}, {}, f"{URL}/in/v1/traces"),
        ({f"{OTLP}TRACES_ENDPOINT": f"{URL}/in"}, {"trace_ratio": 0.5}, f"{URL}/in"),
        ({f"{OTLP}TRACES_ENDPOINT": f"{URL}/a", f"{OTLP}ENDPOINT": f"{URL}/b"}, {}, f"{URL}/a"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, {}, "http://localhost:4318/v1/traces"),
        ({f"{OTLP}ENDPOINT": f"{URL}/b"}, {"trace_endpoint": URL}, f"{URL}/v1/traces"),
        # off, by the same variables
        ({f"{OTLP}ENDPOINT": URL, "OTEL_SDK_DISABLED": "true"}, {}, None),
        ({f"{OTLP}ENDPOINT": URL, "OTEL_TRACES_EXPORTER": "none"}, {}, None),
        ({"OTEL_SDK_DISABLED": "true"}, {"trace_endpoint": URL}, None),
        # what cannot be had: the server does without
        ({f"{OTLP}ENDPOINT": URL, f"{OTLP}PROTOCOL": "grpc"}, {}, None),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, {}, None),
        ({f"{OTLP}ENDPOINT": "collector:4318"}, {}, None),
        ({f"{OTLP}ENDPOINT": "http://[::1"}, {}, None),
        ({f"{OTLP}ENDPOINT": URL, "OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, {}, None),
    ],
)
def test_what_asks_for_traces_and_where_they_go(
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    options: dict[str, Any],
    url: str | None,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    exporting = traces_of(Settings(**options), lambda *_: None)
    assert (exporting is None) == (url is None)
    if exporting is not None:
        assert exporting.url == url
        exporting.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"trace_ratio": 0.5}, "trace_ratio: traces go nowhere"),
        ({"trace_endpoint": "localhost:4318"}, "expected http://HOST:PORT"),
        ({"trace_endpoint": "ftp://u:secret@x?k=secret"}, r"got ftp://\*\*\*@x\?\*\*\*"),
        ({"trace_endpoint": ""}, "expected http://HOST:PORT"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused(options: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        traces_of(Settings(**options), lambda *_: None)
    assert "secret" not in str(caught.value)


def test_without_the_extra_a_setting_is_refused_and_a_variable_is_not_followed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "service.telemetry.trace_export")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(SettingsError, match=r"pip install 'bijecta\[traces\]'"):
        traces_of(Settings(trace_endpoint=URL), lambda *_: None)
    monkeypatch.setenv(f"{OTLP}ENDPOINT", URL)
    assert traces_of(Settings(), lambda *_: None) is None
    assert "pip install 'bijecta[traces]'" in caplog.text


def test_the_standard_variables_say_who_this_is_and_what_is_sent_along(
    tiny_store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "flows")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    monkeypatch.setenv(f"{OTLP}HEADERS", "api-key=secret,,no header")
    with collector() as found, caplog.at_level(logging.DEBUG):
        monkeypatch.setenv(f"{OTLP}ENDPOINT", found.url.replace("//", "//user:secret@"))
        asked(tiny_store, found, Exchange("POST", "/log_prob", BODY), trace_endpoint=None)
    assert found.resource["service.name"] == "flows"
    assert found.resource["deployment.environment"] == "test"
    assert found.headers[0]["api-key"] == "secret"
    assert "secret" not in caplog.text
    assert "no header" not in caplog.text


@settings(max_examples=40)
@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255))
def test_what_callers_say_is_read(trace_id: int, span_id: int, flags: int) -> None:
    for version, more in (("00", ""), ("01", ""), ("fe", "-more")):
        value = f"{version}-{trace_id:032x}-{span_id:016x}-{flags:02x}{more}".encode()
        found = trace_parent([(b"accept", b"*/*"), (b"traceparent", value)])
        assert found == TraceParent(f"{trace_id:032x}", f"{span_id:016x}", bool(flags & 1))


@settings(max_examples=40)
@given(st.binary(max_size=60) | st.from_regex(rb"[0-9a-f]{2}-[0-9a-f]{30,33}-[0-9a-f]{16}-0."))
def test_anything_else_is_no_trace(value: bytes) -> None:
    if not re.fullmatch(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", value):
        assert trace_parent([(b"traceparent", value)]) is None


@pytest.mark.parametrize(
    "values",
    [
        [],
        [PARENT.encode()] * 2,
        [PARENT.upper().encode()],
        [f"ff-{TRACE}-{CALLER}-01".encode()],
        [PARENT.encode() + b"-more"],
        [f"00-{'0' * 32}-{CALLER}-01".encode()],
        [f"00-{TRACE}-{'0' * 16}-01".encode()],
        [PARENT.encode() + b"\n"],
    ],
)
def test_malformed_parents_are_ignored(values: list[bytes]) -> None:
    assert trace_parent([(b"traceparent", value) for value in values]) is None


def test_states_are_joined_and_bounded() -> None:
    assert trace_state([(b"tracestate", b"a=1"), (b"x", b""), (b"tracestate", b"b=2")]) == "a=1,b=2"
    assert trace_state([(b"tracestate", b"a=" + b"1" * 600)]) == ""


@pytest.mark.parametrize("state", ["\xff", "a=1,a=2", "=,", "a=" + "1" * 300, "a=\x00"])
def test_a_state_of_nonsense_costs_no_span(
    tiny_store: Path, caplog: pytest.LogCaptureFixture, state: str
) -> None:
    headers = {"traceparent": PARENT, "tracestate": state}
    with collector() as found:
        asked(tiny_store, found, Exchange("POST", "/log_prob", BODY, headers))
    (span,) = found.servers
    assert (span.trace, span.state) == (TRACE, "")
    assert not [r for r in caplog.records if r.name.startswith("opentelemetry")]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://a:1/b", "http://a:1/b"),
        ("https://u:p@a/b", "https://***@a/b"),
        ("https://u@p@a/b?key=1", "https://***@a/b?***"),
        ("u:p@a", "***@a"),
    ],
)
def test_addresses_are_said_without_their_secrets(url: str, said: str) -> None:
    assert masked(url) == said
