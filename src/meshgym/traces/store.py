"""Trace sets as files: Parquet with a data card beside it, or anyone's CSV with the same columns.

A card is a JSON file of the same name. It says how the runs were taken and holds the hash of their
contents, by which an edited set is refused and which simulators name as their parent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from meshgym.errors import FolderError, MissingDependencyError, TraceError, UnknownNameError
from meshgym.scenarios import SCENARIO_NAMES
from meshgym.traces.schema import COLUMNS, REQUIRED

try:
    import pandas as pd
except ImportError as error:
    raise MissingDependencyError("pandas", "reading and writing trace sets", "traces") from error

#: How far p200 + p503 may exceed 1 by rounding.
_ROUNDING = 1e-6
_SUFFIXES = (".parquet", ".csv", ".csv.gz")


def load_traces(traces: str | Path) -> pd.DataFrame:
    """A trace set, checked.

    Args:
        traces: ``"S1"``..``"S5"`` for a bundled set, or the path of a Parquet or CSV file with
            the columns of :data:`meshgym.traces.schema.COLUMNS` (those in ``REQUIRED`` at least).

    Returns:
        One row a run, in the file's order; columns in the schema's order.

    Raises:
        TraceError: no such file, one that cannot be read, a column or value the schema does not allow
            (with row and column), or contents that do not fit the card beside the file.
    """
    path = _locate(traces)
    frame = check_traces(_read(path), str(traces))
    card = read_card(path)
    if card is not None and card.get("sha256") != trace_hash(frame):
        raise TraceError(
            f"{path} does not fit its card {_card_path(path).name}: it was edited or cut after it was written. "
            "Take the original again, or remove the card if the change is meant"
        )
    return frame


def write_traces(frame: pd.DataFrame, path: str | Path, card: Mapping[str, Any]) -> Path:
    """Write a trace set as Parquet, and its card as JSON beside it.

    Args:
        frame: one row a run.
        path: ends in ``.parquet``.
        card: how the set was taken; number of rows, columns with units and hash are added.

    Raises:
        TraceError: a column or value the schema does not allow, or another ending.
        FolderError: the files cannot be written.
    """
    path = Path(path)
    if path.suffix != ".parquet":
        raise TraceError(f"a trace set is written as .parquet, not as {path.name}; give such a name")
    frame = check_traces(frame, str(path))
    columns = {name: {"unit": COLUMNS[name].unit, "meaning": COLUMNS[name].meaning} for name in map(str, frame)}
    whole_card = {**card, "rows": len(frame), "columns": columns, "sha256": trace_hash(frame)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(path, index=False, compression="zstd")
        _card_path(path).write_text(json.dumps(whole_card, indent=2) + "\n", "utf-8")
    except OSError as error:
        raise FolderError(f"cannot write the trace set {path}: {error}") from error
    return path


def read_card(traces: str | Path) -> dict[str, Any] | None:
    """The card of a trace set; None where there is none.

    Raises:
        TraceError: the card is not JSON.
    """
    path = _card_path(_locate(traces))
    if not path.is_file():
        return None
    try:
        card: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise TraceError(f"the card {path} is no JSON ({error}); take the original again") from error
    return card


def trace_hash(frame: pd.DataFrame) -> str:
    """sha256 over column names and values of a checked set: the same for CSV and Parquet."""
    digest = hashlib.sha256()
    for name in frame:
        digest.update(f"{name}\n".encode())
        digest.update(frame[name].to_numpy(np.float64).tobytes())
    return digest.hexdigest()


def check_traces(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """The set with columns in the schema's order, whole numbers as int64, others as float64.

    A detail that the mesh did not know of any run, an empty column, is left out.

    Args:
        frame: one row a run.
        source: what messages call it.

    Raises:
        TraceError: a missing or unknown column, no rows, or a value the schema does not allow.
    """
    missing = [name for name in REQUIRED if name not in frame]
    if missing:
        raise TraceError(f"{source} has no column {', '.join(missing)}; a trace set needs {', '.join(REQUIRED)}")
    for name in frame:
        if name not in COLUMNS:
            raise TraceError(f"{source}: {UnknownNameError('column', name, COLUMNS)}")
    if frame.empty:
        raise TraceError(f"{source} has no rows")
    known = [name for name in COLUMNS if name in REQUIRED or (name in frame and frame[name].notna().any())]
    checked = pd.DataFrame({name: _checked(frame[name], source) for name in known})
    excess = np.flatnonzero(checked["p200"] + checked["p503"] > 1 + _ROUNDING)
    if len(excess):
        values = checked.loc[excess[0], ["p200", "p503"]].tolist()
        raise TraceError(f"{source}, row {excess[0] + 1}: p200 and p503 are {values}; expected a sum of at most 1")
    return checked


def _checked(values: pd.Series[Any], source: str) -> np.ndarray[Any, Any]:
    """A column's values; the first one that is out of range is named, its row counted from 1."""
    column = COLUMNS[str(values.name)]
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(np.float64)
    with np.errstate(invalid="ignore"):
        good = np.isfinite(numbers) & (numbers >= column.low) & (numbers <= column.high)
        if column.whole:
            good &= numbers == np.rint(numbers)
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        kind = "a whole number" if column.whole else "a number"
        top = f"..{column.high:g}" if np.isfinite(column.high) else " and above"
        raise TraceError(
            f"{source}, row {row + 1}, column {values.name}: found {values.iloc[row]!r}; "
            f"expected {kind} {column.low:g}{top}{f' ({column.unit})' if column.unit else ''}"
        )
    return numbers.astype(np.int64) if column.whole else numbers


def _locate(traces: str | Path) -> Path:
    if str(traces) not in SCENARIO_NAMES:
        return Path(traces)
    path = Path(str(resources.files("meshgym") / "data" / "traces" / f"{traces}.parquet"))
    if not path.is_file():
        raise TraceError(
            f"this version bundles no traces for {traces}. Collect some: meshgym collect --scenario {traces}; "
            "or give the path of a Parquet or CSV file"
        )
    return path


def _card_path(path: Path) -> Path:
    return path.with_name(path.name.split(".")[0] + ".json")


def _read(path: Path) -> pd.DataFrame:
    if not path.name.endswith(_SUFFIXES):
        raise TraceError(f"{path} is no trace set; expected a bundled name or a file ending in {', '.join(_SUFFIXES)}")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, engine="pyarrow")  # reads floats back to the last bit
    except FileNotFoundError:
        raise TraceError(f"there is no trace file {path}") from None
    except (OSError, EOFError, ValueError) as error:  # pyarrow's and pandas' errors are ValueErrors
        raise TraceError(f"{path} cannot be read ({error}); is it complete?") from error
