"""What is decided of real tables, as somebody would who looks at each column with care."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from service.tables import (
    CategoricalColumn,
    DatetimeColumn,
    Decision,
    LatticeColumn,
    RawTable,
    decide,
    from_array,
    to_rows,
)
from tests.helpers.shared_data import SHARED
from training.config import TableSource
from training.data import read_raw

pytestmark = pytest.mark.skipif(not SHARED.exists(), reason="the shared data folder is not here")

ODDBENCH = sorted((SHARED / "oddbench").glob("*.npz"))
ADBENCH = sorted((SHARED / "adbench").glob("*.npz"))

LEFT_OUT = {
    "CometAnomaly": {"TailArea", "TailDNA", "TailDNAPercent"},  # comet − head; 100 − head's
    "PizzaCutter3": {"num_fea_26", "num_fea_28", "num_fea_31", "num_fea_36"},  # sums of two
    "ProductionRunStatus": {"WithoutZonePer %.1", "WithZonePer %.1"},  # repeated
    "SchoolLevy": {"Differential"},  # for − against
    "batch-2839_part-2_i10874": {"x"},  # repeated
    "6_cardio": {"13"},  # the width of a histogram, which is its maximum − its minimum
}
CODES = {
    "ColombiaEthnicity": {"Código DIVIPOLA", "Codigo departamento"},
    "LogOperations": {"cd_setor"},
    "ResourceIndicators": {"ISO3166_numeric"},
    "ServiceErrorLocation": {"Código postal"},
    "SessionAnomaly": {"Schedule ID", "Participant Private ID"},
    "SystemProcessAnomalies": {"pid"},
    "TorontoPoliceContacts": {"TPS_PATROL_ZONE"},
}


def archive(path: Path) -> RawTable:
    """The rows of an archive, all of them or those to train on."""
    with np.load(path) as arrays:
        rows = arrays["train" if "train" in arrays else "X"]
        names = arrays["feature_names"].tolist() if "feature_names" in arrays else None
    names = names or [str(i) for i in range(rows.shape[1])]
    return RawTable({name: from_array(rows[:, i]) for i, name in enumerate(names)}, len(rows))


@pytest.mark.parametrize("path", [*ODDBENCH, *ADBENCH], ids=lambda path: path.stem)
def test_only_copies_are_left_out_and_only_codes_are_classes(path: Path) -> None:
    table = archive(path)
    found = decide(table)
    assert not found.problems
    assert not any("looks like an identifier" in note for note in found.notes)
    left_out = {column.name for column in found.left_out}
    assert left_out == LEFT_OUT.get(path.stem, set())
    many = {c.name for c in found.columns if c.kind == "categorical" and len(c.classes) > 2}
    assert many == CODES.get(path.stem, set())
    rows = to_rows(table.columns, found.columns, left_out)
    assert not rows.faulty.any()
    assert not np.isnan(rows.rows).any()
    for i, column in enumerate(found.columns):
        if isinstance(column, LatticeColumn):
            values = table.columns[column.name].values.astype(float)
            np.testing.assert_allclose(rows.rows[:, i], values, rtol=1e-6, atol=1e-6 * column.step)


def of_file(path: Path) -> tuple[RawTable, Decision]:
    table = read_raw(path, TableSource(source=str(path)))
    return table, decide(table)


@pytest.fixture(scope="module")
def payments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("payments")
    subprocess.run([sys.executable, SHARED / "payments" / "make.py", folder], check=True)
    return folder


def test_payments(payments: Path) -> None:
    _, found = of_file(payments / "payments.csv")
    assert {c.name: c.reason for c in found.left_out} == {
        "id": "identifier",
        "currency_code": "constant",
    }
    columns = {column.name: column for column in found.columns}
    assert {name: column.kind for name, column in columns.items()} == {
        "when": "datetime",
        "country": "categorical",
        "merchant_category": "categorical",
        "amount": "lattice",
        "age": "lattice",
        "fee": "lattice",
        "card_present": "categorical",
        "score_band": "lattice",
    }
    steps = {n: c.step for n, c in columns.items() if isinstance(c, LatticeColumn | DatetimeColumn)}
    assert steps == {"when": 60.0, "amount": 0.01, "age": 1.0, "fee": 0.01, "score_band": 0.5}
    assert [name for name, column in columns.items() if column.missing] == ["age"]
    assert columns["fee"].point_masses == [0.0]  # type: ignore[union-attr]
    assert columns["amount"].point_masses == []  # type: ignore[union-attr]
    when, country, flag = columns["when"], columns["country"], columns["card_present"]
    assert isinstance(when, DatetimeColumn)
    assert when.format == "%Y-%m-%dT%H:%M"
    assert when.features == ["hour", "weekday", "day_of_year"]
    assert isinstance(country, CategoricalColumn)
    assert (country.classes, country.other) == (["DE", "FR", "US", "BR", "JP"], True)
    assert isinstance(flag, CategoricalColumn)
    assert (flag.classes, flag.other) == ([True, False], False)
    # other rows of the same table, with frauds among them: one country that was never seen
    check, _ = of_file(payments / "check.csv")
    rows = to_rows(check.columns, found.columns, ["id", "currency_code", "fraud", "cause"])
    assert not rows.faulty.any()
    others = rows.rows[:, list(columns).index("country")] == len(country.classes)
    seen = check.columns["country"]
    assert {seen.words[code] for code in seen.values[others]} == {"KY"}


def test_household_power_with_its_gaps() -> None:
    with np.load(SHARED / "power_head" / "power_head_raw.npz") as arrays:
        names, x = arrays["columns"].tolist(), arrays["x"]
        columns = {name: from_array(x[:, i]) for i, name in enumerate(names)}
        columns["minute"] = from_array(arrays["minute"])
    found = decide(RawTable(columns, len(x)))
    steps = {c.name: c.step for c in found.columns if isinstance(c, LatticeColumn)}
    assert steps == {
        "Global_active_power": 0.002,
        "Global_reactive_power": 0.002,
        "Voltage": 0.01,
        "Global_intensity": 0.2,
        "Sub_metering_1": 1.0,
        "Sub_metering_2": 1.0,
        "Sub_metering_3": 1.0,
        "minute": 1.0,
    }
    assert [c.name for c in found.columns if not c.missing] == ["minute"]
    rows = to_rows(columns, found.columns)
    assert not rows.faulty.any()
    assert np.isnan(rows.rows).sum() == np.isnan(x).sum()


def test_wine_quality() -> None:
    for colour in ("red", "white"):
        _, found = of_file(SHARED / "wine_quality" / f"winequality-{colour}.csv")
        assert {column.kind for column in found.columns} == {"lattice"}
        assert len(found.columns) == 12
