"""However measuring in a cluster ends, the rule is put back; or it is said why not, and the journal is kept."""

from __future__ import annotations

import atexit
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from mesh.cluster.standins.server import Fault

from meshgym.cli.main import main
from meshgym.errors import DestinationRuleChangedError, RestoreError, RulesRefusedError
from meshgym.mesh.cluster.borrow import reclaim
from meshgym.mesh.cluster.journal import Journal
from meshgym.mesh.cluster.mesh import IstioMesh
from meshgym.mesh.cluster.note import note_in
from meshgym.types import Load, TrafficRules

RULES = TrafficRules(2, 1, 4, 180, 50, 0.25, 6)
LOAD = Load(5, 40)

pytestmark = pytest.mark.slow  # programs that are ended, one after the other


def journals(folder):
    return list((folder / "state" / "meshgym").glob("*.json"))


@pytest.mark.parametrize("how", ["changed", "removed"])
def test_a_rule_that_somebody_else_changed_is_left_to_them(world, tmp_path, how):
    mesh = IstioMesh(**world.arguments())
    mesh.measure(RULES, LOAD)
    if how == "changed":
        theirs = world.api.put("default", "httpbin", {"host": "httpbin", "trafficPolicy": {}})
    else:
        theirs = world.api.rules.pop(("default", "httpbin")) and None
    with pytest.raises(DestinationRuleChangedError, match=f"somebody else {how} DestinationRule default/httpbin"):
        mesh.measure(RULES, LOAD)
    with pytest.raises(DestinationRuleChangedError, match="it is left as it is now"):
        mesh.close()
    assert world.rule == theirs
    (journal,) = journals(tmp_path)
    assert json.loads(journal.read_text())["found"] == world.found
    _end(mesh)
    with reclaim(str(journal)) as borrowed:
        assert "+    simple: RANDOM" in borrowed.difference()
        with pytest.raises(DestinationRuleChangedError):
            borrowed.give_back()
        borrowed.give_back(force=True)
    assert world.rule["spec"] == world.found["spec"]
    assert not journals(tmp_path)


def test_what_cannot_be_put_back_is_told_and_done_later(world, tmp_path):
    mesh = IstioMesh(**world.arguments())
    mesh.measure(RULES, LOAD)
    world.api.denied.add(("update", "destinationrules"))
    with pytest.raises(RestoreError, match=r"is not given back: .*meshgym doctor --restore default/httpbin"):
        mesh.close()
    (journal,) = journals(tmp_path)
    assert journal.stat().st_mode & 0o077 == 0
    world.api.denied.clear()
    mesh.close()
    assert world.restored
    assert not journals(tmp_path)


_MEASURING = """
import json, sys
from meshgym.mesh.cluster.mesh import IstioMesh
from meshgym.mesh.cluster.note import note_in
from meshgym.types import Load, TrafficRules
how, arguments = sys.argv[1], json.loads(sys.argv[2])
mesh = IstioMesh(**arguments)
mesh.measure(TrafficRules(2, 1, 4, 180, 50, 0.25, 6), Load(5, 40))
print("measured", flush=True)
if how == "stay":
    sys.stdin.read()
if how == "close":
    mesh.close()
    print("closed", flush=True)
if how == "raise":
    raise RuntimeError("out of luck")
"""


def _measuring(world, how):
    command = [sys.executable, "-c", _MEASURING, how, json.dumps(world.arguments())]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("how", ["end", "raise"])
def test_at_the_end_of_the_program_the_rule_is_put_back(world, tmp_path, how):
    with _measuring(world, how) as process:
        _, said = process.communicate(timeout=60)
    assert ("out of luck" in said) == (how == "raise")
    assert len(world.sent) == 1
    assert world.restored
    assert not journals(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_sigterm_and_sighup_put_the_rule_back(world, tmp_path, number):
    with _measuring(world, "stay") as process:
        assert process.stdout.readline() == "measured\n"
        assert not world.restored
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Traceback" not in said
    assert world.restored
    assert not journals(tmp_path)


def _giving_back(world, process):
    """Wait until the process gives the rule back, which takes a while."""
    assert process.stdout.readline() == "measured\n"
    while not any(method == "PUT" for method, *_ in world.api.asked):
        assert process.poll() is None
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_wait_until_the_rule_is_given_back(world, tmp_path, number):
    world.api.faults.append(Fault("PUT", "httpbin", 0, hang_s=1))
    with _measuring(world, "close") as process:
        _giving_back(world, process)
        process.send_signal(number)
        time.sleep(0.2)
        process.send_signal(number)
        told, said = process.communicate(timeout=60)
    assert process.returncode == (-number if number == signal.SIGINT else 128 + number)
    first, second, *_ = said.splitlines()
    assert first == f"still giving back DestinationRule default/httpbin on {world.api.url}"
    assert second == f"{first}; once more ends it at once"
    assert "closed" not in told
    assert world.restored
    assert not journals(tmp_path)


def test_a_third_signal_ends_it_and_the_command_is_printed(world, tmp_path):
    world.api.faults.append(Fault("PUT", "httpbin", hang_s=3, times=9))
    with _measuring(world, "close") as process:
        _giving_back(world, process)
        for _ in range(3):
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
        _, said = process.communicate(timeout=60)
    command = "meshgym doctor --restore default/httpbin"
    assert f"DestinationRule default/httpbin on {world.api.url} is not given back; do so with: {command}" in said
    assert not world.restored
    world.api.faults.clear()
    assert main(command.split()[1:]) == 0
    assert world.restored


def test_after_a_kill_9_the_doctor_puts_the_rule_back(world, tmp_path):
    with _measuring(world, "stay") as process:
        assert process.stdout.readline() == "measured\n"
        (journal,) = journals(tmp_path)
        with pytest.raises(RestoreError, match="another process is measuring"), reclaim(str(journal)):
            pass
        doctor = [sys.executable, "-m", "meshgym", "doctor", "--restore"]
        done = subprocess.run(doctor, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0  # it's no fault that another rule is being measured
        assert f"left alone: another process is measuring with the journal {journal}" in done.stdout
        process.kill()
    assert not world.restored
    with pytest.raises(
        RestoreError, match=r"is on loan to .*, process \d+ since 20.*: meshgym doctor --restore default/"
    ):
        IstioMesh(**world.arguments())
    done = subprocess.run(doctor, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"DestinationRule default/httpbin on {world.api.url} is as it was found" in done.stdout
    assert world.restored
    assert not journals(tmp_path)
    assert "nothing to give back" in subprocess.run(doctor, capture_output=True, text=True, timeout=60).stdout


ENDINGS = ([signal.SIGTERM], [signal.SIGHUP], [signal.SIGINT], [signal.SIGINT] * 2, [signal.SIGKILL])


def test_endings_of_any_kind_at_any_moment_leave_the_rule_or_the_way_back(owned, shop_text, tmp_path):
    """``MESHGYM_LOANS`` of them, one after the other, with an API server that is slow at times."""
    generator = random.Random(0)
    (tmp_path / "shop.toml").write_text(shop_text)
    owned.lag_s = 0
    command = [sys.executable, "-m", "meshgym", "collect", "--scenario", str(tmp_path / "shop.toml"), *owned.options()]
    for number in range(int(os.environ.get("MESHGYM_LOANS", "5"))):
        more = ["--rows=4", f"--out={tmp_path / str(number)}", "--quiet"]
        slow = Fault(generator.choice(["", "PUT", "PATCH"]), "httpbin", 0, hang_s=generator.uniform(0, 3), times=2)
        with subprocess.Popen([*command, *more], stderr=subprocess.PIPE, text=True) as process:
            wait_until(lambda: owned.sent or process.poll() is not None)
            time.sleep(generator.uniform(0, 4))
            owned.api.faults.append(slow)
            for sign in generator.choice(ENDINGS):
                time.sleep(generator.uniform(0, 1))
                process.send_signal(sign)
            _, said = process.communicate(timeout=60)
        owned.api.faults.clear()
        time.sleep(0.05)  # what was under way at the kill is carried out
        assert "Traceback" not in said
        if not owned.restored:
            lent = note_in(owned.rule)
            assert lent or "do so with: meshgym doctor --restore default/httpbin" in said
            assert main(["doctor", "--restore", "default/httpbin"]) == 0
            assert owned.restored
        owned.sent.clear()
    assert not journals(tmp_path)


def wait_until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_killed_run_in_the_middle_of_a_change(world, tmp_path):
    """The journal announces each change; whether it was made or not, what was found can be put back."""
    mesh = IstioMesh(**world.arguments())
    mesh.measure(RULES, LOAD)
    world.api.faults.append(Fault("PATCH", "/destinationrules/httpbin", 422, times=9))
    with pytest.raises(RulesRefusedError):
        mesh.measure(TrafficRules(3, 3, 3, 180, 50, 1, 3), LOAD)
    _end(mesh)
    (journal,) = journals(tmp_path)
    with reclaim(str(journal)) as borrowed:
        assert not borrowed.difference()
        borrowed.give_back()
    assert world.restored


def test_the_journal_of_another_cluster_is_refused(world, tmp_path):
    mesh = IstioMesh(**world.arguments())
    mesh.measure(RULES, LOAD)
    _end(mesh)
    (journal,) = journals(tmp_path)
    whole = journal.read_text()
    with Journal(journal) as held:
        held.write(replace(held.read(), server="https://production.example"))

    def refused(path, message):
        with pytest.raises(RestoreError, match=message), reclaim(str(path)):
            pass

    refused(journal, r"is of the cluster https://production.example, but KUBECONFIG leads to")
    journal.write_text(whole[: len(whole) // 2])
    refused(journal, "isn't a journal, or is damaged")
    refused(tmp_path / "none.json", "there is no journal")
    refused("default/reviews", "DestinationRule default/reviews on .* is not on loan")


def _end(mesh):
    """End ``mesh`` as a kill -9 would: nothing is put back at the end of this program."""
    atexit.unregister(mesh.close)
    mesh._open.close()
