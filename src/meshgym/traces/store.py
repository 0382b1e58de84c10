"""Trace sets as files: a collection, Parquet or CSV with its provenance next to it, or any table with these columns.

The provenance is a JSON file of the same name. It says how the runs were measured and holds the hash of their
contents: an edited set is refused, and simulators name the hash as their parent.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from meshgym.errors import MissingDependencyError, TraceError, UnknownNameError, short
from meshgym.fields import LOOPS, RULES, settings_among
from meshgym.files import DATA_BYTES, check_signed, read_bytes, read_json, reading, signed, to_json, write_together
from meshgym.mesh.load.latency import PERCENTILES
from meshgym.scenarios import BUNDLED_NAMES, Scenario
from meshgym.traces.collection import read_about, read_collection
from meshgym.traces.schema import COLUMNS, FACTS, REQUIRED
from meshgym.types import RESPONSE_NAMES

try:
    import pandas as pd
except ImportError as error:
    raise MissingDependencyError("pandas", "reading and writing trace sets", "traces") from error

_SUFFIXES = (".db", ".parquet", ".csv", ".csv.gz")
_REMEDY = "Restore it, or collect the traces again."


def load_traces(traces: str | Path) -> pd.DataFrame:
    """Read a trace set and check it.

    Args:
        traces: ``"S1"``..``"S5"`` or ``"C1"`` for a bundled set, the path of a collection's file, or that of a Parquet
            or CSV file with columns of :data:`meshgym.traces.schema.COLUMNS`, at least those in ``REQUIRED``.

    Returns:
        One row per run, in the file's order; columns in the schema's order. ``attrs["scenario"]`` is the name of the
        scenario and ``attrs["base"]`` its base; None if the set doesn't say. ``attrs["control"]`` says how its
        runs follow one another, if they do.

    Raises:
        TraceError: the file is missing or unreadable, has a column or value that the schema doesn't allow (the message
            names row and column), or doesn't match the provenance next to it.
    """
    path = _locate(traces)
    frame = check_traces(_read(path), str(traces))
    provenance = read_provenance(path) or {}
    frame.attrs["scenario"] = provenance.get("scenario")
    frame.attrs["base"] = provenance.get("base", {}) if provenance else None
    frame.attrs["control"] = provenance.get("control")
    if path.suffix != ".db" and provenance and provenance.get("sha256") != trace_hash(frame):
        raise TraceError(
            f"{path} doesn't match its provenance {_provenance_path(path).name}: it was edited or cut after it was "
            "written. Restore the original, or remove the provenance if you meant the change"
        )
    return frame


def write_traces(frame: pd.DataFrame, path: str | Path, provenance: Mapping[str, Any]) -> Path:
    """Write a trace set as Parquet or CSV, and its provenance as JSON next to it.

    Args:
        frame: one row per run.
        path: ends in ``.parquet`` or ``.csv``.
        provenance: how the set was measured; the number of rows, the columns with their units, and the hash are added.

    Raises:
        TraceError: a column or value that the schema doesn't allow, or another suffix.
        FolderError: the files can't be written.
    """
    path = Path(path)
    if path.suffix not in (".parquet", ".csv"):
        raise TraceError(f"a trace set is written as .parquet or .csv, not as {path.name}; choose such a name")
    frame = check_traces(frame, str(path))
    columns = {name: {"unit": COLUMNS[name].unit, "meaning": COLUMNS[name].doc} for name in map(str, frame)}
    csv = path.suffix == ".csv"
    content = frame.to_csv(index=False).encode() if csv else frame.to_parquet(index=False, compression="zstd")
    added = {"rows": len(frame), "columns": columns, "sha256": trace_hash(frame)}
    files = {path: content, _provenance_path(path): to_json(signed({**provenance, **added}))}
    write_together(files)
    return path


def read_provenance(traces: str | Path) -> dict[str, Any] | None:
    """Return the provenance of a trace set; None if it has none.

    Raises:
        TraceError: the provenance isn't JSON.
    """
    path = _locate(traces)
    if path.suffix == ".db":
        return read_about(path)
    path = _provenance_path(path)
    if not path.exists():
        return None
    with reading(path, "a provenance", TraceError, "Restore the original."):
        provenance: dict[str, Any] = read_json(path)
        if not isinstance(provenance, dict) or "sha256" not in provenance:
            raise ValueError("it has no hash of a set")
        return check_signed(provenance) if "checksum" in provenance else provenance  # 0.1 wrote none


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
    paces = [loop[0] for loop in LOOPS.values()]
    missing = [name for name in REQUIRED if name not in frame]
    missing += [] if set(paces) & set(frame) else [" or ".join(paces)]
    if missing or not set(RULES) & set(frame):
        lacks = ", ".join(missing) or "of a rule"
        needs = f"{', '.join(REQUIRED)}, {' or '.join(paces)}, and rules"
        raise TraceError(f"{source} has no column {lacks}; a trace set needs {needs}")
    for name in frame:
        if name not in COLUMNS:
            raise TraceError(f"{source}: {UnknownNameError('column', name, COLUMNS)}")
    if frame.empty:
        raise TraceError(f"{source} has no rows")
    needed = {*REQUIRED, *RULES}
    known = [name for name in COLUMNS if name in frame and (name in needed or frame[name].notna().any())]
    checked = pd.DataFrame({name: _checked(frame[name], source) for name in known})
    for fact in FACTS:
        columns = fact.columns or (*settings_among(checked), *RESPONSE_NAMES)
        if set(columns) <= set(checked) and fact.unless not in checked:
            wrong = np.flatnonzero(~fact.holds(*(checked[name].to_numpy() for name in columns)))
            if len(wrong):
                row = int(wrong[0])
                found = ", ".join(f"{name} {checked[name].iloc[row]}" for name in columns)
                raise TraceError(f"{source}, row {row + 1}: {fact.says}; found {found}")
    return checked


def check_scenario(frame: pd.DataFrame, scenario: Scenario) -> None:
    """Check that a set can have been collected for a scenario.

    Raises:
        TraceError: it says that it is of another one, or has a setting outside the scenario's ranges.
    """
    known = frame.attrs.get("scenario")
    if known not in (None, scenario.name):
        raise TraceError(f"the traces are of scenario {known}, not of {scenario.name}; name the scenario they are of")
    if settings_among(frame) != scenario.setting_names:
        raise TraceError(
            f"the traces vary {', '.join(settings_among(frame))}; scenario {scenario.name} varies "
            f"{', '.join(scenario.setting_names)}: they are of another scenario"
        )
    if frame.attrs.get("base") not in (None, scenario.base):
        raise TraceError(
            f"the traces were collected under another base than scenario {scenario.name} has now: "
            f"{frame.attrs['base']}, not {dict(scenario.base)}; collect them again, or use the base they are of"
        )
    for name, span in scenario.ranges.items():
        inside = frame[name].between(span.low, span.high).to_numpy()
        if not inside.all():
            row = int(inside.argmin())
            raise TraceError(
                f"row {row + 1} of the traces has {name} {frame[name].iloc[row]}, but scenario {scenario.name} has "
                f"{span.low:g}..{span.high:g}: they are of another scenario"
            )


def _checked(values: pd.Series[Any], source: str) -> np.ndarray[Any, Any]:
    """Return a column's values; name the first one that isn't allowed, with its row counted from 1."""
    column = COLUMNS[str(values.name)]
    if values.dtype.kind in "iuf":
        numbers = values.to_numpy(np.float64, na_value=np.nan)
    else:  # text, dates and booleans, some of which pandas would take for numbers
        numbers = np.array([_number(value) for value in values.astype(object)])
    good = (numbers >= column.low) & (numbers <= column.high)
    if column.whole:
        good &= numbers == np.rint(numbers)
    if column.name in PERCENTILES:
        good |= values.isna().to_numpy()  # left out where it would rest on too few requests
    if not good.all():
        row = int(good.argmin())
        unit = f" ({column.unit})" if column.unit else ""
        raise TraceError(
            f"{source}, row {row + 1}, column {column.name}{unit}: found {short(values.iloc[row])}; "
            f"expected {column.allowed(column.low)}"
        )
    return numbers.astype(np.int64) if column.whole else numbers


def _number(value: object) -> float:
    try:
        return float(value) if type(value) in (int, float, str) else math.nan  # type: ignore[arg-type]
    except ValueError:
        return math.nan


def _locate(traces: str | Path) -> Path:
    if str(traces) not in BUNDLED_NAMES:
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
    with reading(path, "a trace file", TraceError, _REMEDY):
        if path.suffix == ".db":
            return pd.DataFrame(read_collection(path)[1])
        if path.suffix == ".parquet":
            return _parse_parquet(read_bytes(path))
        content = unpacked(path)
        if not content.endswith((b"\n", b"\r")):
            raise ValueError("its last line has no end; if that line is whole, add a line end")
        return _parse_csv(content)


def unpacked(path: Path) -> bytes:
    """Return the contents of a file, unpacked if its name ends in ``.gz``; see :func:`meshgym.files.read_bytes`."""
    content = read_bytes(path)
    if path.suffix == ".gz":
        with gzip.open(io.BytesIO(content)) as packed:
            content = packed.read(DATA_BYTES + 1)
    if len(content) > DATA_BYTES:
        raise ValueError(f"unpacked, it has more than {DATA_BYTES:,} bytes")
    return content


def parse_csv(content: bytes, source: str) -> pd.DataFrame:
    """Return the set that the contents of a CSV file hold; arguments and errors as of :func:`check_traces`."""
    with reading(source, "a trace file", TraceError, _REMEDY):
        return check_traces(_parse_csv(content), source)


def _parse_csv(content: bytes) -> pd.DataFrame:
    names = content.partition(b"\n")[0].rstrip(b"\r").split(b",")
    if len(set(names)) < len(names):
        raise ValueError("a column stands twice")
    return pd.read_csv(io.BytesIO(content), engine="pyarrow")  # reads floats back to the last bit


def _parse_parquet(content: bytes) -> pd.DataFrame:
    from pyarrow import BufferReader, parquet

    file = parquet.ParquetFile(BufferReader(content), page_checksum_verification=True)
    about = file.metadata
    unpacked = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
    if max(unpacked, 8 * about.num_rows * about.num_columns) > DATA_BYTES:
        raise ValueError(f"its {about.num_rows:,} rows would take more than {DATA_BYTES:,} bytes")
    frame: pd.DataFrame = file.read().to_pandas()
    return frame
