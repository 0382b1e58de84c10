"""Rules, loads and names, as a command line gives them."""

from __future__ import annotations

from pathlib import Path

from meshgym.errors import FileError, InvalidValueError, UnknownNameError
from meshgym.files import read_text, reading
from meshgym.mesh.destination_rule import DestinationRule, check_names
from meshgym.scenarios import Scenario
from meshgym.types import LOAD_NAMES, RULE_NAMES, Load, TrafficRules


def read_load(text: str) -> Load:
    """Read ``threads=4,calls=400``.

    Raises:
        InvalidValueError: one is missing, or a value no load can have.
        UnknownNameError: another name.
    """
    return Load(**_read_pairs("load", text, LOAD_NAMES, {}))  # type: ignore[arg-type]


def read_rules(text: str, scenario: Scenario) -> TrafficRules | DestinationRule:
    """Read a DestinationRule's file, or ``max_connections=2,...`` with every rule that the scenario varies.

    Raises:
        FileError: a file that can't be read.
        InvalidValueError: a DestinationRule that Istio refuses, a missing rule, or a value no rule can
            have.
        UnknownNameError: another name or field.
    """
    if "=" not in text or Path(text).is_file():
        with reading(text, "a DestinationRule", FileError, "Give a DestinationRule's file, or NAME=VALUE pairs."):
            manifest = read_text(text)
        return DestinationRule.from_yaml(manifest)
    fixed = {name: span.low for name, span in scenario.rules.items() if span.low == span.high}
    return TrafficRules(**_read_pairs("rules", text, RULE_NAMES, fixed))  # type: ignore[arg-type]


def read_names(name: str | None, namespace: str | None, host: str | None, rules: object) -> dict[str, str]:
    """Return ``name``, ``namespace`` and ``host`` of a DestinationRule.

    What isn't given is that of ``rules`` if these are a DestinationRule, or else that of Istio's sample httpbin.

    Raises:
        InvalidValueError: a name that Kubernetes or Istio refuses.
    """
    if isinstance(rules, DestinationRule):
        names = {"name": name or rules.name, "namespace": namespace or rules.namespace, "host": host or rules.host}
    else:
        names = {"name": name or "httpbin", "namespace": namespace or "default"}
        names["host"] = host or f"{names['name']}.{names['namespace']}.svc.cluster.local"
    check_names(**names)
    return names


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
