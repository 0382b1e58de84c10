"""How load goes up and down from interval to interval: processes to draw from, or a recorded one.

A process returns the rates of successive intervals, in calls per second. A new one is a function and a row of
:data:`PROCESSES`.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import FileError, InvalidValueError, UnknownNameError
from meshgym.files import read_text, reading
from meshgym.scenarios import Range

FloatArray = NDArray[np.float64]
#: ``process(generator, intervals, span)`` draws the rates of so many intervals, shape (intervals,), within a range.
Process = Callable[[np.random.Generator, int, Range], FloatArray]
#: Intervals of a day.
_DAY = 24


def constant(generator: np.random.Generator, intervals: int, span: Range) -> FloatArray:
    """Return one rate for all intervals."""
    return np.full(intervals, generator.uniform(span.low, span.high))


def daily(generator: np.random.Generator, intervals: int, span: Range) -> FloatArray:
    """Return a sine over 24 intervals that begins anywhere, with a tenth of noise."""
    hours = np.arange(intervals) + generator.uniform(0, _DAY)
    wave = 0.5 + 0.5 * np.sin(2 * math.pi * hours / _DAY)
    return np.asarray((span.low + wave * (span.high - span.low)) * generator.normal(1, 0.1, intervals))


def burst(generator: np.random.Generator, intervals: int, span: Range) -> FloatArray:
    """Return a low rate with bursts of 2 to 5 intervals; one begins in every eighth interval on average."""
    third = (span.high - span.low) / 3
    rates = np.full(intervals, generator.uniform(span.low, span.low + third))
    for start in np.flatnonzero(generator.random(intervals) < 1 / 8):
        rates[start : start + generator.integers(2, 6)] = generator.uniform(span.high - third, span.high)
    return rates


def ramp(generator: np.random.Generator, intervals: int, span: Range) -> FloatArray:
    """Return a rate that goes up from the lower half to the upper, or down."""
    middle = (span.low + span.high) / 2
    low, high = generator.uniform(span.low, middle), generator.uniform(middle, span.high)
    rates: FloatArray = np.linspace(low, high, intervals)
    return rates if generator.random() < 0.5 else rates[::-1]


def mixed(generator: np.random.Generator, intervals: int, span: Range) -> FloatArray:
    """Return the rates of one of the others, all equally likely."""
    return (constant, daily, burst, ramp)[generator.integers(4)](generator, intervals, span)


PROCESSES: dict[str, Process] = {
    "constant": constant,
    "daily": daily,
    "burst": burst,
    "ramp": ramp,
    "mixed": mixed,
}


def load_process(process: str | Path | Process) -> Process:
    """Return a process by name, by the file of a recorded one, or as it is.

    A file is a CSV with a column ``rate_per_s``, a row for each interval. An episode begins at any of its rows, and
    after the last one goes on with the first.

    Raises:
        UnknownNameError: neither a name nor a CSV file.
        FileError: the file is missing or damaged.
        InvalidValueError: a row that isn't a rate.
    """
    if callable(process):
        return process
    if str(process) in PROCESSES:
        return PROCESSES[str(process)]
    path = Path(process)
    if path.suffix != ".csv":
        raise UnknownNameError("load process", str(process), [*PROCESSES, "a path to a .csv file"])
    recorded = _read(path)

    def again(generator: np.random.Generator, intervals: int, span: Range) -> FloatArray:
        wrong = recorded[(recorded < span.low) | (recorded > span.high)]
        if len(wrong):
            raise InvalidValueError(f"rate_per_s in {path}", float(wrong[0]), f"rates {span.low:g}..{span.high:g}")
        return np.resize(np.roll(recorded, -generator.integers(len(recorded))), intervals)

    return again


def _read(path: Path) -> FloatArray:
    with reading(path, "a recorded load", FileError, "Give a CSV file with a column rate_per_s."):
        rows = list(csv.DictReader(io.StringIO(read_text(path))))
        texts = [row["rate_per_s"] for row in rows]
        if not texts:
            raise ValueError("it has no rows")
    rates = np.empty(len(texts))
    for number, text in enumerate(texts):
        try:
            rates[number] = float(text)
        except (TypeError, ValueError):
            raise InvalidValueError(f"row {number + 1} of {path}", text, "a rate, such as 120") from None
    return rates


def draw_rates(process: Process, generator: np.random.Generator, intervals: int, span: Range) -> FloatArray:
    """Return rates of a process as they are sent: values of the range, shape (intervals,).

    Raises:
        InvalidValueError: the process returned something else than finite rates of this shape.
    """
    drawn = np.asarray(process(generator, intervals, span), np.float64)
    if drawn.shape != (intervals,) or not np.isfinite(drawn).all():
        raise InvalidValueError("what the load process returned", drawn, f"{intervals} finite rates")
    values = span.values
    nearest: FloatArray = values[np.clip(np.rint((drawn - span.low) / span.step), 0, len(values) - 1).astype(int)]
    return nearest
