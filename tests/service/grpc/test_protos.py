"""The messages are those of Triton's own client, as far as they go."""

from typing import Any

import pytest

from service.grpc.protos import messages

try:
    from tritonclient.grpc import model_config_pb2, service_pb2
except (ImportError, RuntimeError) as error:
    pytest.skip(f"tritonclient[grpc] cannot be imported: {error}", allow_module_level=True)


def all_messages(kinds: dict[str, Any]) -> dict[str, Any]:
    found = dict(kinds)
    for kind in kinds.values():
        found |= all_messages({f"{kind.name}.{n}": k for n, k in kind.nested_types_by_name.items()})
    return found


THEIRS = all_messages(
    {
        **service_pb2.DESCRIPTOR.message_types_by_name,
        **model_config_pb2.DESCRIPTOR.message_types_by_name,
    }
)
OURS = all_messages(dict(messages.DESCRIPTOR.message_types_by_name))


def described(field: Any) -> tuple[Any, ...]:
    kind = field.message_type or field.enum_type
    return (
        field.name,
        field.type,
        field.is_repeated,
        None if kind is None else kind.full_name,
        None if field.containing_oneof is None else field.containing_oneof.name,
    )


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_message_has_fields_of_the_protocol(name: str) -> None:
    theirs = THEIRS[name].fields_by_number
    for number, field in OURS[name].fields_by_number.items():
        assert described(field) == described(theirs[number])


def test_every_field_of_a_request_is_known() -> None:
    """What a caller asks for must not be skipped."""
    for name in ("ModelInferRequest", "InferTensorContents", "InferParameter"):
        assert OURS[name].fields_by_number.keys() == THEIRS[name].fields_by_number.keys()


def test_data_types_are_those_of_the_protocol() -> None:
    theirs = model_config_pb2.DESCRIPTOR.enum_types_by_name["DataType"].values_by_name
    for name, value in messages.DataType.items():
        assert theirs[name].number == value
