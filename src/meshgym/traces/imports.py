"""Results of other load generators as runs of a trace set: Fortio, k6, vegeta and Locust.

Only structured formats are read: JSON of the first three, and Locust's ``_stats.csv``. What a file can't tell must be
given, or is left out.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshgym.errors import InvalidValueError, MeshGymError, TraceError
from meshgym.files import parse_json, read_text, reading
from meshgym.mesh.load.latency import PERCENTILES, Bucket, enough, histogram_percentiles

Numbers = dict[str, float]
_REMEDY = "It must be Fortio's, k6's or vegeta's JSON, or Locust's _stats.csv."


@dataclass(frozen=True)
class Given:
    """What some files can't tell.

    Attributes:
        threads: connections, for k6 and Locust in a closed loop.
        rate_per_s: calls that were due per second, for k6 and Locust in an open loop, instead of threads.
        failures: the status of failed calls where a file only counts them: ``"503"`` or ``"other"``.

    Raises:
        InvalidValueError: threads and a rate.
    """

    threads: int | None = None
    rate_per_s: float | None = None
    failures: str | None = None

    def __post_init__(self) -> None:
        if self.threads is not None and self.rate_per_s is not None:
            raise InvalidValueError("--threads and --rate", [self.threads, self.rate_per_s], "one of them")


def read_run(path: Path, given: Given) -> tuple[str, Numbers]:
    """Read one run.

    Args:
        path: a result's file.
        given: what it can't tell.

    Returns:
        The tool's name, and the run's pace, ``calls``, ``qps``, ``p200``, ``p503``, and what else it tells.

    Raises:
        TraceError: the file is missing, damaged, of another tool or version, or holds no calls.
        InvalidValueError: something that the file can't tell isn't given.
    """
    with reading(path, "a load test's result", TraceError, _REMEDY):
        text = read_text(path)
    try:
        if path.suffix == ".csv":
            return "Locust", _locust(text, given)
        document = parse_json(text)
        for name, marks, read in _TOOLS:
            if isinstance(document, dict) and marks <= document.keys():
                return name, read(document, given)
    except InvalidValueError as error:
        raise InvalidValueError(f"{path.name}: {error.what}", error.value, error.allowed, error.remedy) from None
    except MeshGymError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError, AttributeError) as error:
        raise TraceError(f"{path} can't be used: {type(error).__name__} {error}. {_REMEDY}") from error
    raise TraceError(f"{path} is no result that is known. {_REMEDY}")


def _run(
    pace: Numbers, calls: float, qps: float, ok: float, unavailable: float, details: Mapping[str, float]
) -> Numbers:
    """Return a run whose numbers fit together."""
    calls = int(calls)
    if calls < 1:
        raise ValueError("it holds no calls")
    counts = {"p200": ok / calls, "p503": unavailable / calls}
    if not all(0 <= share <= 1 for share in counts.values()) or not 0 < qps < math.inf:
        raise ValueError("its numbers contradict each other")
    told = {name: value for name, value in details.items() if value > 0}
    return {**pace, "calls": calls, "qps": qps, **counts, "other_error": calls - ok - unavailable, **told}


def _split(failed: float, given: Given) -> float:
    """Return how many of the failed calls got a 503, where a file only counts failures."""
    if failed and given.failures is None:
        raise InvalidValueError(
            "status of failed calls", failed, "--failures 503 or other", "The file only counts them."
        )
    return failed if given.failures == "503" else 0.0


def _pace(given: Given, threads: float | None) -> Numbers:
    if given.rate_per_s is not None:
        return {"rate_per_s": given.rate_per_s}
    if (found := given.threads or threads) is None:
        raise InvalidValueError("threads", None, "--threads or --rate", "The file doesn't say them.")
    return {"threads": float(found)}


def _fortio(document: Mapping[str, Any], given: Given) -> Numbers:
    codes = {code: float(count) for code, count in document["RetCodes"].items()}
    calls = sum(codes.values())
    asked = document["RequestedQPS"]
    pace = {"threads": float(document["NumThreads"])} if asked == "max" else {"rate_per_s": float(asked)}
    every, errors = (
        [Bucket(one["Start"], one["End"], one["Count"]) for one in (document.get(name) or {}).get("Data") or []]
        for name in ("DurationHistogram", "ErrorsDurationHistogram")
    )
    ok = codes.get("200", 0)
    known = bool(errors) or ok == calls  # old versions don't tell the times of errors apart
    latencies = histogram_percentiles(every, errors) if known else {}
    return _run(pace, calls, float(document["ActualQPS"]), ok, codes.get("503", 0), latencies)


def _k6(document: Mapping[str, Any], given: Given) -> Numbers:
    metrics = {name: one.get("values", one) for name, one in document["metrics"].items()}
    calls = metrics["http_reqs"]["count"]
    failed_rate = metrics["http_req_failed"]
    failed = round(calls * float(failed_rate.get("rate", failed_rate.get("value", 0))))
    times = metrics.get("http_req_duration{expected_response:true}") or ({} if failed else metrics["http_req_duration"])
    names = {"med": "latency_p50_s", "p(90)": "latency_p90_s", "p(99)": "latency_p99_s"}
    latencies = {name: times[k6] / 1000 for k6, name in names.items() if k6 in times}
    threads = (metrics.get("vus_max") or metrics.get("vus") or {}).get("value", None)
    rate = metrics["http_reqs"]["rate"]
    return _run(
        _pace(given, threads), calls, rate, calls - failed, _split(failed, given), _supported(latencies, calls - failed)
    )


def _vegeta(document: Mapping[str, Any], given: Given) -> Numbers:
    calls = document["requests"]
    codes = {code: float(count) for code, count in document["status_codes"].items()}
    took_s = (document["duration"] + document["wait"]) / 1e9
    ok = codes.get("200", 0)
    names = {"50th": "latency_p50_s", "90th": "latency_p90_s", "99th": "latency_p99_s"}
    times = document["latencies"] if ok == calls else {}  # they are those of all calls
    latencies = {name: times[own] / 1e9 for own, name in names.items() if own in times}
    pace = {"rate_per_s": float(document["rate"])}
    return _run(pace, calls, calls / took_s, ok, codes.get("503", 0), _supported(latencies, ok))


def _locust(text: str, given: Given) -> Numbers:
    rows = list(csv.DictReader(io.StringIO(text)))
    found = [row for row in rows if row["Name"] in ("Aggregated", "Total")]
    if not found:
        raise ValueError("it has no row Aggregated")
    (row,) = found
    calls, failed = (float(row[name]) for name in ("Request Count", "Failure Count"))
    names = {"50%": "latency_p50_s", "90%": "latency_p90_s", "99%": "latency_p99_s"}
    times = {} if failed else row  # they are those of all calls
    latencies = {
        name: float(times[own]) / 1000 for own, name in names.items() if times.get(own) not in (None, "", "N/A")
    }
    rate = float(row["Requests/s"])
    return _run(
        _pace(given, None), calls, rate, calls - failed, _split(failed, given), _supported(latencies, calls - failed)
    )


def _supported(latencies: Numbers, calls: float) -> Numbers:
    """Return the percentiles that rest on enough calls."""
    return {name: value for name, value in latencies.items() if enough(calls, PERCENTILES[name])}


#: By tool: its name, keys that its results have, and what reads them.
_TOOLS: tuple[tuple[str, frozenset[str], Callable[[Mapping[str, Any], Given], Numbers]], ...] = (
    ("Fortio", frozenset({"RetCodes", "ActualQPS", "RequestedQPS", "NumThreads"}), _fortio),
    ("k6", frozenset({"metrics"}), _k6),
    ("vegeta", frozenset({"latencies", "status_codes", "requests", "rate"}), _vegeta),
)
