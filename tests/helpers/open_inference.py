"""Requests of the Open Inference Protocol by several clients."""

import asyncio
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.helpers.http import MOONS

try:
    import tritonclient.http as triton
    import tritonclient.http.aio as triton_aio
    from tritonclient.utils import InferenceServerException, np_to_triton_dtype
except (ImportError, RuntimeError) as error:  # it raises the latter where its extra is not there
    pytest.skip(f"tritonclient[http] cannot be imported: {error}", allow_module_level=True)

Client = triton.InferenceServerClient


X = MOONS[:7].astype(np.float32)


class Caller:
    """A client of tritonclient, whichever it is: its methods by name."""

    def __init__(self, url: str, is_aio: bool) -> None:
        self.url = url
        self.is_aio = is_aio

    def __call__(self, method: str, *args: Any, **kwargs: Any) -> Any:
        if self.is_aio:
            return asyncio.run(self._later(method, *args, **kwargs))
        with Client(self.url) as client:
            return getattr(client, method)(*args, **kwargs)

    async def _later(self, method: str, *args: Any, **kwargs: Any) -> Any:
        async with triton_aio.InferenceServerClient(self.url) as client:
            return await getattr(client, method)(*args, **kwargs)

    def refused(self, method: str, *args: Any, **kwargs: Any) -> tuple[int, str]:
        with pytest.raises(InferenceServerException) as caught:
            self(method, *args, **kwargs)
        return int(caught.value.status()), caught.value.message()


def tensor(name: str, values: NDArray[Any], binary: bool = True) -> Any:
    given = triton.InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
    return given.set_data_from_numpy(values, binary_data=binary)


def unsupported_output(name: str) -> Any:
    """A classification, which is an extension of other servers."""
    return triton.InferRequestedOutput(name, class_count=2)


def wanted(*names: str, binary: bool = True) -> list[Any]:
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in names]


def assert_same(result: Any, expected: dict[str, Any], *names: str) -> None:
    """The very float32s of a native answer."""
    for name in names:
        values = result.as_numpy(name)
        assert values.dtype == np.float32
        assert np.array_equal(values, expected[name].astype(np.float32)), name
