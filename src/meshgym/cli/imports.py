"""The command that makes a trace set of load tests that people have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from meshgym.cli.console import Count
from meshgym.errors import InvalidValueError
from meshgym.files import make_folder
from meshgym.rules.destination_rule import choose, read_file
from meshgym.rules.policy import traffic_rules
from meshgym.scenarios import Scenario, load_scenario


def import_(
    files: tuple[Path, ...],
    *,
    scenario: str,
    rules: Path | None = None,
    threads: Count | None = None,
    rate: Annotated[float, Parameter(validator=Number(gt=0))] | None = None,
    failures: Literal["503", "other"] | None = None,
    out: Path = Path("traces.csv"),
) -> None:
    """Make a trace set of results of Fortio, k6, vegeta or Locust, each a run.

    Args:
        files: JSON of the first three, Locust's _stats.csv.
        scenario: a .toml file, or S1..S5, that says which rules vary.
        rules: the DestinationRule that was in force (default: for each result, the .yaml beside it of the same name).
        threads: connections of k6 or Locust, which don't tell them, in a closed loop.
        rate: calls per second that were due, if k6 or Locust ran an open loop.
        failures: the status of failed calls where a file only counts them.
        out: file to write; ends in .csv or .parquet.
    """
    import pandas as pd

    from meshgym.traces.imports import Given, read_run
    from meshgym.traces.store import write_traces

    chosen, given = load_scenario(scenario), Given(threads, rate, failures)
    rows, tools = [], []
    for number, file in enumerate(files):
        tool, run = read_run(file, given)
        rows.append({**_rules(file, rules, chosen), **_pace(file, run, chosen), "run": number})
        tools.append({"file": file.name, "tool": tool})
    make_folder(out.parent)
    write_traces(pd.DataFrame(rows), out, {"scenario": chosen.name, "imported": tools})
    print(out)


def _rules(file: Path, rules: Path | None, scenario: Scenario) -> dict[str, float]:
    """Return the values that a DestinationRule gives the rules that vary."""
    source = rules or file.with_suffix(".yaml")
    found = traffic_rules(choose(read_file(source)).policy, scenario.rules).to_dict()
    for name in scenario.rules:
        if found.get(name) is None:
            raise InvalidValueError(f"{name} in {source}", None, "a value, since the scenario varies it")
    return {name: float(found[name]) for name in scenario.rules}


def _pace(file: Path, run: dict[str, float], scenario: Scenario) -> dict[str, float]:
    pace = scenario.load_names[0]
    if pace not in run:
        found = next(name for name in run if name in ("threads", "rate_per_s"))
        raise InvalidValueError(f"pace of {file.name}", found, f"{pace}, as in scenario {scenario.name}")
    return run
