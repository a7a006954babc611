"""What the protocol asks beside inference: the answers of HTTP, as messages."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from service.errors import ServiceError
from service.grpc.calls import Call
from service.grpc.protos import messages
from service.grpc.requests import parsed
from service.grpc.responses import from_json
from service.open_inference import ModelRepository, server_metadata
from service.server import Server

# The methods that change the server.
CHANGES = ("RepositoryModelLoad", "RepositoryModelUnload")


class AdminCalls:
    """Answers everything but inference requests.

    Args:
        server: whose models are asked about.
        port: of gRPC.
    """

    def __init__(self, server: Server, port: int) -> None:
        self._server = server
        self._port = port
        self._repository = ModelRepository(server.store)

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

    async def _server_live(self, _: Any) -> dict[str, Any]:
        return {"live": True}

    async def _server_ready(self, _: Any) -> dict[str, Any]:
        return {"ready": self._server.ready}

    async def _model_ready(self, asked: Any) -> dict[str, Any]:
        """Not ready, where HTTP says that it is not there: clients expect no error."""
        try:
            self._server.check_started()
            return {"ready": await self._repository.is_ready(asked.name, asked.version)}
        except ServiceError:
            return {"ready": False}

    async def _server_metadata(self, _: Any) -> dict[str, Any]:
        return server_metadata()

    async def _model_metadata(self, asked: Any) -> dict[str, Any]:
        self._server.check_started()
        return await self._repository.metadata(asked.name, asked.version)

    async def _model_config(self, asked: Any) -> dict[str, Any]:
        self._server.check_started()
        return {"config": await self._repository.config(asked.name, asked.version)}

    async def _model_statistics(self, asked: Any) -> dict[str, Any]:
        if not asked.name:
            return self._repository.all_statistics()
        self._server.check_started()
        return await self._repository.statistics(asked.name, asked.version)

    async def _repository_index(self, asked: Any) -> dict[str, Any]:
        return {"models": self._repository.index(orjson.dumps({"ready": asked.ready}))}

    async def _repository_model_load(self, asked: Any) -> dict[str, Any]:
        self._check_change()
        # of parameters the names are looked at, as there are none
        await self._repository.load(
            asked.model_name, orjson.dumps({"parameters": dict.fromkeys(asked.parameters)})
        )
        return {}

    async def _repository_model_unload(self, asked: Any) -> dict[str, Any]:
        self._check_change()
        await self._repository.unload(asked.model_name, b"")
        return {}

    def _check_change(self) -> None:
        self._server.check_started()
        self._server.check_control(self._port)


def _answered(
    name: str, content: Callable[[Any], Awaitable[dict[str, Any]]]
) -> Callable[[Call, bytes], Awaitable[bytes]]:
    question, kind = (getattr(messages, f"{name}{end}") for end in ("Request", "Response"))

    async def answer(call: Call, message: bytes) -> bytes:
        answered = from_json(kind, await content(parsed(question, message)))
        call.answered()
        return answered

    return answer
