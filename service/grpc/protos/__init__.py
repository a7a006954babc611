"""Messages of the Open Inference Protocol, made from open_inference.proto by `make protos`.

They are kept in a pool of their own: tritonclient, which has messages of the same names, may be in
the same process.
"""

from service.grpc.protos import open_inference_pb2 as messages

__all__ = [
    "messages",
]
