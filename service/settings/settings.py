"""What can be set about a server: each field is a flag of `bijecta serve` and a variable.

`--max-rows` is the field `max_rows` and the variable `BIJECTA_MAX_ROWS`; the flag wins.
"""

import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.settings.listening import ListeningSettings

PREFIX = "BIJECTA_"

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ModelSettings(BaseModel):
    """How one model is run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threads: Count | None = Field(
        default=None,
        description="CPU threads of a model (what the machine or container grants); on a GPU, "
        "batches that one of its models has there (2)",
    )
    batch_rows: Count | None = Field(
        default=None, description="most rows of a run (256 on a CPU, 4096 on a GPU)"
    )
    batch_mib: Count | None = Field(
        default=None,
        description="most MiB that the runs of a graph take together, which bounds their rows (224 "
        "on a CPU, 4096 on a GPU)",
    )
    cuda_graphs: bool = Field(
        default=True,
        description="whether runs on a GPU are captured as CUDA graphs, where they can be and are "
        "faster so",
    )
    queue_rows: Count = Field(
        default=4096,
        description="most rows that wait for a graph, before requests are refused, large ones "
        "first",
    )


class Settings(BaseSettings, ModelSettings, ListeningSettings):
    """Settings of one server: what is given, else the environment, else the default."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    store: Path | str = Field(
        default="store",
        description="folder of bundles, or of one; or a store elsewhere: s3://, gs://, az://, "
        "hf://, https:// or file://",
    )
    cache: Path | None = Field(
        default=None,
        description="folder where stores elsewhere are kept (the user's own, else a temporary one)",
    )
    device: str = Field(
        default="auto",
        description="auto uses a GPU if there is one; cuda, cuda:1 or cuda:0,cuda:1 refuses to "
        "start without; cpu, or cpu:4 with four threads",
    )
    workers: Annotated[int, Field(ge=1, le=256)] = Field(
        default=1,
        description="processes that answer on the same port; threads, queues, connections and "
        "memory are divided among them or shared (Linux)",
    )
    default_model: str | None = Field(
        default=None, description="the model of requests that name none: NAME, or NAME@ALIAS"
    )
    max_rows: Count = Field(default=65_536, description="rows a request")
    max_sample_rows: Count = Field(
        default=10_000_000,
        description="rows of a sample in npy or Arrow, which comes a piece at a time",
    )
    max_body_mib: Count = Field(default=64, description="MiB a request body")
    max_json_mib: Count = Field(default=16, description="MiB of JSON in a request body")
    max_json_values: Count = Field(
        default=524_288, description="values in the JSON of a request, and texts in any format"
    )
    max_inflight_mib: Count = Field(
        default=384,
        description="MiB that all requests in progress hold together: bodies, what they are "
        "parsed to, and answers that wait to be taken; beyond it requests get 429",
    )
    max_models_mib: Count | None = Field(
        default=None,
        description="MiB of bundles loaded at once; beyond, those asked for longest ago are "
        "unloaded until they are asked for again (no limit)",
    )
    max_bundle_mib: Count = Field(
        default=4096,
        description="MiB of the files of one bundle; larger ones are refused before they are read",
    )
    trusted_keys: Path | None = Field(
        default=None,
        description="PEM file of public keys of Ed25519; bundles that none of them has signed are "
        "refused (signatures are not looked at; takes bijecta[sign])",
    )
    load_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        default=300.0, description="after so long, the load of a bundle is given up"
    )
    poll_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=0.0, description="how often the store is looked through for changes; 0 for never"
    )
    max_grpc_streams: Count = Field(
        default=64,
        description="streams of gRPC at once, each of which may hold a message of --max-body-mib "
        "that has not come to its end; beyond, the longest silent one is ended for a new one",
    )
    drain_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=0.0, description="after SIGTERM, time to go on answering while not ready"
    )
    stop_seconds: Annotated[int, Field(ge=0)] = Field(
        default=30, description="after that, time for requests in progress to be answered"
    )
    head_seconds: Seconds = Field(
        default=30.0, description="time for the head of a request to come, before 408"
    )
    idle_seconds: Seconds = Field(
        default=65.0,
        description="silence before a connection is closed: between requests, or within a body; "
        "longer than proxies allow themselves, so that they close first",
    )
    write_seconds: Seconds = Field(
        default=60.0, description="time in which a reader that takes nothing is broken off"
    )
    max_connections: Count = Field(
        default=2048,
        description="connections at once; beyond, the longest silent one is closed for a new one, "
        "or the new one gets 503",
    )
    max_unsent_mib: Count = Field(
        default=192,
        description="MiB that large answers hold together until their callers have taken them; "
        "beyond, the next ones wait to be made",
    )
    gc_policy: Literal["timed", "python"] = Field(
        default="timed",
        description="when Python's collector looks for reference cycles: timed, once a second at "
        "most and for a fiftieth of the time; python, as Python does by itself",
    )
    mcp: bool = Field(
        default=False,
        description="whether language models may call tools, at /mcp (takes bijecta[mcp])",
    )
    playground: bool = Field(
        default=True, description="whether / is a page that tries the models in a browser"
    )
    watch: bool = Field(
        default=True,
        description="whether answers are watched: histograms of log_prob and of p-values, and a "
        "test of drift of each detector",
    )
    watch_threshold: Annotated[float, Field(gt=1, allow_inf_nan=False)] = Field(
        default=100.0,
        description="of streams without a change, at most one in so many ever comes to an alarm",
    )
    watch_folder: Path | None = Field(
        default=None, description="folder where tests of drift are kept for the next start (none)"
    )
    request_log: bool = Field(
        default=False,
        description="whether a line of JSON is written to standard output for each request",
    )
    trace_endpoint: str | None = Field(
        default=None,
        description="URL of a collector that takes traces over OTLP/HTTP, such as "
        "http://localhost:4318 (what OpenTelemetry's variables say, else none)",
    )
    trace_ratio: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None,
        description="of the traces that begin here, how many are kept, 0 to 1 (what "
        "OpenTelemetry's variables say, else all)",
    )
    log_repeat_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=60.0,
        description="of log lines of one kind one is written in so many seconds, and the others "
        "are counted; 0 writes all",
    )
    model_settings: Path | None = Field(
        default=None,
        description="TOML file with a table of threads, batch_rows, batch_mib, queue_rows by model",
    )
    models: dict[str, dict[str, Any]] = Field(
        default={},
        description="the same tables as JSON, or BIJECTA_MODELS__DIGITS_MAF__THREADS=2; they win",
    )

    @model_validator(mode="after")
    def _check_memory(self) -> Self:
        if self.max_body_mib > self.max_inflight_mib and "max_body_mib" in self.model_fields_set:
            raise ValueError(
                f"max_body_mib: a body of {self.max_body_mib} MiB is more than all requests may "
                f"hold together: max_inflight_mib is {self.max_inflight_mib}"
            )
        return self

    @model_validator(mode="after")
    def _check_workers(self) -> Self:
        if self.workers == 1:
            return self
        if sys.platform != "linux":
            raise ValueError(
                "workers: several share a port on Linux alone; here, start one server for each port"
            )
        of_cpu = re.fullmatch(r"cpu:(\d+)", self.device)
        threads = self.threads or (int(of_cpu[1]) if of_cpu else None)
        counts = {
            "threads": None if self.device.startswith("cuda") else threads,
            "queue_rows": self.queue_rows,
            "max_connections": self.max_connections,
        }
        for name, count in counts.items():
            if count is not None and count < self.workers:
                raise ValueError(
                    f"{name}: {count} cannot be divided among {self.workers} workers, each of "
                    "which needs one"
                )
        return self

    @field_validator("mcp")
    @classmethod
    def _check_mcp(cls, mcp: bool) -> bool:
        if mcp and find_spec("mcp") is None:
            raise ValueError("this install has no MCP: pip install 'bijecta[mcp]'")
        return mcp

    @property
    def max_body(self) -> int:
        """Largest request body in bytes."""
        return self.max_body_mib * 2**20

    @property
    def max_inflight(self) -> int:
        """Most bytes that all requests in progress hold together."""
        return self.max_inflight_mib * 2**20

    @property
    def max_models(self) -> int | None:
        """Most bytes of bundles loaded at once."""
        return None if self.max_models_mib is None else self.max_models_mib * 2**20
