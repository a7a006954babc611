"""A small table as people have them: each kind of column, and each that is left out."""

from random import Random

COUNTRIES = ["DE"] * 40 + ["FR"] * 25 + ["US"] * 20 + ["BR"] * 10


def payment_lines(rows: int = 400) -> list[str]:
    """The lines of a CSV file, always the same."""
    random = Random(1)
    lines = ["id,when,country,amount,age,fee,card_present,currency"]
    for i in range(rows):
        amount = round(random.lognormvariate(3, 1), 2)
        age = "" if random.random() < 0.3 else max(18, round(random.gauss(44, 14)))
        when = f"2026-{random.randint(1, 12):02d}-{random.randint(1, 28):02d}"
        when += f"T{random.randint(8, 20):02d}:{random.randint(0, 59):02d}"
        fee = round(amount * 0.015, 2) if random.random() < 0.3 else 0.0
        present = str(random.random() < 0.8).lower()
        lines.append(
            f"{7000 + i},{when},{random.choice(COUNTRIES)},{amount},{age},{fee},{present},978"
        )
    return lines
