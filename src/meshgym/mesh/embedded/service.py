"""The embedded mesh's own service under test: an Envoy that responds by itself.

Each replica is a listener with a service time, a token bucket and perhaps a fault. So the CPU is left to what is
measured.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from meshgym.mesh.embedded.backend import Backend
from meshgym.mesh.embedded.bootstrap import (
    RUN_HEADER,
    TYPE,
    bootstrap,
    connection_manager,
    delay,
    fault,
    lua,
    pipe,
    socket_in,
)
from meshgym.mesh.embedded.certificates import make_certificates
from meshgym.mesh.load.request import Request
from meshgym.service.profile import Fault, ServiceProfile

_ALWAYS = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
#: Longer than anybody waits.
_NEVER_MS = 86_400_000
#: Envoy's fault filter delays a request by so many milliseconds.
_DELAY_HEADER = "x-envoy-fault-delay-request"
#: Keeps when each run's first request came, and does what is wrong in the time when it is.
_FAULT = """
local begun, runs = {{}}, 0
function envoy_on_request(handle)
  local run, now = handle:headers():get("{header}") or "", handle:timestamp()
  if not begun[run] then
    if runs > 256 then begun, runs = {{}}, 0 end
    begun[run], runs = now, runs + 1
  end
  local since = (now - begun[run]) / 1000
  if since < {after} or since >= {until_s} or math.random() > {share} then return end
  {act}
end
"""
_RESPOND = 'handle:respond({{[":status"] = "{status}"}}, "error")'
_WAIT = 'handle:headers():add("' + _DELAY_HEADER + '", tostring({milliseconds}))'
_NORMAL = "math.sqrt(-2 * math.log(1 - math.random())) * math.cos(2 * math.pi * math.random())"


def synthetic(folder: Path, profile: ServiceProfile, lanes: int = 1) -> Backend:
    """Return the service of a profile, with capacity for as many runs as there are lanes.

    One standby replica takes over first, the others if it fails too; with several at once, chance would spread the
    connections over them.

    Args:
        folder: holds sockets and keys.
        profile: of the service.
        lanes: runs at once.
    """
    certificates = make_certificates(folder) if profile.mtls else None
    names = replica_names(profile)
    faults = [fault for fault in profile.faults for _ in range(fault.replicas)]
    faulty = dict(zip(reversed(names[: profile.replicas]), faults, strict=False))
    listeners = []
    for number, name in enumerate(names):
        wrong = faulty.get(name)
        if wrong is not None and wrong.kind == "dead":
            continue  # nobody listens at its address
        share = profile.weakness if number < profile.weak_replicas else 1
        capacity = _capacity(max(profile.burst // share, 1), max(profile.rate_per_s // share, 1), lanes)
        waits = [*delay(profile.service_time_ms), *delay(profile.spread_ms, 0.5)]
        filters = [*(_faulty(wrong) if wrong else []), *waits, capacity]
        reply = {"direct_response": {"status": 200, "body": {"inline_string": "ok"}}}
        chain: dict[str, Any] = {"filters": [connection_manager("replica", reply, filters, "AUTO")]}
        if certificates is not None:
            chain["transport_socket"] = certificates.server_socket()
        listeners.append({"name": name, "address": pipe(socket_in(folder, name)), "filter_chains": [chain]})
    addresses = [pipe(socket_in(folder, name)) for name in names]
    first = profile.replicas
    return Backend(
        bootstraps={"service": bootstrap(folder, "service", listeners, [])},
        endpoints=(addresses[:first], addresses[first : first + 1], addresses[first + 1 :]),
        transport_socket=certificates.client_socket() if certificates else None,
        request=Request(),
    )


def replica_names(profile: ServiceProfile) -> list[str]:
    """Return the names of the replicas: weak ones first, standby ones last."""
    return [f"replica-{number}" for number in range(profile.replicas + profile.standby_replicas)]


def _faulty(wrong: Fault) -> list[dict[str, Any]]:
    """Return the filters of a replica with a fault."""
    if wrong.kind == "status":
        act = _RESPOND.format(status=wrong.status)
    elif wrong.kind == "hanging":
        act = _WAIT.format(milliseconds=_NEVER_MS)
    else:
        drawn = f"math.floor({wrong.median_ms} * math.exp({wrong.sigma} * {_NORMAL}))"
        act = _WAIT.format(milliseconds=f"math.min({drawn}, {_NEVER_MS})")
    until_s = wrong.after_s + wrong.for_s if wrong.for_s else math.inf
    code = _FAULT.format(
        header=RUN_HEADER,
        after=wrong.after_s,
        until_s="math.huge" if math.isinf(until_s) else until_s,
        share=wrong.share,
        act=act,
    )
    waits = fault({"header_delay": {}, "percentage": {"numerator": 100, "denominator": "HUNDRED"}})
    return [lua("fault", code), *([] if wrong.kind == "status" else [waits])]


def _capacity(burst: int, rate_per_s: int, lanes: int) -> dict[str, Any]:
    """Return a token bucket per run: a dynamic descriptor on the run header, so every run starts with a full one."""
    bucket = {"max_tokens": burst, "tokens_per_fill": rate_per_s, "fill_interval": "1s"}
    limit = {
        "@type": f"{TYPE}.filters.http.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "capacity",
        "token_bucket": bucket,
        "always_consume_default_token_bucket": False,
        "filter_enabled": _ALWAYS,
        "filter_enforced": _ALWAYS,
        "status": {"code": "ServiceUnavailable"},
        "descriptors": [{"entries": [{"key": "run"}], "token_bucket": bucket}],
        "max_dynamic_descriptors": 2 * lanes + 2,  # the least recently used are forgotten
        "rate_limits": [{"actions": [{"request_headers": {"header_name": RUN_HEADER, "descriptor_key": "run"}}]}],
    }
    return {"name": "capacity", "typed_config": limit}
