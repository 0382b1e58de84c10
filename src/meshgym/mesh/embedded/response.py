"""What came back of a run: whether it counts, and as what."""

from __future__ import annotations

from collections import Counter

import numpy as np

from meshgym.errors import DisturbedError
from meshgym.mesh.embedded.sidecar import FLAGS_HEADER
from meshgym.mesh.load.flow import LoadResult
from meshgym.mesh.load.latency import check_punctual, lateness, percentiles
from meshgym.service.own import Service
from meshgym.types import Load, Response

#: Seconds of silence, besides the service's own, that disturb a run.
_STANDSTILL_S = 1.0


def check_sound(result: LoadResult, load: Load, service: Service) -> None:
    """Check that nothing but the service and its rules decided what came back.

    Args:
        result: what came back.
        load: what was sent.
        service: knows how long it may be silent.

    Raises:
        DisturbedError: something stood still, or was late.
    """
    if result.longest_gap_s > service.longest_s + _STANDSTILL_S:
        raise DisturbedError(
            f"nothing came back for {result.longest_gap_s:.1f} s in the middle of a run; something stopped this "
            "process or an Envoy, or the machine is overloaded"
        )
    check_punctual(result.late_s, load)
    if result.broken:
        raise DisturbedError(f"the sidecar's Envoy broke {result.broken} connections off; a sidecar in order doesn't")


def check_counters(seen: int, ejections: int, load: Load, given_up: int = 0) -> None:
    """Check that nobody else used the mesh.

    Args:
        seen: requests that Envoy counted.
        ejections: replicas that it ejected.
        load: what was sent.
        given_up: calls that the client hung up on, which Envoy doesn't count as finished.

    Raises:
        DisturbedError: somebody did.
    """
    if not load.calls - given_up <= seen <= load.calls or ejections < 0:
        raise DisturbedError(
            f"Envoy counted {seen} of {load.calls} calls and {ejections} ejections: somebody else uses this mesh, or "
            "reset its counters"
        )


def _flag(head: bytes) -> str:
    """Return Envoy's response flags, ``-`` if there are none."""
    name = f"{FLAGS_HEADER}: ".encode()
    start = head.find(name)
    return head[start + len(name) :].split(b"\r\n", 1)[0].decode() if start >= 0 else "-"


def make_response(result: LoadResult, load: Load) -> Response:
    """Return a run's response, with its calls counted by kind."""
    kinds = Counter((head[9:12], _flag(head)) for head in result.heads)
    total = sum(count for (status, _), count in kinds.items() if status == b"503")

    def flagged(*flags: str, status: bytes = b"503") -> int:
        return sum(count for (of, flag), count in kinds.items() if of == status and any(one in flag for one in flags))

    overflow, no_host = flagged("UO"), flagged("UH")
    return Response(
        qps=load.calls / result.duration_s,
        p200=result.ok / load.calls,
        p503=total / load.calls,
        details={
            "ok": result.ok,
            "overflow": overflow,
            "no_healthy_host": no_host,
            "upstream_error": total - overflow - no_host,
            "other_error": load.calls - result.ok - total,
            "reset": flagged("UF", "UC", "UR", "LR"),
            "timeout": flagged("UT", status=b"504") + result.given_up,
            **percentiles(np.array(result.latencies_s)),
            **lateness(result.late_s),
            "duration_s": result.duration_s,
        },
    )
