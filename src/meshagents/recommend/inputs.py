"""Rules, loads and names, as a command line gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshagents.recommend.request import Place, Request
from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.rules.destination_rule import Chosen, choose
from meshgym.rules.schema import check_names
from meshgym.rules.tongues import read_any
from meshgym.scenarios import Scenario
from meshgym.types import LOAD_NAMES, Load, TrafficRules


def read_load(text: str, names: tuple[str, ...] = LOAD_NAMES) -> Load:
    """Read ``threads=4,calls=400``, or what else a scenario's loads have.

    Raises:
        InvalidValueError: one is missing, or a value no load can have.
        UnknownNameError: another name.
    """
    return Load(**_read_pairs("load", text, names, {}))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Given:
    """Rules that somebody asks about.

    Attributes:
        policy: the whole ``trafficPolicy`` in force.
        chosen: where it stands in a file; None if it was given as values.
    """

    policy: Mapping[str, Any]
    chosen: Chosen | None = None


def read_rules(request: Request, scenario: Scenario) -> Given | None:
    """Read a DestinationRule's file, or ``max_connections=2,...`` with every rule that the scenario varies.

    Raises:
        FileError: a file that can't be read.
        InvalidValueError: a DestinationRule that Istio refuses, a missing rule, a value no rule can have, or a choice
            that isn't clear.
        UnknownNameError: another name or field.
    """
    text = request.rules
    if not text:
        return None
    if "=" not in text or Path(text).is_file():
        chosen = choose(read_any(text), request.host, request.subset, request.port)
        return Given(chosen.policy, chosen)
    fixed = {name: span.low for name, span in scenario.rules.items() if span.low == span.high}
    rules = TrafficRules(**_read_pairs("rules", text, scenario.rule_names, fixed))
    return Given(scenario.policy(rules))


def read_names(request: Request, given: Given | None, place: Place | None = None) -> dict[str, str]:
    """Return ``name``, ``namespace`` and ``host`` of a DestinationRule.

    In a cluster they are those of the DestinationRule there. Elsewhere, what isn't asked for is that of the file, or
    else that of Istio's sample httpbin.

    Raises:
        InvalidValueError: a name that Kubernetes or Istio refuses, or another than that in the cluster.
    """
    if place is not None:
        names = {"name": place.rule.name, "namespace": place.rule.namespace}
        for name, value in {**names, "url": place.url}.items():
            if getattr(request, name) not in (None, value):
                raise InvalidValueError(f"--{name}", getattr(request, name), f"{value}, as in the cluster")
        if not (given and given.chosen) and request.host not in (None, place.rule.host):
            raise InvalidValueError("--host", request.host, f"{place.rule.host}, as in the cluster")
        return {**names, "host": place.rule.host}
    rule = given.chosen.rule if given and given.chosen else None
    name = request.name or (rule and (rule.name or rule.host.strip("*.").partition(".")[0].lower())) or "httpbin"
    namespace = request.namespace or (rule.namespace if rule else "default")
    host = rule.host if rule else request.host or f"{name}.{namespace}.svc.cluster.local"
    check_names(name, namespace, host)
    return {"name": name, "namespace": namespace, "host": host}


def _read_pairs(what: str, text: str, names: tuple[str, ...], known: dict[str, float]) -> dict[str, float]:
    """Read numbers by name from ``a=1,b=2``; every name must be there or be known already."""
    found = dict(known)
    for pair in text.split(","):
        name, _, value = (part.strip() for part in pair.partition("="))
        if name not in names:
            raise UnknownNameError("name", name, names)
        try:
            found[name] = float(value)
        except ValueError:
            raise InvalidValueError(name, value, "a number", f"Write {name}=NUMBER.") from None
    missing = ", ".join(name for name in names if name not in found)
    if missing:
        raise InvalidValueError(what, text, f"a value for each of {', '.join(names)}", f"Missing: {missing}.")
    return found
