"""Every error has a status code."""

from collections.abc import Iterator

import grpc
import pytest

from service.errors import OverloadedError, RateLimitedError, ServiceError
from service.grpc.statuses import MAX_DETAIL, failure


def kinds(kind: type[ServiceError] = ServiceError) -> Iterator[type[ServiceError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from kinds(each)


@pytest.mark.parametrize("kind", list(kinds()))
def test_every_error_has_a_status_code(kind: type[ServiceError]) -> None:
    error = kind("x", 3) if kind in (OverloadedError, RateLimitedError) else kind("x")
    failed = failure("grpc-infer", error)
    assert failed.detail == "x"
    assert failed.http_status == kind.status
    assert failed.code is not grpc.StatusCode.OK
    is_retried = failed.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert is_retried == (kind.status in (429, 503))
    assert ("bijecta-reason", kind.reason) in failed.metadata


@pytest.mark.parametrize("kind", [OverloadedError, RateLimitedError])
def test_a_caller_who_asks_too_much_is_told_when_to_come_again(
    kind: type[OverloadedError | RateLimitedError],
) -> None:
    metadata = dict(failure("grpc-infer", kind("full", 3)).metadata)
    assert metadata["grpc-retry-pushback-ms"] == "3000"


def test_a_mistake_of_the_server_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    failed = failure("grpc-infer", KeyError("secret"))
    assert failed.code is grpc.StatusCode.INTERNAL
    assert "secret" not in failed.detail
    assert "secret" in caplog.text


def test_a_text_fits_into_metadata() -> None:
    assert len(failure("grpc-infer", ServiceError("é" * 10_000)).detail) == MAX_DETAIL + 1
