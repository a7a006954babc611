"""Errors that callers see: each knows its HTTP status and says what was expected and what came."""

from typing import Any, ClassVar


class ServiceError(Exception):
    """A request that cannot be answered.

    Args:
        detail: for people: what was expected and what came.
        extra: for programs: further members of the problem document, such as `row`.
    """

    status: ClassVar[int] = 500
    reason: ClassVar[str] = "internal"
    """A word of a closed set: the problem type's name and the label of the failure metric."""

    def __init__(self, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = extra
        self.headers: dict[str, str] = {}

    def problem(self) -> dict[str, Any]:
        """The problem document (RFC 9457)."""
        return {
            "type": f"urn:bijecta:{self.reason}",
            "title": self.reason.replace("-", " "),
            "status": self.status,
            "detail": self.detail,
            **self.extra,
        }


class MalformedBodyError(ServiceError):
    """A body that is not of its content type."""

    status, reason = 400, "malformed-body"


class KeyInUrlError(ServiceError):
    """A request with a key in its URL, which programs on the way write down."""

    status, reason = 400, "key-in-url"


class UnauthorizedError(ServiceError):
    """A request without a key, or with one that is not known.

    Args:
        detail: which of these.
        challenge: what `WWW-Authenticate` says beside the scheme (RFC 6750).
    """

    status, reason = 401, "unauthorized"

    def __init__(self, detail: str, challenge: str = "") -> None:
        super().__init__(detail)
        self.headers = {"WWW-Authenticate": f'Bearer realm="bijecta"{challenge}'}


class NotPermittedError(ServiceError):
    """A request that the key of its caller does not allow."""

    status, reason = 403, "not-permitted"


class ForbiddenError(ServiceError):
    """What this server does not do for callers."""

    status, reason = 403, "forbidden"


class ForeignOriginError(ServiceError):
    """A request that a page of another origin makes a browser send."""

    status, reason = 403, "foreign-origin"


class UnknownHostError(ServiceError):
    """A request for a host that is not this server."""

    status, reason = 421, "unknown-host"


class UnknownModelError(ServiceError):
    """No model or version of that name."""

    status, reason = 404, "unknown-model"


class NotAcceptableError(ServiceError):
    """An answer in a format that cannot hold it."""

    status, reason = 406, "not-acceptable"


class TooSlowError(ServiceError):
    """A body that does not come to its end."""

    status, reason = 408, "too-slow"


class TooLargeError(ServiceError):
    """More bytes or rows than the limits allow."""

    status, reason = 413, "too-large"


class HeadTooLargeError(ServiceError):
    """A request line with headers, or trailers, beyond their limits."""

    status, reason = 431, "head-too-large"


class UnsupportedMediaTypeError(ServiceError):
    """A content type that is not read."""

    status, reason = 415, "unsupported-media-type"


class InvalidInputError(ServiceError):
    """A body of the right type with values that make no sense."""

    status, reason = 422, "invalid-input"


class NonFiniteOutputError(ServiceError):
    """A row whose answer is not a number."""

    status, reason = 422, "non-finite-output"


class InferenceError(ServiceError):
    """A graph that failed on rows it should have taken."""

    status, reason = 500, "inference-failed"


class OverloadedError(ServiceError):
    """More work than may wait.

    Args:
        detail: what waits, and how much may.
        retry_after: seconds until it should be done.
    """

    status, reason = 429, "overloaded"

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        self.headers = {"Retry-After": str(retry_after)}


class RateLimitedError(ServiceError):
    """More requests or rows than the key of their caller allows in this time.

    Args:
        detail: how many it allows.
        retry_after: seconds until the same request would be answered.
    """

    status, reason = 429, "rate-limited"

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        self.headers = {"Retry-After": str(retry_after)}


class MemoryFullError(ServiceError):
    """More memory than the requests in progress leave."""

    status, reason = 429, "memory-full"

    def __init__(self, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.headers = {"Retry-After": str(retry_after)}


class DeadlineError(ServiceError):
    """No answer before the deadline that the caller set."""

    status, reason = 504, "deadline"


class UnavailableError(ServiceError):
    """A server that is starting or stopping, or a model that is not loaded.

    Args:
        detail: which of these.
        retry_after: seconds until it may be otherwise; None where waiting does not help.
    """

    status, reason = 503, "unavailable"

    def __init__(self, detail: str, retry_after: int | None = 1) -> None:
        super().__init__(detail)
        if retry_after is not None:
            self.headers = {"Retry-After": str(retry_after)}


class OutOfOrderError(ServiceError):
    """A model whose threads have failed, or that has been unloaded."""

    status, reason = 503, "out-of-order"


class ModelRefusedError(ServiceError):
    """A model that is in the store and could not be loaded."""

    status, reason = 503, "model-refused"
