"""Trace sets as files: Parquet with its provenance next to it, or any CSV file with the same columns.

The provenance is a JSON file of the same name. It says how the runs were measured and holds the hash of their
contents: an edited set is refused, and simulators name the hash as their parent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from meshgym.errors import MissingDependencyError, TraceError, UnknownNameError
from meshgym.files import write_bytes, write_json
from meshgym.scenarios import SCENARIO_NAMES
from meshgym.traces.schema import COLUMNS, REQUIRED

try:
    import pandas as pd
except ImportError as error:
    raise MissingDependencyError("pandas", "reading and writing trace sets", "traces") from error

#: By how much rounding may lift p200 + p503 above 1.
_ROUNDING = 1e-6
_SUFFIXES = (".parquet", ".csv", ".csv.gz")


def load_traces(traces: str | Path) -> pd.DataFrame:
    """Read a trace set and check it.

    Args:
        traces: ``"S1"``..``"S5"`` for a bundled set, or the path of a Parquet or CSV file with columns of
            :data:`meshgym.traces.schema.COLUMNS`, at least those in ``REQUIRED``.

    Returns:
        One row per run, in the file's order; columns in the schema's order.

    Raises:
        TraceError: the file is missing or unreadable, has a column or value that the schema doesn't allow (the message
            names row and column), or doesn't match the provenance next to it.
    """
    path = _locate(traces)
    frame = check_traces(_read(path), str(traces))
    provenance = read_provenance(path)
    if provenance is not None and provenance.get("sha256") != trace_hash(frame):
        raise TraceError(
            f"{path} doesn't match its provenance {_provenance_path(path).name}: it was edited or cut after it was "
            "written. Restore the original, or remove the provenance if you meant the change"
        )
    return frame


def write_traces(frame: pd.DataFrame, path: str | Path, provenance: Mapping[str, Any]) -> Path:
    """Write a trace set as Parquet, and its provenance as JSON next to it.

    Args:
        frame: one row per run.
        path: ends in ``.parquet``.
        provenance: how the set was measured; the number of rows, the columns with their units, and the hash are added.

    Raises:
        TraceError: a column or value that the schema doesn't allow, or another suffix.
        FolderError: the files can't be written.
    """
    path = Path(path)
    if path.suffix != ".parquet":
        raise TraceError(f"a trace set is written as .parquet, not as {path.name}; choose such a name")
    frame = check_traces(frame, str(path))
    columns = {name: {"unit": COLUMNS[name].unit, "meaning": COLUMNS[name].doc} for name in map(str, frame)}
    write_bytes(path, frame.to_parquet(index=False, compression="zstd"))
    added = {"rows": len(frame), "columns": columns, "sha256": trace_hash(frame)}
    write_json(_provenance_path(path), {**provenance, **added})
    return path


def read_provenance(traces: str | Path) -> dict[str, Any] | None:
    """Return the provenance of a trace set; None if it has none.

    Raises:
        TraceError: the provenance isn't JSON.
    """
    path = _provenance_path(_locate(traces))
    if not path.is_file():
        return None
    try:
        provenance: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise TraceError(f"the provenance {path} isn't JSON ({error}); restore the original") from error
    return provenance


def trace_hash(frame: pd.DataFrame) -> str:
    """Return the sha256 of a checked set's column names and values: the same for CSV and Parquet."""
    digest = hashlib.sha256()
    for name in frame:
        digest.update(f"{name}\n".encode())
        digest.update(frame[name].to_numpy(np.float64).tobytes())
    return digest.hexdigest()


def check_traces(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return the set with columns in the schema's order, whole numbers as int64, others as float64.

    Optional columns without any value are left out.

    Args:
        frame: one row per run.
        source: what messages call it.

    Raises:
        TraceError: a missing or unknown column, no rows, or a value that the schema doesn't allow.
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
    """Return a column's values; name the first one that isn't allowed, with its row counted from 1."""
    column = COLUMNS[str(values.name)]
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(np.float64)
    good = (numbers >= column.low) & (numbers <= column.high)
    if column.whole:
        good &= numbers == np.rint(numbers)
    if not good.all():
        row = int(good.argmin())
        unit = f" ({column.unit})" if column.unit else ""
        raise TraceError(
            f"{source}, row {row + 1}, column {column.name}{unit}: found {values.iloc[row]!r}; "
            f"expected {column.allowed(column.low)}"
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


def _provenance_path(path: Path) -> Path:
    return path.with_name(path.name.split(".")[0] + ".json")


def _read(path: Path) -> pd.DataFrame:
    if not path.name.endswith(_SUFFIXES):
        raise TraceError(
            f"{path} isn't a trace set; expected a bundled name or a file ending in {', '.join(_SUFFIXES)}"
        )
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, engine="pyarrow")  # reads floats back to the last bit
    except FileNotFoundError:
        raise TraceError(f"there is no trace file {path}") from None
    except (OSError, EOFError, ValueError) as error:  # pyarrow's and pandas' errors are ValueErrors
        raise TraceError(f"{path} can't be read ({error}); is it complete?") from error
