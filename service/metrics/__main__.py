"""The table of metrics for `service/METRICS.md`, in Markdown: `python -m service.metrics`."""

from service.metrics.series import METRICS


def metrics_table() -> str:
    """A row for each metric: its name, labels, kind, unit and meaning."""
    lines = ["| metric | labels | kind | unit | meaning |", "|---|---|---|---|---|"]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "none"
        lines.append(
            f"| `{metric.name}` | {labels} | {metric.kind} | {metric.unit} | {metric.help} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(metrics_table(), end="")
