"""What the bootstrap configurations of the embedded mesh's Envoys have in common."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

#: Header of every request: its run's number; and of every response: the run that its rules were made for.
RUN_HEADER = "x-meshgym-run"
TYPE = "type.googleapis.com/envoy.extensions"


def socket_in(folder: Path, name: str) -> Path:
    """Return where a Unix socket lies: in a folder that only this user can enter."""
    return folder / f"{name}.sock"


def pipe(path: Path) -> dict[str, Any]:
    """Return the address of a Unix socket."""
    return {"pipe": {"path": str(path), "mode": 0o600}}


def connection_manager(
    name: str, route: dict[str, Any], filters: list[dict[str, Any]], codec: str = "HTTP1"
) -> dict[str, Any]:
    """Return a listener's filter that leads every request through ``filters`` to ``route``."""
    host = {"name": name, "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **route}]}
    router = {
        "name": "router",
        "typed_config": {
            "@type": f"{TYPE}.filters.http.router.v3.Router",
            "suppress_envoy_headers": False,
        },
    }
    return {
        "name": "http",
        "typed_config": {
            "@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "codec_type": codec,
            "generate_request_id": False,
            "internal_address_config": {"cidr_ranges": [{"address_prefix": "127.0.0.1", "prefix_len": 32}]},
            "route_config": {"name": name, "virtual_hosts": [host], "validate_clusters": False},
            "http_filters": [*filters, router],
        },
    }


def delay(milliseconds: float, share: float = 1) -> list[dict[str, Any]]:
    """Return the filters that hold a share of the requests back for a while.

    Envoy waits whole milliseconds, so a fraction is the share of requests that wait one more.
    """
    fraction, whole = math.modf(milliseconds)
    return [
        fault(
            {
                "fixed_delay": f"{wait / 1000:.3f}s",
                "percentage": {"numerator": round(10_000 * of), "denominator": "TEN_THOUSAND"},
            }
        )
        for wait, of in ((whole, share), (1, share * fraction))
        if wait and of
    ]


def fault(how: dict[str, Any]) -> dict[str, Any]:
    """Return Envoy's filter that delays requests."""
    return {"name": "delay", "typed_config": {"@type": f"{TYPE}.filters.http.fault.v3.HTTPFault", "delay": how}}


def lua(name: str, code: str) -> dict[str, Any]:
    """Return a filter that runs a script."""
    script = {"@type": f"{TYPE}.filters.http.lua.v3.Lua", "default_source_code": {"inline_string": code}}
    return {"name": name, "typed_config": script}


def bootstrap(
    folder: Path, name: str, listeners: list[dict[str, Any]], statistics: list[str], **more: Any
) -> dict[str, Any]:
    """Return a bootstrap that keeps only statistics with these parts in their names; all of them would cost time."""
    kept = {"inclusion_list": {"patterns": [{"contains": part} for part in statistics]}}
    return {
        "node": {"id": name, "cluster": "meshgym"},
        "admin": {"address": pipe(socket_in(folder, name))},
        "stats_config": {"stats_matcher": kept if statistics else {"reject_all": True}},
        "static_resources": {"listeners": listeners, **more.pop("static", {})},
        **more,
    }
