"""How near the exported graphs are to the model, and what the bundle holds."""

from service.bundle import (
    METHODS,
    AnyManifest,
    DetectorManifest,
    EnsembleManifest,
    InverseReport,
    Manifest,
    RoundTrip,
    RunCost,
    Sweeps,
)
from training.html_report.blocks import Block, Facts, Table
from training.html_report.reported import Reported
from training.html_report.section import Section
from training.html_report.words import number, scientific, size


def write_export(reported: Reported) -> list[Block]:
    """The largest differences from float64, how inverses are computed, versions and files."""
    exported = reported.exported
    manifest = exported.manifest
    blocks: list[Block] = [
        Facts("Largest differences from the model in float64", _errors(manifest))
    ]
    if isinstance(manifest, EnsembleManifest):
        for member in manifest.members:
            blocks += [
                _inverse(f"{name} of {member.run}", each, member.sweeps.get(name))
                for name, each in member.inverse.items()
            ]
    if isinstance(manifest, Manifest):
        blocks += [
            _inverse(name, each, manifest.sweeps.get(name))
            for name, each in manifest.inverse.items()
        ]
    if isinstance(manifest, Manifest | EnsembleManifest):
        blocks += [_run_cost(name, each) for name, each in manifest.run_cost.items()]
        if manifest.round_trip is not None:
            blocks.append(_round_trip(manifest.round_trip))
    blocks.append(Facts("Made with", list(manifest.made_with.items())))
    files = [
        [name, size((exported.folder / name).stat().st_size), sha256]
        for name, sha256 in manifest.files.items()
    ]
    blocks.append(Table("Files of the bundle", ["File", "Size", "sha256"], files, [1]))
    return blocks


def _errors(manifest: AnyManifest) -> list[tuple[str, str | None]]:
    pairs: list[tuple[str, str | None]]
    if isinstance(manifest, DetectorManifest):
        score, log_prob = manifest.tolerances.score, manifest.tolerances.log_prob_per_dim
        pairs = [
            ("Score", f"{scientific(score)} of its deviation"),
            ("log_prob", f"{scientific(log_prob)} nats per dimension"),
        ]
    else:
        of = manifest.tolerances
        pairs = [
            ("log_prob", f"{scientific(of.log_prob_per_dim_max)} nats per dimension"),
            (
                "log_prob, of 99 rows in 100",
                f"{scientific(of.log_prob_per_dim_p99)} nats per dimension",
            ),
            ("z", f"{scientific(of.z_relative)} of its range"),
            ("x", f"{scientific(of.x_relative)} of its range"),
        ]
    if isinstance(manifest, Manifest) and (rows := manifest.measured_rows) is not None:
        pairs.append(("Rows compared", f"{rows.encode} to encode, {rows.decode} to decode"))
    sizes = ", ".join(map(str, manifest.tolerances.batch_sizes))
    return [
        *pairs,
        ("Batches that were tried", f"of {sizes} rows"),
        ("Arithmetic of the graphs", manifest.arithmetic),
    ]


def _inverse(direction: str, report: InverseReport, sweeps: Sweeps | None) -> Facts:
    times = ", ".join(f"{ms:.2f} ms for {n} rows" for n, ms in report.milliseconds.items())
    facts: list[tuple[str, str | None]] = [
        ("Method", f"{METHODS[report.method]}, blocks of {report.width}"),
        ("Time on the CPU of the export", times),
        ("Residual", f"{scientific(report.residual)} of the range"),
        ("Tolerance", "exact" if not report.tolerance else scientific(report.tolerance)),
    ]
    if sweeps is not None:
        said = f"{number(sweeps.median, 3)} of the median row, {number(sweeps.max, 3)} at most"
        facts.append(("Sweeps", said))
        if sweeps.guess is not None:
            facts.append(("They start from the guesses of", sweeps.guess.student))
    return Facts(f"How {direction} computes what is sequential", facts)


def _run_cost(graph: str, cost: RunCost) -> Facts:
    return Facts(
        f"What a run to {graph} takes on the CPU of the export",
        [
            ("Memory", f"{size(cost.row_bytes)} a row"),
            ("CPU time of one row", f"{cost.single_ms:.2f} ms"),
            (f"CPU time of {cost.rows} rows", f"{cost.batch_ms:.2f} ms"),
        ],
    )


def _round_trip(measured: RoundTrip) -> Facts:
    least = measured.log_prob
    return Facts(
        "Rows that come back from their latents",
        [
            ("Within", f"{scientific(measured.tolerance)} of a coordinate's range"),
            ("Largest latent of such", number(measured.z, 4)),
            ("Lowest log_prob of such", None if least is None else f"{number(least, 4)} nats"),
            ("Rows tried, ever farther from the data", number(measured.rows)),
            ("Of these, farther off than that", number(measured.inexact)),
            ("Farther off, yet with such a latent and log_prob", number(measured.unflagged)),
        ],
    )


EXPORT = Section("Export", write_export)
