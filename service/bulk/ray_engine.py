"""The engine of several machines: row groups of files as the rows of a Ray Data set.

Each worker opens the files and the bundle by their paths, which have to be the same on all
machines, and sends back rows of the output. The pieces are those of one machine, and so are the
batches within them.
"""

import json
import logging
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from service.bulk.inputs import Inputs, Part, Span
from service.bulk.ordered import Done, Engine, done, output_schema
from service.bulk.pieces import BulkError, Place, Skipped
from service.bulk.scorers import BundleScorer, Decision, Scorer
from service.bulk.unfamiliar import Found

NO_RAY = "this install has no Ray: pip install 'bijecta[ray]'"


class Worker:
    """Scores spans of files in a process of Ray's.

    Args:
        bundle: its folder.
        device: as of `bijecta serve`.
        decision: of a detector.
        inputs: the arguments of `Inputs`, without the manifest.
    """

    def __init__(
        self, bundle: Path, device: str, decision: Decision, inputs: dict[str, Any]
    ) -> None:
        self._scorer = BundleScorer(bundle, device, decision)
        self._inputs = Inputs(manifest=self._scorer.manifest, **inputs)

    def __call__(self, spans: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Some spans → what each of their parts came to, a batch of one each."""
        for text in spans["span"].tolist():
            span = Span(*json.loads(text))
            for part in self._inputs.parts_of(span):
                if part is not None:
                    yield _packed(done(part, self._scorer, self._schema))

    @property
    def _schema(self) -> Any:
        return output_schema(self._inputs, self._scorer)


def by_ray(bundle: Path, device: str, decision: Decision, workers: int | None) -> Engine:
    """The engine of a Ray cluster: the one of `RAY_ADDRESS`, or one on this machine.

    Args:
        bundle: its folder.
        device: `cpu`, one of each worker, or `cuda`, a GPU of each; auto where the cluster has one.
        decision: of a detector.
        workers: how many processes; None for one for each CPU, or GPU, of the cluster.

    Raises:
        BulkError: Ray is not installed; later, there is no cluster at its address.
    """
    try:
        import ray
        import ray.data
    except ModuleNotFoundError:
        raise BulkError(NO_RAY) from None

    def engine(inputs: Inputs, scorer: Scorer, file: int, place: Place) -> Iterator[Done]:
        if not ray.is_initialized():
            # a cluster that is there has the CPUs that it has, and Ray refuses to be told others
            address = os.environ.get("RAY_ADDRESS") or "local"
            cpus = workers if address == "local" else None
            try:
                ray.init(address, log_to_driver=False, logging_level="error", num_cpus=cpus)
            except (OSError, RuntimeError, ValueError) as error:
                raise BulkError(f"Ray at {address!r:.80}: {error}") from None
        resources = ray.cluster_resources()
        has_gpu = device != "cpu" and resources.get("GPU", 0) > 0
        count = workers or max(1, int(resources.get("GPU" if has_gpu else "CPU", 1)))
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        found = list(inputs.spans(file, place))  # which also says the types of what is kept
        arguments = {
            "files": list(inputs.files),
            "given_format": inputs.given_format,
            "keep": list(inputs.keep),
            "kept": inputs.kept,
        }
        spans = [{"span": json.dumps(span)} for span in found if isinstance(span, Span)]
        worker = (bundle, "cuda" if has_gpu else "cpu:1", decision, arguments)
        failed = deque(part for part in found if isinstance(part, Part))
        schema = output_schema(inputs, scorer)
        for one in _results(ray, spans, worker, count, has_gpu):
            while failed and failed[0].number < one.number:
                yield done(failed.popleft(), scorer, schema)
            yield one
        for part in failed:
            yield done(part, scorer, schema)

    return engine


def _results(
    ray: Any, spans: list[dict[str, str]], arguments: tuple[Any, ...], workers: int, has_gpu: bool
) -> Iterator[Done]:
    """What all spans come to, in their order."""
    if not spans:
        return
    data = ray.data.from_items(spans, override_num_blocks=len(spans)).map_batches(
        Worker,
        fn_constructor_args=arguments,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(spans))),
        num_gpus=1 if has_gpu else 0,
        num_cpus=0 if has_gpu else 1,
    )
    for row in data.iter_rows():
        yield _unpacked(row)


def _packed(one: Done) -> dict[str, Any]:
    """A batch of one row, as Ray Data has it: bytes and text."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, one.table.schema) as writer:
        writer.write_table(one.table)
    said = [one.skipped, one.number, one.after, one.is_last, one.share, one.found]
    return {"rows": [sink.getvalue().to_pybytes()], "said": [json.dumps(said)]}


def _unpacked(row: dict[str, Any]) -> Done:
    table = pa.ipc.open_stream(row["rows"]).read_all()
    skipped, number, after, is_last, share, found = json.loads(row["said"])
    return Done(
        table,
        [Skipped(*each) for each in skipped],
        number,
        after,
        is_last,
        share,
        [Found(*each) for each in found],
    )
