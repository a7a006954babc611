"""What takes a key over gRPC, and how a caller shows one."""

from service.errors import UnauthorizedError
from service.grpc.slow_callers import Context
from service.security import Scope

# What a key is to be for: one of these. No key is asked for where there are none.
OPEN: tuple[Scope, ...] = ()
ASKING: tuple[Scope, ...] = ("ask",)
READING: tuple[Scope, ...] = ("ask", "admin")
CONTROLLING: tuple[Scope, ...] = ("admin",)


def authorization(context: Context) -> bytes | None:
    """How a caller shows who it is, as HTTP has it; None where it does not.

    Raises:
        UnauthorizedError: several times.
    """
    found = [
        value if name == "authorization" else f"Bearer {value}"
        for name, value in context.invocation_metadata()
        if name in ("authorization", "x-api-key")
    ]
    if len(found) > 1:
        raise UnauthorizedError("there are several keys in the metadata: send one")
    return found[0].encode() if found else None
