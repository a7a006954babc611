"""Made-up card payments: `python -m training.data.examples.payments > payments.csv`.

20,000 payments of eight weeks in the order of their times, always the same ones, and all of them
normal. The table is as businesses have them: times, classes, amounts in cents, ages that some rows
lack, an identifier, and a column that is constant.
"""

import math
from datetime import datetime, timedelta
from random import Random

ROWS, DAYS = 20_000, 56
START = datetime(2026, 3, 2)
HEADER = "id,when,country,merchant_category,amount,age,fee,card_present,currency_code"

COUNTRIES = {"DE": 45, "FR": 25, "US": 20, "BR": 10}
"""Payments of 100."""

FEES = (0.01, 0.015, 0.02)
"""Shares of the amount, of which a payment outside Germany costs one."""

CATEGORIES = {
    "groceries": (40, 28, 16, 0.98),
    "restaurants": (25, 35, 19, 0.9),
    "fuel": (20, 60, 11, 0.99),
    "books": (10, 22, 14, 0.3),
    "travel": (5, 340, 13, 0.2),
}
"""Payments of 100, the median amount, the usual hour, the share of them with the card itself."""


def payment_lines(rows: int = ROWS) -> list[str]:
    """The lines of the CSV file, its header first."""
    random = Random(1)
    drawn = sorted(_payment(random, DAYS * i // rows) for i in range(rows))
    return [HEADER, *(f"P{7000 + i},{line}" for i, line in enumerate(drawn))]


def _payment(random: Random, day: int) -> str:
    """A payment of a day from 0, its time first."""
    country = random.choices([*COUNTRIES], [*COUNTRIES.values()])[0]
    category = random.choices([*CATEGORIES], [each[0] for each in CATEGORIES.values()])[0]
    _, median, hour, present = CATEGORIES[category]
    minute = min(max(round(60 * random.gauss(hour, 2)), 0), 24 * 60 - 1)
    when = (START + timedelta(days=day, minutes=minute)).isoformat(timespec="minutes")
    amount = random.lognormvariate(math.log(median), 0.5)
    fee = 0 if country == "DE" else amount * random.choice(FEES)
    age = "" if random.random() < 0.3 else max(18, round(random.gauss(44, 14)))
    has_card = str(random.random() < present).lower()
    return f"{when},{country},{category},{amount:.2f},{age},{fee:.2f},{has_card},978"


if __name__ == "__main__":
    print(*payment_lines(), sep="\n")
