"""Read rules, loads and names from a command line."""

from __future__ import annotations

from pathlib import Path

from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.mesh.destination_rule import DestinationRule, check_names
from meshgym.scenarios import Scenario
from meshgym.types import LOAD_NAMES, RULE_NAMES, Load, TrafficRules


def read_load(text: str) -> Load:
    """Read ``threads=4,calls=400``.

    Raises:
        InvalidValueError: one of them is missing, or a value isn't allowed.
        UnknownNameError: another name.
    """
    given = _pairs(text, LOAD_NAMES)
    _require("load", text, given, LOAD_NAMES)
    return Load(**given)  # type: ignore[arg-type]


def read_rules(text: str, scenario: Scenario) -> TrafficRules | DestinationRule:
    """Read a DestinationRule's file, or ``max_connections=2,...`` with every rule that the scenario varies.

    Raises:
        InvalidValueError: no such file, no DestinationRule that Istio allows, a missing rule, or a value that isn't
            allowed.
        UnknownNameError: another name or field.
    """
    if "=" not in text or Path(text).is_file():
        return _manifest(Path(text))
    fixed = {name: span.low for name, span in scenario.rules.items() if span.low == span.high}
    given = fixed | _pairs(text, RULE_NAMES)
    _require("rules", text, given, RULE_NAMES)
    return TrafficRules(**given)  # type: ignore[arg-type]


def read_names(name: str | None, namespace: str | None, host: str | None, rule: object) -> dict[str, str]:
    """Return ``name``, ``namespace`` and ``host`` of a DestinationRule: as given, of ``rule``, or of Istio's sample.

    Raises:
        InvalidValueError: a name that Kubernetes or Istio doesn't allow.
    """
    if isinstance(rule, DestinationRule):
        names = {"name": name or rule.name, "namespace": namespace or rule.namespace, "host": host or rule.host}
    else:
        names = {"name": name or "httpbin", "namespace": namespace or "default"}
        names["host"] = host or f"{names['name']}.{names['namespace']}.svc.cluster.local"
    check_names(**names)
    return names


def _manifest(path: Path) -> DestinationRule:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValueError(
            "rules", str(path), "a DestinationRule's file, or NAME=VALUE pairs", f"({error})"
        ) from None
    return DestinationRule.from_yaml(text)


def _pairs(text: str, names: tuple[str, ...]) -> dict[str, float]:
    """Read numbers by name from ``a=1,b=2``."""
    found: dict[str, float] = {}
    for pair in text.split(","):
        name, _, value = (part.strip() for part in pair.partition("="))
        if name not in names:
            raise UnknownNameError("name", name, names)
        try:
            found[name] = float(value)
        except ValueError:
            raise InvalidValueError(name, value, "a number", f"Write {name}=NUMBER.") from None
    return found


def _require(what: str, text: str, given: dict[str, float], names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in given]
    if missing:
        raise InvalidValueError(
            what, text, f"a value for each of {', '.join(names)}", f"Missing: {', '.join(missing)}."
        )
