"""The Open Inference Protocol over gRPC, beside HTTP and on the same operations."""

from service.grpc.listener import GrpcListener

__all__ = [
    "GrpcListener",
]
