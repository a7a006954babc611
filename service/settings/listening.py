"""Where a server listens, who may ask there, and how they show that they may."""

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

# Lists divided by commas: of names and addresses without a port, of schemes with an authority.
_HOST = r"(\*|(\*\.)?[A-Za-z0-9_.\-]+|\[[0-9A-Fa-f:.]+\])"
_ORIGIN = r"(\*|https?://[^\s/?#,]+)"
HOSTS = rf"^({_HOST}(, ?{_HOST})*)?$"
ORIGINS = rf"^({_ORIGIN}(, ?{_ORIGIN})*)?$"
ROOT_PATH = r"^(/[A-Za-z0-9._~\-]+)*$"

Port = Annotated[int, Field(ge=0, le=65535)]


def is_loopback(name: str) -> bool:
    """Whether a name or address can only be this machine's."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    return address is not None and address.is_loopback


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return None


def _of_address(value: Any) -> Any:
    """Of an address whether it is of loopback; everything else as it is."""
    if isinstance(value, str) and (value == "localhost" or _address(value) is not None):
        return is_loopback(value)
    return value


class ListeningSettings(BaseModel):
    """Where a server listens, and who may ask."""

    host: str = Field(
        default="127.0.0.1",
        description="address to listen on; beyond loopback it takes keys, or --insecure",
    )
    port: Port = Field(default=8000, description="port; 0 picks a free one")
    uds: Path | None = Field(
        default=None,
        description="UNIX socket to listen on in place of host and port; who may use it is up to "
        "the rights of its folder (none)",
    )
    root_path: Annotated[str, Field(pattern=ROOT_PATH)] = Field(
        default="",
        description="path below which a proxy shows this server, such as /flows; it may pass it on "
        "or leave it out (none)",
    )
    keys: Path | None = Field(
        default=None,
        description="file of API keys, of `bijecta keys`; every request but those for health and "
        "the pages / and /docs takes one then; it is read again when it changes (none)",
    )
    insecure: Annotated[bool, BeforeValidator(_of_address)] = Field(
        default=False,
        description="listen beyond loopback without keys; in place of true, an address on which a "
        "container's port is published means true where it is of loopback",
    )
    tls_certificate: Path | None = Field(
        default=None,
        description="PEM file of a certificate and those that it stands on, for TLS without a "
        "proxy; it is read again when it changes (none)",
    )
    tls_key: Path | None = Field(default=None, description="PEM file of its key (none)")
    model_control: bool = Field(
        default=False,
        description="whether callers may load and unload models, under /v2/repository",
    )
    control_port: Port | None = Field(
        default=None,
        description="port of its own for model control, which is refused on the other one then; "
        "0 picks a free one (none)",
    )
    control_host: str = Field(default="127.0.0.1", description="address of that port")
    grpc_port: Port | None = Field(
        default=None,
        description="port of the Open Inference Protocol over gRPC; 0 picks a free one (none)",
    )
    allowed_hosts: Annotated[str, Field(pattern=HOSTS)] = Field(
        default="",
        description="names that a request's Host may be, such as flows.example,*.flows.example; * "
        "for any (any; where models are controlled on a loopback address, its names)",
    )
    allowed_origins: Annotated[str, Field(pattern=ORIGINS)] = Field(
        default="",
        description="pages that may ask besides this server's own (CORS), such as "
        "https://app.example,http://localhost:3000; * for any (none)",
    )

    @model_validator(mode="after")
    def _check_ports(self) -> Self:
        if self.control_port and self.control_port == self.port and self.uds is None:
            raise ValueError(f"control_port: {self.port} is the port of all requests")
        http_port = self.port if self.uds is None else None
        if self.grpc_port and self.grpc_port in (http_port, self.control_port):
            raise ValueError(f"grpc_port: {self.grpc_port} is a port of HTTP")
        if self.control_port is None and "control_host" in self.model_fields_set:
            raise ValueError(
                "control_host: nothing listens there without --control-port, the port of model "
                "control"
            )
        return self

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        for given, lacks in (("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")):
            if getattr(self, given) is not None and getattr(self, lacks) is None:
                raise ValueError(f"{lacks}: TLS takes both files, and there is {given} alone")
        return self

    @model_validator(mode="after")
    def _check_reach(self) -> Self:
        if self.keys is not None or self.insecure:
            return self
        for field, host in self.tcp_hosts.items():
            if not is_loopback(host):
                raise ValueError(
                    f"{field}: {host or 'every address'} is reached from other machines, and there "
                    "are no keys: `bijecta keys add NAME --keys FILE` makes one, for --keys FILE; "
                    "--insecure (BIJECTA_INSECURE=true) answers whoever comes"
                )
        return self

    @property
    def tcp_hosts(self) -> dict[str, str]:
        """The addresses that are listened on, by the settings that name them."""
        listens = self.uds is None or self.grpc_port is not None
        hosts = {"host": self.host} if listens else {}
        return hosts if self.control_port is None else hosts | {"control_host": self.control_host}

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of `allowed_hosts`, in lower case."""
        return _listed(self.allowed_hosts)

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins of `allowed_origins`, in lower case."""
        return _listed(self.allowed_origins)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(item.strip().lower() for item in text.split(",") if item.strip())
