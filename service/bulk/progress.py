"""How far a run is, for people: a line that changes on a terminal, or a line now and then."""

import sys
import time

TERMINAL_SECONDS = 0.5
LOG_SECONDS = 30.0


class Progress:
    """Says on standard error how far a run is.

    Args:
        sizes: of its inputs, in bytes; 0 of a pipe.
        rows: that are done already.
        is_quiet: whether to say nothing.
    """

    def __init__(self, sizes: list[int], rows: int, is_quiet: bool) -> None:
        self._sizes = sizes
        self._before = rows
        self._is_quiet = is_quiet
        self._is_terminal = sys.stderr.isatty()
        self._began = self._said = time.monotonic()
        self._began_at: float | None = None

    def at(self, file: int, share: float, rows: int, skipped: int) -> None:
        """Tell where the run is.

        Args:
            file: the number of the input.
            share: of it that is done.
            rows, skipped: of all inputs.
        """
        now = time.monotonic()
        done = float(sum(self._sizes[:file]))
        done += share * self._sizes[file] if file < len(self._sizes) else 0
        if self._began_at is None:
            self._began_at = done
        wait = TERMINAL_SECONDS if self._is_terminal else LOG_SECONDS
        if self._is_quiet or now - self._said < wait:
            return
        self._said = now
        rate = (rows - self._before) / (now - self._began)
        line = f"{rows:,} rows, {rate:,.0f} a second"
        total = sum(self._sizes)
        if total and done > self._began_at:
            left = (now - self._began) * (total - done) / (done - self._began_at)
            line += f", {100 * done / total:.0f} %, {_duration(left)} left"
        if skipped:
            line += f", {skipped:,} skipped"
        print(f"\r\x1b[K{line}" if self._is_terminal else line, end=self._end, file=sys.stderr)
        sys.stderr.flush()

    def say(self, line: str) -> None:
        """Say something in a line of its own."""
        if not self._is_quiet:
            print(f"\r\x1b[K{line}" if self._is_terminal else line, file=sys.stderr)

    @property
    def _end(self) -> str:
        return "" if self._is_terminal else "\n"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
