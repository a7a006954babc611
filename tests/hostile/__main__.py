"""Every attacker against a server of its own, one after another.

    python -m tests.hostile --seconds 60 [--only NAME ...] --results FOLDER

Writes FOLDER/attackers.md and attackers.json after each; exits with 1 where one got more than it
may. `--list` prints who there is.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.hostile import page
from tests.hostile.measure import GRACE_SECONDS, Result, attack_of, attackers_of


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of each attack")
    parser.add_argument("--only", nargs="+", default=[], help="names, or beginnings of names")
    parser.add_argument("--results", type=Path, help="folder for the page")
    parser.add_argument("--list", action="store_true", help="who there is")
    arguments = parser.parse_args()
    attackers = attackers_of(arguments.only)
    if arguments.list:
        for one in attackers:
            print(f"{one.name}\t{one.line}\t{one.guards}".expandtabs(28))
        return 0
    if arguments.results is None:
        parser.error("--results is missing")
    arguments.results.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    for number, attacker in enumerate(attackers, 1):
        with tempfile.TemporaryDirectory(prefix="bijecta-hostile-") as folder:
            result = attack_of(attacker, arguments.seconds, Path(folder), GRACE_SECONDS)
        results.append(result)
        page.write(arguments.results, "attackers", "Attackers, one at a time", results)
        print(f"{number}/{len(attackers)}", *page.row(result), dict(result.statuses), flush=True)
        for failure in result.failures:
            print(f"    {failure}", flush=True)
    return 1 if any(result.failures for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
