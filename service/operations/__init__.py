"""What a flow can be asked, free of any protocol: checked arrays in, arrays out."""

from service.operations.operations import Answer, Operations
from service.operations.requests import (
    DecodeRequest,
    EncodeRequest,
    FlowRequest,
    InterpolateRequest,
    LogProbRequest,
    Path,
    SampleRequest,
)
from service.operations.values import first_wrong, named, numbers, packed, rectangle, truths

__all__ = [
    "Answer",
    "DecodeRequest",
    "EncodeRequest",
    "FlowRequest",
    "InterpolateRequest",
    "LogProbRequest",
    "Operations",
    "Path",
    "SampleRequest",
    "first_wrong",
    "named",
    "numbers",
    "packed",
    "rectangle",
    "truths",
]
