"""Send load in a cluster through a Fortio server (its REST API, as in Fortio 1.75).

Traps of that API: values in a JSON body must be strings, others are ignored; a ``qps`` of 0 or none means 8 per
second, full speed is -1; and a run that got nothing but 503s is an HTTP 200.
"""

from __future__ import annotations

import math
import uuid
from contextlib import suppress
from typing import Any

from meshgym.errors import InvalidValueError, LoadError, MissingDependencyError
from meshgym.mesh.urls import check_url
from meshgym.types import Load, Response

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


class Fortio:
    """A Fortio server and the service it calls.

    Args:
        url: URL of its user interface or REST API, such as ``http://localhost:8080/fortio/``.
        target_url: URL that it calls.
        max_qps: most calls per second; None for full speed.

    Raises:
        InvalidValueError: a URL or limit that isn't allowed.
    """

    def __init__(self, url: str, target_url: str, max_qps: float | None = None) -> None:
        check_url("fortio_url", url)
        check_url("target_url", target_url)
        if max_qps is not None and not 0 < max_qps < math.inf:
            raise InvalidValueError("max_qps", max_qps, "calls per second, above 0", "None means no limit.")
        self.run_url = f"{url.rstrip('/').removesuffix('/fortio')}/fortio/rest/run"
        self.target_url, self._max_qps = target_url, max_qps

    def request(self, load: Load) -> dict[str, str]:
        """Return the body of the request that sends ``load``."""
        return {
            "url": self.target_url,
            "c": str(load.threads),
            "n": str(load.calls),
            "qps": _FULL_SPEED if self._max_qps is None else str(self._max_qps),
            "timeout": f"{_CALL_S}s",
            "p": "50,99",
            "labels": f"meshgym {uuid.uuid4()}",
        }

    def run(self, load: Load) -> Response:
        """Send ``load`` and wait for all responses; stop the run if the wait is cut short.

        Raises:
            LoadError: Fortio doesn't respond, refuses the run, or doesn't make all calls.
        """
        body = self.request(load)
        limit_s = _RUN_S + (load.calls / self._max_qps if self._max_qps else 0)
        try:
            reply = requests.post(self.run_url, json=body, timeout=(_CONNECT_S, limit_s))
        except BaseException as error:
            self._stop(body["labels"])
            if isinstance(error, requests.RequestException):
                raise LoadError(f"Fortio at {self.run_url} doesn't respond: {error}") from error
            raise
        result = _result(reply)
        try:
            return _response(result, load)
        except (KeyError, TypeError) as error:
            raise LoadError(f"Fortio's result lacks what is needed ({error!r}): {str(result)[:200]}") from error

    def check(self) -> int:
        """Return how many runs Fortio has under way.

        Raises:
            LoadError: nothing responds, or not Fortio.
        """
        return len(self._runs())

    def _runs(self) -> dict[str, dict[str, Any]]:
        """Return the runs that Fortio has now, by number."""
        try:
            reply = requests.get(self._rest("status"), timeout=_CONNECT_S)
            runs: dict[str, dict[str, Any]] | None = reply.json()["Statuses"]
        except (requests.RequestException, KeyError, TypeError) as error:
            raise LoadError(f"no Fortio responds at {self._rest('status')}: {error}") from error
        return runs or {}

    def _rest(self, what: str) -> str:
        return f"{self.run_url.removesuffix('run')}{what}"

    def _stop(self, label: str) -> None:
        """Stop our run, if it is under way; leave other runs alone."""
        with suppress(LoadError, requests.RequestException, KeyError, TypeError):
            for number, run in self._runs().items():
                if run["RunnerOptions"]["Labels"] == label:
                    requests.get(self._rest("stop"), params={"runid": number, "wait": "on"}, timeout=_CONNECT_S)


def _result(reply: requests.Response) -> dict[str, Any]:
    """Return Fortio's result. Only its own JSON counts: a 503 of a server in between isn't a result."""
    try:
        found = reply.json()
    except requests.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or not {"RetCodes", "error"} & set(found):
        text = reply.text[:100]
        raise LoadError(f"something other than Fortio responds at {reply.url}: HTTP {reply.status_code}, {text!r}")
    if "RetCodes" not in found or not reply.ok:
        reason = ": ".join(str(found[name]) for name in ("message", "exception") if found.get(name))
        raise LoadError(f"Fortio refuses the run: {reason or found}")
    return found


def _response(result: dict[str, Any], load: Load) -> Response:
    """Turn Fortio's result into a response. It can't know whose the 503s are, so those details are missing."""
    counts = {status: int(count) for status, count in result["RetCodes"].items()}
    if sum(counts.values()) != load.calls or result["NumThreads"] != load.threads:
        raise LoadError(
            f"Fortio made {sum(counts.values())} of {load.calls} calls with {result['NumThreads']} of {load.threads} "
            "threads; was the run stopped?"
        )
    if counts.get(_SOCKET_ERROR) == load.calls:
        raise LoadError(f"not one of {load.calls} calls got a response: does Fortio reach {result['URL']}?")
    ok, unavailable = counts.get("200", 0), counts.get("503", 0)
    times = {one["Percentile"]: 1000 * one["Value"] for one in result["DurationHistogram"]["Percentiles"]}
    return Response(
        qps=result["ActualQPS"],
        p200=ok / load.calls,
        p503=unavailable / load.calls,
        details={
            "other_error": load.calls - ok - unavailable,
            "latency_p50_ms": times[50],
            "latency_p99_ms": times[99],
            "duration_s": result["ActualDuration"] / 1e9,
        },
    )
