"""What the Open Inference Protocol asks beside inference: metadata, statistics, the repository."""

from collections.abc import Callable, Mapping
from importlib.metadata import version as package_version
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, Field, StrictBool, ValidationError

from service.bundle import VERSION, BundleError
from service.errors import (
    InvalidInputError,
    MalformedBodyError,
    ModelRefusedError,
    UnknownModelError,
    few,
    readable,
)
from service.open_inference.models import (
    ProtocolModel,
    protocol_models,
    split_name,
    unknown_model,
)
from service.store import Entry, Lease, Model, Store

PLATFORM = "onnxruntime_onnx"
EXTENSIONS = [
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
]

# More digits make no version.
MAX_VERSION_DIGITS = 18

T = TypeVar("T", bound=BaseModel)


class IndexRequest(BaseModel):
    """Which models to list."""

    ready: StrictBool | None = Field(None, description="only those that answer")


class ChangeRequest(BaseModel):
    """How to load or unload a model."""

    parameters: dict[str, Any] | None = None


class Others(Protocol):
    """The processes that answer for the same models, this one among them."""

    async def load(self, name: str) -> None:
        """Load a model anew in all of them."""
        ...

    async def unload(self, name: str) -> None:
        """Unload a model in all of them."""
        ...

    async def ask(self, kind: str, *arguments: Any) -> list[Any]:
        """What all but this one answer."""
        ...


class ModelRepository:
    """The models of the protocol that a store holds.

    Every method raises `ServiceError` for names and versions that are not there.

    Args:
        store: holds the flows.
        others: who has to do with these as well; None where nobody has.
    """

    def __init__(self, store: Store, others: "Others | None" = None) -> None:
        self._store = store
        self._others = others

    async def find(self, name: str, version: str) -> tuple[Lease[Model], ProtocolModel]:
        """A lease of the flow, and the model of the protocol, that a name means.

        Args:
            name: of the model of the protocol; of an alias, NAME@ALIAS or NAME@ALIAS.decode.
            version: digits; empty for the current one.

        Raises:
            ServiceError: what `Store.get` does, or that there is no such model or version.
        """
        flow, suffix = split_name(name)
        if version and not (VERSION.fullmatch(version) and len(version) <= MAX_VERSION_DIGITS):
            raise UnknownModelError(
                f"model {name!r:.80} has no version {version!r:.40}: expected a whole number from 1"
            )
        lease = await self._store.get(flow, int(version) if version else None)
        known = protocol_models(lease.resource)
        if suffix not in known:
            lease.release()
            raise unknown_model(name, known)
        return lease, known[suffix]

    async def metadata(self, name: str, version: str) -> dict[str, Any]:
        """Inputs and outputs of a model of the protocol, and the versions that answer."""
        lease, protocol_model = await self.find(name, version)
        with lease as model:
            entries = self._store.entries.get(model.manifest.name, {})
            return {
                "name": protocol_model.name(model.manifest.name),
                "versions": [str(v) for v, entry in sorted(entries.items()) if entry.model],
                "platform": PLATFORM,
                "inputs": protocol_model.inputs(model),
                "outputs": protocol_model.described_outputs(model),
            }

    async def config(self, name: str, version: str) -> dict[str, Any]:
        """The same in the words of Triton's model configuration."""
        lease, protocol_model = await self.find(name, version)
        with lease as model:
            inputs, outputs = protocol_model.inputs(model), protocol_model.described_outputs(model)
            real_name = protocol_model.name(model.manifest.name)
        return {
            "name": real_name,
            "platform": PLATFORM,
            "backend": "onnxruntime",
            "max_batch_size": 0,  # the sides below include that of the rows
            "input": [_configured(tensor) for tensor in inputs],
            "output": [_configured(tensor) for tensor in outputs],
        }

    async def is_ready(self, name: str, version: str) -> bool:
        """Whether a model answers."""
        lease, _ = await self.find(name, version)
        with lease as model:
            return model.engine.healthy

    async def statistics(self, name: str, version: str) -> dict[str, Any]:
        """What a model has done since it was loaded; decode and sample share a graph."""
        return await self._of_all(await self.own_statistics(name, version), name, version)

    async def all_statistics(self, is_seen: Callable[[str], bool]) -> dict[str, Any]:
        """What each model that is loaded has done since it was.

        Args:
            is_seen: whether the caller may know of the model of a name.
        """
        said = await self._of_all(await self.own_statistics("", ""), "", "")
        seen = [one for one in said["model_stats"] if is_seen(split_name(one["name"])[0])]
        return {"model_stats": seen}

    async def own_statistics(self, name: str, version: str) -> list[dict[str, Any]]:
        """What a model has done in this process; of all models where there is no name."""
        if name:
            lease, protocol_model = await self.find(name, version)
            with lease as model:
                return [_statistics(model, protocol_model)]
        return [
            _statistics(model, protocol_model)
            for model in self._store.models
            for protocol_model in protocol_models(model).values()
        ]

    async def _of_all(
        self, own: list[dict[str, Any]], name: str, version: str
    ) -> dict[str, list[dict[str, Any]]]:
        """Own statistics, and to them those of the others."""
        said = [] if self._others is None else await self._others.ask("statistics", name, version)
        for one in own:
            for other in (other for listed in said for other in listed):
                if (other["name"], other["version"]) == (one["name"], one["version"]):
                    _add(one, other)
        return {"model_stats": own}

    def index(self, body: bytes, is_seen: Callable[[str], bool]) -> list[dict[str, str]]:
        """Every model of the repository, and whether it answers.

        Args:
            body: of the request.
            is_seen: whether the caller may know of the model of a name.

        Raises:
            MalformedBodyError: the body is no request of the protocol.
        """
        request = _parsed(IndexRequest, body)
        return [
            _listed(protocol_model.name(name), version, entry)
            for name, versions in sorted(self._store.entries.items())
            if is_seen(name)
            for version, entry in sorted(versions.items())
            for protocol_model in protocol_models(entry.model).values()
            if entry.model or not request.ready
        ]

    async def load(self, name: str, body: bytes) -> None:
        """Load a flow anew, by the name of any of its models; requests in progress go on.

        Raises:
            MalformedBodyError: the body is no request of the protocol.
            InvalidInputError: parameters, of which there are none.
            ModelRefusedError: a bundle that cannot be loaded.
        """
        request = _parsed(ChangeRequest, body)
        if request.parameters:
            raise InvalidInputError(
                "expected no parameters: a bundle has its own files and configuration; got "
                f"{few(sorted(request.parameters))}"
            )
        flow, _ = split_name(name)
        try:
            await (self._others or self._store).load(flow)
        except BundleError as error:
            raise ModelRefusedError(str(error)) from None

    async def unload(self, name: str, body: bytes) -> None:
        """Unload a flow, all of its models, until it is loaded by name.

        Raises:
            MalformedBodyError: the body is no request of the protocol.
        """
        _parsed(ChangeRequest, body)
        flow, _ = split_name(name)
        await (self._others or self._store).unload(flow)


def server_metadata() -> dict[str, Any]:
    """What this server is."""
    return {"name": "bijecta", "version": package_version("bijecta"), "extensions": EXTENSIONS}


def _parsed(schema: type[T], body: bytes) -> T:
    """A request of the repository; clients send an empty body for its defaults."""
    try:
        return schema.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise MalformedBodyError("; ".join(map(readable, error.errors()))) from None


def _statistics(model: Model, protocol_model: ProtocolModel) -> dict[str, Any]:
    figures = model.engine.statistics(protocol_model.graph)
    ran, waited = int(figures.ran * 1e9), int(figures.waited * 1e9)
    # what fails does so before it comes to the engine, and tensors are read and written in place
    none = {"count": 0, "ns": 0}  # once for all that have none: sums of them are none
    return {
        "name": protocol_model.name(model.manifest.name),
        "version": str(model.manifest.version),
        "inference_count": figures.rows,
        "execution_count": figures.batches,
        "inference_stats": {
            "success": {"count": figures.requests, "ns": ran + waited},
            "fail": none,
            "queue": {"count": figures.requests, "ns": waited},
            "compute_input": none,
            "compute_infer": {"count": figures.batches, "ns": ran},
            "compute_output": none,
        },
        "batch_stats": [],
    }


def _add(statistics: dict[str, Any], others: Mapping[str, Any]) -> None:
    """Add the counts of another process."""
    for key, value in others.items():
        if isinstance(value, int):
            statistics[key] += value
        elif isinstance(value, dict):
            _add(statistics[key], value)


def _listed(name: str, version: int, entry: Entry) -> dict[str, str]:
    listed = {"name": name, "version": str(version), "state": "READY", "reason": ""}
    if entry.model is None:
        reason = "unloaded" if entry.unloaded else entry.refused or "loaded when it is asked for"
        listed |= {"state": "UNAVAILABLE", "reason": reason}
    return listed


def _configured(tensor: dict[str, Any]) -> dict[str, Any]:
    """An input or output of the metadata in the words of the configuration."""
    datatype, shape = tensor["datatype"], tensor["shape"]
    return {"name": tensor["name"], "data_type": f"TYPE_{datatype}", "dims": shape}
