"""Send load through a Fortio server (its REST API, as in Fortio 1.75).

Traps of that API: values in a JSON body must be strings, others are ignored; a ``qps`` of 0 or none means 8 per
second, full speed is -1; and a run that got nothing but 503s is an HTTP 200.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from meshgym.errors import (
    AwayError,
    ClusterError,
    DisturbedError,
    InvalidValueError,
    LoadError,
    MeshGymError,
    MissingDependencyError,
    clean,
)
from meshgym.mesh.load.fortio_result import FortioResult, read_result, read_runs
from meshgym.mesh.load.latency import Bucket, histogram_percentiles
from meshgym.mesh.shapes import read_json
from meshgym.stopping import finishing
from meshgym.types import Load, Response
from meshgym.urls import check_url

try:
    import requests
except ImportError as error:
    raise MissingDependencyError("requests", "load through Fortio", "cluster") from error

_FULL_SPEED = "-1"
#: Seconds after which Fortio gives up a call, as in the embedded mesh.
_CALL_S = 10
#: Seconds to connect; seconds that a run may take, besides what a capped rate needs.
_CONNECT_S, _RUN_S = 5.0, 300.0
_SOCKET_ERROR = "-1"
#: The share of an open loop's rate that must be reached.
_REACHED = 0.95


class Fortio:
    """A Fortio server and the service it calls.

    Args:
        url: URL of its user interface or REST API, such as ``http://localhost:8080/fortio/``.
        target_url: URL that it calls.
        max_qps: most calls per second of a closed loop; None for full speed.
        owner: stands in the label of each run, so that those of an earlier process are known.

    Raises:
        InvalidValueError: a URL or limit that isn't allowed.
    """

    def __init__(self, url: str, target_url: str, max_qps: float | None = None, owner: str = "") -> None:
        check_url("fortio_url", url)
        check_url("target_url", target_url)
        if max_qps is not None and not 0 < max_qps < math.inf:
            raise InvalidValueError("max_qps", max_qps, "calls per second, above 0", "None means no limit.")
        self.run_url = f"{url.rstrip('/').removesuffix('/fortio')}/fortio/rest/run"
        self.target_url, self._max_qps = target_url, max_qps
        self._label = f"meshgym {owner} "

    def request(self, load: Load, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the body of the request that sends ``load``, with ``headers`` in each call.

        Fortio's open loop isn't quite one: a connection whose call is slow sends its next one late, and latency counts
        from sending. So there are many connections, and calls that were missed aren't caught up on.

        Raises:
            InvalidValueError: an open loop that Fortio can't send.
        """
        pace = {"qps": _FULL_SPEED if self._max_qps is None else str(self._max_qps)}
        if load.open:
            if load.arrivals != "constant":
                raise InvalidValueError("arrivals", load.arrivals, "constant", "Fortio knows no others.")
            pace = {"qps": str(load.rate_per_s), "uniform": "on", "nocatchup": "on"}
        return {
            "url": self.target_url,
            "n": str(load.calls),
            "c": str(load.connections),
            **pace,
            "timeout": f"{_CALL_S}s",
            "r": "0.0001",
            "labels": f"{self._label}{uuid.uuid4()}",
            **({"headers": [f"{name}: {value}" for name, value in headers.items()]} if headers else {}),
        }

    def run(self, load: Load, headers: Mapping[str, str] | None = None) -> Response:
        """Send ``load`` and wait for all responses; stop the run if the wait is cut short.

        Args:
            load: what is sent.
            headers: sent with each call.

        Raises:
            AwayError: Fortio, or what is before it, doesn't respond for now.
            LoadError: Fortio refuses the run, doesn't make all calls, or returns what can't be.
        """
        body = self.request(load, headers)
        limit_s = _RUN_S + load.duration_s + (load.calls / self._max_qps if self._max_qps else 0)
        try:
            reply = requests.post(self.run_url, json=body, timeout=(_CONNECT_S, limit_s), allow_redirects=False)
        except BaseException as error:
            with finishing("stopping Fortio's run"):
                self._stop(body["labels"])
            if isinstance(error, requests.RequestException):
                raise AwayError(f"Fortio at {self.run_url} doesn't respond: {clean(error)}") from error
            raise
        return _response(_result(reply, f"Fortio at {self.run_url}"), load, body)

    def check(self) -> int:
        """Return how many runs Fortio has under way.

        Raises:
            AwayError: nothing responds.
            LoadError: something else than Fortio does.
        """
        return len(self._runs())

    def clear(self) -> None:
        """Stop runs of our owner that an earlier process left.

        Raises:
            AwayError: nothing responds, or Fortio is busy with somebody else's run.
        """
        runs = self._runs()
        for label in runs.values():
            if label.startswith(self._label):
                self._stop(label)
        others = [clean(label, 60) for label in runs.values() if not label.startswith(self._label)]
        if others:
            raise AwayError(f"Fortio at {self.run_url} sends load for somebody else ({', '.join(map(repr, others))})")

    def _runs(self) -> dict[str, str]:
        """Return the label of each run that Fortio has now, by number."""
        url = self._rest("status")
        try:
            reply = requests.get(url, timeout=_CONNECT_S, allow_redirects=False)
        except requests.RequestException as error:
            raise AwayError(f"no Fortio responds at {url}: {clean(error)}") from error
        if reply.status_code >= 500:
            raise AwayError(f"no Fortio responds at {url}: HTTP {reply.status_code}, {clean(reply.text, 100)!r}")
        try:
            return read_runs(read_json(reply.content, url), url)
        except ClusterError as error:
            raise LoadError(f"no Fortio responds there: {error}") from None

    def _rest(self, what: str) -> str:
        return f"{self.run_url.removesuffix('run')}{what}"

    def _stop(self, label: str) -> None:
        """Stop a run, if it is under way; leave others alone."""
        with suppress(MeshGymError, requests.RequestException):
            for number, found in self._runs().items():
                if found == label:
                    stop = {"runid": number, "wait": "on"}
                    requests.get(self._rest("stop"), params=stop, timeout=_CONNECT_S, allow_redirects=False)


def _result(reply: requests.Response, whose: str) -> FortioResult:
    """Return Fortio's result. Only its own JSON counts: a 503 of a server in between isn't a result."""
    said = f"HTTP {reply.status_code}, {clean(reply.text[:400], 100)!r}"
    try:
        found: Any = read_json(reply.content, whose)
    except ClusterError:
        found = None
    if not isinstance(found, dict) or not {"RetCodes", "error"} & set(found):
        message = f"something other than Fortio responds at {reply.url}: {said}"
        raise AwayError(message) if reply.status_code in (429, 500, 502, 503, 504) else LoadError(message)
    if "RetCodes" not in found or not reply.ok:
        reason = ": ".join(clean(found[name]) for name in ("message", "exception") if found.get(name))
        raise LoadError(f"Fortio refuses the run: {reason or said}")
    try:
        return read_result(found, whose)
    except ClusterError as error:
        raise LoadError(f"Fortio's result can't be used: {error}") from None


def _response(result: FortioResult, load: Load, asked: dict[str, str]) -> Response:
    """Turn Fortio's result into a response. It can't know whose the 503s are, so those details are missing."""
    counts = result.RetCodes
    if sum(counts.values()) != load.calls or str(result.NumThreads) != asked["c"]:
        raise LoadError(
            f"Fortio made {sum(counts.values())} of {load.calls} calls with {result.NumThreads} of {asked['c']} "
            "threads; was the run stopped?"
        )
    if load.open and result.ActualQPS < _REACHED * load.rate_per_s:
        raise DisturbedError(f"Fortio sent {result.ActualQPS:g} calls per second, not {load.rate_per_s:g}")
    for name, found in {"labels": result.Labels, "url": result.URL}.items():
        if found != asked[name]:
            raise LoadError(f"Fortio's result is of another run: its {name} {clean(found, 100)!r}, not {asked[name]!r}")
    if (failed := counts.get(_SOCKET_ERROR, 0)) == load.calls:
        raise LoadError(f"not one of {load.calls} calls got a response: does Fortio reach {result.URL}?")
    if failed:
        raise DisturbedError(f"{failed} of {load.calls} calls broke on Fortio's own connections")
    ok, unavailable = counts.get("200", 0), counts.get("503", 0)
    every, errors = (
        [Bucket(bucket.Start, bucket.End, bucket.Count) for bucket in histogram.Data]
        for histogram in (result.DurationHistogram, result.ErrorsDurationHistogram)
    )
    return Response(
        qps=result.ActualQPS,
        p200=ok / load.calls,
        p503=unavailable / load.calls,
        details={
            "other_error": load.calls - ok - unavailable,
            **histogram_percentiles(every, errors),
            "duration_s": result.ActualDuration / 1e9,
        },
    )
