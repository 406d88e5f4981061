"""Progress of long work: a bar on a terminal, a line now and then elsewhere (nohup, SLURM, CI). Both on stderr."""

from __future__ import annotations

import sys
import time
from typing import Any, Iterable, Iterator, Sized

from tqdm import tqdm

# Seconds until the first line; each later one comes after twice as long, until that is the second number.
_FIRST, _LONGEST = 2.0, 60.0


def progress(
    items: Iterable | None = None,
    total: int | None = None,
    desc: str = "",
    unit: str = "it",
    initial: int = 0,
    unit_scale: bool = False,
    delay: float = 0,
    quiet: bool = False,
) -> tqdm | Lines:
    """What counts the steps of a loop and shows them: `for x in progress(items)`, or `update(n)` within `with`.

    Args:
        items: what to go through; None where `update` is called.
        total: steps in all; None: len(items).
        desc, unit: what is done, and to what (with a space before it where the bar needs one).
        initial: steps done before.
        unit_scale: write large numbers as 1.2M.
        delay: seconds before a bar appears.
        quiet: show nothing.
    """
    options: dict[str, Any] = {"total": total, "desc": desc, "unit": unit, "initial": initial, "unit_scale": unit_scale}
    if quiet or sys.stderr.isatty():
        return tqdm(items, disable=quiet, delay=delay, dynamic_ncols=True, **options)
    return Lines(items, **options)


def write_line(text: str, quiet: bool = False) -> None:
    """Print a line on stderr at once, whatever reads it."""
    if not quiet:
        print(text, file=sys.stderr, flush=True)


class Lines:
    """The part of tqdm that is used here, told in lines: "search: 45% of 1.2M scores, 120k/s, 01:23 left".

    Work that ends before the first line is due shows none.
    """

    def __init__(
        self,
        items: Iterable | None = None,
        total: int | None = None,
        desc: str = "",
        unit: str = "it",
        initial: int = 0,
        unit_scale: bool = False,
    ):
        self._items, self.n, self._initial = () if items is None else items, initial, initial
        self.total = len(items) if total is None and isinstance(items, Sized) else total
        self._desc, self._unit, self._scale = desc, unit.strip(), unit_scale
        self._began = time.monotonic()
        self._wait, self._due = _FIRST, self._began + _FIRST
        self._written: int | None = None

    def __iter__(self) -> Iterator:
        with self:
            for item in self._items:
                yield item
                self.update()

    def update(self, n: int = 1) -> None:
        """Count n more steps."""
        self.n += n
        now = time.monotonic()
        if now >= self._due:
            self._write()
            self._wait = min(2 * self._wait, _LONGEST)
            self._due = now + self._wait

    def _write(self):
        seconds = max(time.monotonic() - self._began, 1e-9)
        rate = (self.n - self._initial) / seconds
        done = self._number(self.n)
        if self.total:
            done = f"{self.n / self.total:.0%} of {self._number(self.total)}"
        shown = f"{self._number(rate) if self._scale else format(rate, '.1f')}/s"
        end = f"after {tqdm.format_interval(seconds)}"
        if self.total and rate and self.n < self.total:
            end = f"{tqdm.format_interval((self.total - self.n) / rate)} left"
        write_line(f"{self._desc}: {done} {self._unit}, {shown}, {end}".lstrip(": "))
        self._written = self.n

    def _number(self, number):
        return tqdm.format_sizeof(number) if self._scale else f"{number:,.0f}"

    def close(self) -> None:
        """Write the last line, where there was one before."""
        if self._written not in (None, self.n):
            self._write()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
