"""A Fortio server, with the manners of its REST API (fortio 1.75, rapi/restHandler.go and periodic/periodic.go)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from mesh.cluster.standins.server import Standin

from meshgym.types import Load, Response


class Fortio(Standin):
    """Sends loads to ``service(load)``.

    Attributes:
        codes: answered instead of the service's; shares by status.
        hold: while this is set, a run goes on until it is stopped.
        headers: of the last run's calls.
    """

    def __init__(self, service: Callable[[Load], Response]) -> None:
        self.codes: dict[str, float] | None = None
        self.hold = threading.Event()
        self.stopped: list[str] = []
        self.headers: list[str] = []
        self._service = service
        self._runs: dict[int, str] = {}
        super().__init__()

    def answer(self, method: str, path: str, query: str, body: Any, headers: Any) -> tuple[int, Any]:
        if path == "/fortio/rest/run":
            return self._run(body)
        if path == "/fortio/rest/status":
            options = {
                number: {"RunID": number, "RunnerOptions": {"Labels": label}} for number, label in self._runs.items()
            }
            return 200, {"Statuses": options or None}
        if path == "/fortio/rest/stop":
            (number,) = parse_qs(query)["runid"]
            self.stopped.append(self._runs.get(int(number), "none"))
            self.hold.clear()
            return 200, {"message": "stopped", "RunID": int(number), "Count": 1}
        return 404, "404 page not found\n"

    def _run(self, body: dict[str, Any]) -> tuple[int, Any]:
        given = {name: value for name, value in body.items() if isinstance(value, str)}  # others "can't be used"
        if not given.get("url"):
            return 400, {"error": True, "message": "URL is required", "exception": ""}
        if ".invalid" in given["url"]:
            said = "lookup nowhere.invalid: no such host"
            return 400, {"error": True, "message": "Aborting because of error", "exception": said}
        calls, threads = int(given.get("n", 0)), int(given.get("c", 4))
        qps = float(given.get("qps", 0)) or 8
        threads = min(threads, max(calls // 2, 1))  # "lowering number of threads"
        number = len(self._runs) + 1
        self._runs[number] = given.get("labels", "")
        while self.hold.is_set() and not self.ended.wait(0.01):
            pass
        self.headers = body.get("headers", [])
        response = self._service(Load(threads, calls))
        del self._runs[number]
        rate = response.qps if qps < 0 else min(qps, response.qps)
        shares = self.codes or {"200": response.p200, "503": response.p503}
        counts = {code: round(share * calls) for code, share in shares.items() if share}
        ok = counts.get("200", 0)
        quick = {"Start": 0.0001, "End": 0.001, "Percent": 0, "Count": calls - ok}
        slow = {"Start": 0.005, "End": 0.01, "Percent": 100, "Count": ok}
        return 200, {
            "RunType": "HTTP",
            "Labels": given.get("labels", ""),
            "RequestedQPS": "max" if qps < 0 else f"{qps:g}",
            "RequestedDuration": f"exactly {calls} calls",
            "ActualQPS": rate,
            "ActualDuration": round(1e9 * calls / rate),
            "NumThreads": threads,
            "DurationHistogram": {"Count": calls, "Data": [one for one in (quick, slow) if one["Count"]]},
            "ErrorsDurationHistogram": {"Count": calls - ok, "Data": [quick] if ok < calls else []},
            "RetCodes": counts,
            "URL": given["url"],
            "RunID": number,
        }
