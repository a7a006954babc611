"""What models answered once, and whether they still do."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from tests.stored.files import FORMAT_1

# of the design: nats per dimension, and a part of the range
OF_LOG_PROB, OF_RANGE = 1e-4, 1e-4


def check_replies(client: TestClient, model: str, folder: Path = FORMAT_1) -> None:
    """Ask a model of a folder of what is stored what it was asked when it was made."""
    said = json.loads((folder / "answers" / f"{model}.json").read_text())
    assert len(said) >= 9
    dimensions = math.prod(client.get(f"/models/{model}").json()["event_shape"])
    for one in said:
        reply = client.post(one["path"], json=one["body"])
        assert reply.status_code == one["status"], (one, reply.text)
        if one["status"] != 200:
            assert reply.json()["type"] == one["answer"]["type"]
        elif "outputs" in one["answer"]:
            _same_tensors(reply.json(), one["answer"], dimensions)
        else:
            exact = one["body"].get("quantize", False)
            for key, expected in one["answer"].items():
                _same(key, reply.json()[key], expected, dimensions, exact)


def _same(key: str, found: Any, expected: Any, dimensions: int, exact: bool = False) -> None:
    if not isinstance(expected, list):  # the model, the version, the seed
        assert found == expected, key
        return
    # null is −∞, and as float64 NaN, which equals NaN here
    got, want = (np.array(value, dtype=np.float64) for value in (found, expected))
    bar = OF_LOG_PROB * dimensions
    if key in ("x", "z"):
        bar = 0 if exact else OF_RANGE * _range(key, want)
    np.testing.assert_allclose(got, want, rtol=0, atol=bar, err_msg=key)


def _range(key: str, values: NDArray[np.float64]) -> float:
    # a base has scale 1
    return max(float(np.ptp(values)), 1.0 if key == "z" else 0.0)


def _same_tensors(found: dict[str, Any], expected: dict[str, Any], dimensions: int) -> None:
    tensors = {tensor["name"]: tensor for tensor in found["outputs"]}
    for key in ("model_name", "model_version"):
        assert found[key] == expected[key]
    for tensor in expected["outputs"]:
        got = tensors[tensor["name"]]
        assert (got["shape"], got["datatype"]) == (tensor["shape"], tensor["datatype"])
        _same(tensor["name"], got["data"], tensor["data"], dimensions)
