"""In which type numbers are sent, and come back."""

import httpx
import numpy as np
import pytest

from tests.helpers.askers import Make, Server, X, inference, protocol, scripted

WIDE = X.astype(np.float64)


def sent(server: Server) -> list[str]:
    """The datatype of the first input of each request."""
    return [inference(request)[0]["inputs"][0]["datatype"] for request in server.asked]


def test_a_model_that_has_not_answered_is_sent_all_digits(make: Make) -> None:
    for rows in (WIDE, [[2**24 + 1, 0]], WIDE.tolist(), np.array([[1, 2]], ">u2")):
        asker, server = scripted(make)
        asker("log_prob", rows)
        assert sent(server) == ["FP64"]
        assert np.array_equal(inference(server.asked[0])[1]["x"], np.asarray(rows))


def test_flows_are_sent_float32_once_they_have_answered(make: Make) -> None:
    asker, server = scripted(make, rows_per_request=1)
    assert asker("log_prob", WIDE).dtype == np.float32
    asker("encode", WIDE)
    asker("decode", WIDE, version=3)
    asker("log_prob", WIDE, model="other")
    assert sent(server) == ["FP64", *["FP32"] * 5, "FP64", "FP32"]


def test_float32_is_sent_as_it_is(make: Make) -> None:
    asker, server = scripted(make)
    server.dtype = np.dtype("<f8")
    for rows in (X, X, X.astype(">f4"), X.astype(np.float16)):
        asker("encode", rows)
    assert sent(server) == ["FP32"] * 4


def test_tables_answer_in_float64_and_are_sent_it(make: Make) -> None:
    asker, server = scripted(make)
    server.dtype = np.dtype("<f8")
    for _ in range(2):
        z, log_prob = asker("encode", [[2**24 + 1, 0]])
        assert z.dtype == log_prob.dtype == np.float64
        assert z[0, 0] == log_prob[0] == 2**24 + 1
        assert z.flags.writeable
    drawn = asker("sample", 2)
    assert drawn.x.dtype == np.float64
    assert sent(server) == ["FP64", "FP64", "INT64"]


def test_a_name_that_has_come_to_mean_a_table_gets_all_digits(make: Make) -> None:
    asker, server = scripted(make)
    asker("encode", WIDE)
    server.dtype = np.dtype("<f8")
    asker("encode", WIDE)  # float32 holds these
    assert sent(server) == ["FP64", "FP32"]
    server.dtype = np.dtype("<f4")
    asker("encode", WIDE)
    server.dtype = np.dtype("<f8")
    assert asker("encode", [[2**24 + 1, 0]]).z[0, 0] == 2**24 + 1
    assert sent(server)[2:] == ["FP64", "FP32", "FP64"]


def test_numbers_of_a_context_keep_their_digits(make: Make) -> None:
    asker, server = scripted(make)
    asker("log_prob", WIDE, [[2**24 + 1]])
    assert inference(server.asked[0])[1]["context"].tolist() == [[2**24 + 1]]


@pytest.mark.parametrize("cut", [4, -4])
def test_float64_cut_short_is_no_answer(make: Make, cut: int) -> None:
    whole = protocol({"log_prob": np.zeros(2)}, dtype="<f8")
    content = whole.content[:-cut] if cut > 0 else whole.content + b"1234"
    asker, _ = scripted(make, httpx.Response(200, headers=whole.headers, content=content))
    with pytest.raises(Exception, match="Open Inference"):
        asker("log_prob", X)
