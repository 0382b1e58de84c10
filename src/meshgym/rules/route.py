"""What a VirtualService's route says of retries and timeouts, as the headers that Envoy's router takes them from.

Envoy reads them from each request, which saves a route for each run. One thing differs: what ``retry_on`` names is
retried besides what Istio retries by default, not instead of it.

Source: Envoy's router filter, ``x-envoy-max-retries`` and the others.
"""

from __future__ import annotations

from typing import Any

from meshgym.fields import OF_ROUTE
from meshgym.rules.policy import tree, written
from meshgym.types import TrafficRules

#: Envoy reads those headers from internal requests only, and by this one they are.
_TRUSTED = {"x-forwarded-for": "127.0.0.1"}
_HEADERS = {
    "route_timeout_s": "x-envoy-upstream-rq-timeout-ms",
    "retry_attempts": "x-envoy-max-retries",
    "retry_per_try_timeout_s": "x-envoy-upstream-rq-per-try-timeout-ms",
    "retry_on": "x-envoy-retry-on",
}


def route_rules(rules: TrafficRules) -> TrafficRules:
    """Return the route's part of ``rules``."""
    return TrafficRules(**{name: value for name, value in rules.to_dict().items() if name in OF_ROUTE})


def route_headers(rules: TrafficRules) -> dict[str, str]:
    """Return the headers that put the route's part of ``rules`` in force for a request."""
    headers = {}
    for name, header in _HEADERS.items():
        value, field = getattr(rules, name), OF_ROUTE[name]
        if value is None or (field.kind == "choice" and not value):
            continue
        told = field.choices[int(value)] if field.kind == "choice" else value
        headers[header] = str(round(1000 * value)) if field.kind == "seconds" else str(told)
    return headers | _TRUSTED if headers else headers


def virtual_service(rules: TrafficRules, name: str, namespace: str, host: str) -> dict[str, Any] | None:
    """Return the VirtualService that puts the route's part of ``rules`` in force; None if there is none."""
    given = route_rules(rules).to_dict()
    if "retry_on" in given and not given["retry_on"]:
        del given["retry_on"]  # Istio's default has no word for itself
    if not given:
        return None
    route = tree({OF_ROUTE[one].virtual_service: written(OF_ROUTE[one], value) for one, value in given.items()})
    http = {**route, "route": [{"destination": {"host": host}}]}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"hosts": [host], "http": [http]},
    }
