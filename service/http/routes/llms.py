"""`/llms.txt`: what language models should know before they ask, by https://llmstxt.org."""

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from service.operations import FLOW_OPERATIONS

router = APIRouter(tags=["operation"])

TEXT = """\
# Bijecta

> Serves normalizing flows and detectors of anomalies over HTTP: exact log-likelihoods, samples, \
encodings, interpolations, anomaly scores with p-values.

Ask `GET /models` first: it names the models, and the columns or the shape of a row. Bodies and \
answers are JSON unless `Content-Type` and `Accept` say otherwise. `model` may be left out where \
there is one. Rows are `x` (lists of numbers, N × the shape of a row) or, of models of typed \
columns, `rows` (objects by column name). log_prob is in nats; `null` in it is −∞. Errors are \
problem documents (RFC 9457): `detail` names row and column, what was expected and what came. \
429 and 503 say in `Retry-After` when to come again.

## Questions

{questions}

## The server

- [GET /models](/models): every model, its versions, and what was refused
- [GET /models/NAME](/models): the manifest of one, with its columns
- [GET /health/ready](/health/ready): whether models are loaded
- [GET /metrics](/metrics): series for Prometheus
- [GET /v2](/v2): the Open Inference Protocol v2, for clients of Triton and KServe
- [POST /mcp](/mcp): the same as tools of the Model Context Protocol, where the server has \
`--mcp`: models, log_prob, score, sample

## Optional

- [OpenAPI](/openapi.json): every field with its default
- [Documentation](/docs): the same, to be read by people
"""


def llms_text() -> str:
    """The file, with a line for each question."""
    lines = [
        f"- [POST /{each.name}](/docs#/flow/{each.name}): "
        f"{(each.answer.__doc__ or '').partition(chr(10))[0]} Fields: "
        + ", ".join(f"`{field}`" for field in each.request.model_fields)
        for each in FLOW_OPERATIONS
    ]
    return TEXT.format(questions="\n".join(lines))


@router.get(
    "/llms.txt", summary="What language models should know", response_class=PlainTextResponse
)
async def llms() -> str:
    """What language models should know before they ask."""
    return llms_text()
