"""What the protocol asks beside inference: the answers of HTTP, as messages."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from service.errors import NotPermittedError, ServiceError
from service.grpc.admission import OPEN
from service.grpc.call import Call
from service.grpc.protos import messages
from service.grpc.requests import parsed
from service.grpc.responses import from_json
from service.open_inference import server_metadata
from service.security import CONTROLLING, READING
from service.server import Server

# What a key is to be for, by method.
SCOPES = {
    "ServerLive": OPEN,
    "ServerReady": OPEN,
    "ModelReady": READING,
    "ServerMetadata": READING,
    "ModelMetadata": READING,
    "ModelConfig": READING,
    "ModelStatistics": READING,
    "RepositoryIndex": READING,
    "RepositoryModelLoad": CONTROLLING,
    "RepositoryModelUnload": CONTROLLING,
}


class AdminCalls:
    """Answers everything but inference requests.

    Args:
        server: whose models are asked about.
        port: of gRPC.
    """

    def __init__(self, server: Server, port: int) -> None:
        self._server = server
        self._port = port
        self._repository = server.repository

    def methods(self) -> dict[str, Callable[[Call, bytes], Awaitable[bytes]]]:
        """What answers each method of the service, by its name."""
        contents = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "ModelStatistics": self._model_statistics,
            "RepositoryIndex": self._repository_index,
            "RepositoryModelLoad": self._repository_model_load,
            "RepositoryModelUnload": self._repository_model_unload,
        }
        return {name: _answered(name, content) for name, content in contents.items()}

    async def _server_live(self, _: Call, __: Any) -> dict[str, Any]:
        return {"live": True}

    async def _server_ready(self, _: Call, __: Any) -> dict[str, Any]:
        return {"ready": self._server.ready}

    async def _model_ready(self, call: Call, asked: Any) -> dict[str, Any]:
        """Not ready, where HTTP says that it is not there: clients expect no error."""
        try:
            self._server.check_started()
            call.check_model(asked.name)
            return {"ready": await self._repository.is_ready(asked.name, asked.version)}
        except NotPermittedError:
            raise
        except ServiceError:
            return {"ready": False}

    async def _server_metadata(self, _: Call, __: Any) -> dict[str, Any]:
        return server_metadata()

    async def _model_metadata(self, call: Call, asked: Any) -> dict[str, Any]:
        self._server.check_started()
        call.check_model(asked.name)
        return await self._repository.metadata(asked.name, asked.version)

    async def _model_config(self, call: Call, asked: Any) -> dict[str, Any]:
        self._server.check_started()
        call.check_model(asked.name)
        return {"config": await self._repository.config(asked.name, asked.version)}

    async def _model_statistics(self, call: Call, asked: Any) -> dict[str, Any]:
        if not asked.name:
            return await self._repository.all_statistics(call.may_see)
        self._server.check_started()
        call.check_model(asked.name)
        return await self._repository.statistics(asked.name, asked.version)

    async def _repository_index(self, call: Call, asked: Any) -> dict[str, Any]:
        body = orjson.dumps({"ready": asked.ready})
        return {"models": self._repository.index(body, call.may_see)}

    async def _repository_model_load(self, call: Call, asked: Any) -> dict[str, Any]:
        self._check_change(call, asked.model_name)
        # of parameters the names are looked at, as there are none
        await self._repository.load(
            asked.model_name, orjson.dumps({"parameters": dict.fromkeys(asked.parameters)})
        )
        return {}

    async def _repository_model_unload(self, call: Call, asked: Any) -> dict[str, Any]:
        self._check_change(call, asked.model_name)
        await self._repository.unload(asked.model_name, b"")
        return {}

    def _check_change(self, call: Call, name: str) -> None:
        self._server.check_started()
        self._server.check_control(self._port)
        call.check_model(name)


def _answered(
    name: str, content: Callable[[Call, Any], Awaitable[dict[str, Any]]]
) -> Callable[[Call, bytes], Awaitable[bytes]]:
    question, kind = (getattr(messages, f"{name}{end}") for end in ("Request", "Response"))

    async def answer(call: Call, message: bytes) -> bytes:
        answered = from_json(kind, await content(call, parsed(question, message)))
        call.answered()
        return answered

    return answer
