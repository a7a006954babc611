"""What takes a key over gRPC, and how a caller shows one."""

from service.errors import UnauthorizedError
from service.grpc.slow_callers import Context
from service.security import Scope

# In the place of what a key is to be for: none is asked for.
OPEN: tuple[Scope, ...] = ()


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
