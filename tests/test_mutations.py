"""Damage every kind of file in many ways: the answer is the same, or there is one clear error.

``MESHGYM_MUTATIONS=3000`` sets how many files are damaged; without it, enough to notice a new hole.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from meshes import FakeMesh

from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.report.page import write_report
from meshagents.report.provenance import describe
from meshagents.report.write import write_validation
from meshagents.training.configurations import load_configuration
from meshagents.training.tasks import Task
from meshagents.training.train import train_agent
from meshagents.training.trained import evaluate_trained, load_trained, save_trained
from meshagents.validation.gap import tables
from meshagents.validation.measure import Validation
from meshagents.validation.validate import Validator
from meshgym.errors import MeshGymError
from meshgym.mesh.cluster.journal import Entry, Journal
from meshgym.rules.destination_rule import DestinationRule, choose, read_file
from meshgym.scenarios import load_scenario
from meshgym.simulator import Simulator
from meshgym.traces.collect import collect
from meshgym.traces.pack import pack
from meshgym.traces.store import load_traces, read_provenance

MUTATIONS = int(os.environ.get("MESHGYM_MUTATIONS", "300"))
SECONDS, BYTES = 5.0, 2**30
JUNK = [b"\0" * 64, b"\xff\xfe", b"[" * 5000, b"{" * 5000, b"1e999", b"-1", b"NaN", b"\n\n", b"99999999"]
OTHERS = [b"", b"\0", b"null", b"[]", b"{}", b"PK\x03\x04"]


def flip_bit(content: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]


def cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def remove(content: bytes, rng: random.Random) -> bytes:
    start, length = rng.randrange(len(content)), rng.randrange(1, 200)
    return content[:start] + content[start + length :]


def repeat(content: bytes, rng: random.Random) -> bytes:
    start, length = rng.randrange(len(content)), rng.randrange(1, 2000)
    return content[: start + length] + content[start:]


def insert(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content))
    junk = rng.choice(
        [b"\0" * 64, b"\xff\xfe", b"[" * 5000, b"{" * 5000, b"1e999", b"-1", b"NaN", b"\n\n", b"99999999"]
    )
    return content[:start] + junk + content[start:]


def change_digit(content: bytes, rng: random.Random) -> bytes:
    digits = [place for place in range(len(content)) if content[place : place + 1].isdigit()]
    if not digits:
        return flip_bit(content, rng)
    place = rng.choice(digits)
    return content[:place] + str(rng.randrange(10)).encode() + content[place + 1 :]


def other(content: bytes, rng: random.Random) -> bytes:
    return rng.choice(
        [b"", b"\0", b"null", b"[]", b"{}", b"PK\x03\x04", b"\xef\xbb\xbf" + content, rng.randbytes(5000)]
    )


def swap_lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    return b"".join(lines)


MUTATORS = [flip_bit, flip_bit, cut, remove, repeat, insert, change_digit, other, swap_lines]


@dataclass
class Kind:
    """A kind of file: ``read`` gives something that can be compared; ``signed`` says whether every change shows."""

    path: Path
    read: Callable[[Path], Any]
    signed: bool = True


@pytest.fixture(scope="module")
def kinds(tmp_path_factory, shop, shop_text, simulator) -> dict[str, Kind]:
    folder = tmp_path_factory.mktemp("kinds")
    scenario = folder / "shop.toml"
    scenario.write_text(shop_text)
    database = collect(shop, folder / "collection", rows=60, make_mesh=FakeMesh)
    parquet, csv = (pack(database.parent, folder / name / f"set.{name}") for name in ("parquet", "csv"))
    tiny = Hyperparameters(epochs=1, width=8, num_envs=8, interactions=16)
    trained = train_agent(load_configuration("Thread-Call"), [Task(shop, simulator)], tiny, 0)
    result = folder / "result"
    validator = Validator(result / "measured", Validation(2, 1), lambda scenario: FakeMesh())
    found = validator.validate_agent(trained, evaluate_trained(trained))
    write_validation(result, describe(trained), Validation(2, 1), found, tables(found))
    rule = folder / "rule.yaml"
    made = DestinationRule.of("shop", "market", "shop.market.svc", shop.rules_at(shop.rule_grid()[3]))
    rule.write_text(made.to_yaml())
    journal = folder / "journal.json"
    with Journal(journal) as held:
        held.write(Entry("https://here", None, "market", "shop", "me", "now", {"spec": {"host": "shop"}}, ["5e2"]))
    return {
        "collection": Kind(database, frame_of),
        "parquet": Kind(parquet, frame_of),
        "csv": Kind(csv, frame_of),
        "provenance": Kind(csv.with_suffix(".json"), lambda path: frame_of(path.with_suffix(".csv"))),
        "simulator": Kind(simulator.save(folder / "simulator.npz"), lambda path: Simulator.load(path).sha256),
        "agent": Kind(save_trained(folder / "agent.npz", trained), lambda path: load_trained(path).sha256),
        "scenario": Kind(scenario, lambda path: asdict(load_scenario(path)), signed=False),
        "rules": Kind(rule, lambda path: choose(read_file(path)).policy, signed=False),
        "journal": Kind(journal, read_journal),
        "description": Kind(result / "validation.json", page_of),
        "table": Kind(result / "ratios.csv", page_of),
    }


def frame_of(path: Path) -> Any:
    return load_traces(path).to_dict("list"), (read_provenance(path) or {}).get("scenario")


def read_journal(path: Path) -> Any:
    with Journal(path) as journal:
        return journal.read()


def page_of(path: Path) -> str:
    return write_report(path.parent).read_text()


def answer(kind: Kind) -> tuple[str, Any]:
    """What reading gives: the answer, or the message of our error; any other error passes."""
    try:
        return "answer", kind.read(kind.path)
    except MeshGymError as error:
        return "error", str(error)


def memory(what: str, forget_peak: bool = False) -> int:
    """Bytes that this process has (VmRSS) or had at most (VmHWM) since the peak was forgotten; 0 except on Linux."""
    if sys.platform != "linux":
        return 0
    if forget_peak:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(what))


@pytest.mark.slow
def test_damage_is_one_clear_error_or_changes_nothing(kinds):
    rng = random.Random(0)
    right = {name: answer(kind) for name, kind in kinds.items()}
    assert {kind for kind, _ in right.values()} == {"answer"}
    outcomes: Counter[tuple[str, str]] = Counter()
    for number in range(MUTATIONS):
        name = list(kinds)[number % len(kinds)]
        kind, mutator = kinds[name], rng.choice(MUTATORS)
        whole, started = kind.path.read_bytes(), time.monotonic()
        kind.path.write_bytes(mutator(whole, rng))
        before = memory("VmRSS", forget_peak=True)
        try:
            found, what = answer(kind)
        finally:
            kind.path.write_bytes(whole)
        about = f"{name}, {mutator.__name__}, mutation {number}"
        assert time.monotonic() - started < SECONDS, about
        assert memory("VmHWM") - before < BYTES, about
        if found == "error":
            assert len(what) < 2000, f"{about}: {what[:500]}"
        else:
            found = "same" if (found, what) == right[name] else "other"
            assert found == "same" or not kind.signed, f"{about}: read as something else"
        outcomes[name, found] += 1
    print(*(f"{name}: {count} {found}" for (name, found), count in sorted(outcomes.items())), sep="\n")
    assert sum(count for (_, found), count in outcomes.items() if found == "error") > MUTATIONS / 2
