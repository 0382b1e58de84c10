"""However measuring in a cluster ends, the rule is put back; or it is said why not, and the journal is kept."""

from __future__ import annotations

import atexit
import json
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from mesh.cluster.standins.server import Fault

from meshgym.errors import ClusterError, DestinationRuleChangedError, RestoreError
from meshgym.mesh.cluster.journal import Journal
from meshgym.mesh.cluster.loan import restore
from meshgym.mesh.cluster.mesh import IstioMesh
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


def test_what_cannot_be_put_back_is_told_and_done_later(world, tmp_path):
    mesh = IstioMesh(**world.arguments())
    mesh.measure(RULES, LOAD)
    world.api.denied.add(("update", "destinationrules"))
    with pytest.raises(RestoreError, match=r"is not put back: .*meshgym doctor --restore") as caught:
        mesh.close()
    (journal,) = journals(tmp_path)
    assert str(journal) in str(caught.value)
    assert journal.stat().st_mode & 0o077 == 0
    world.api.denied.clear()
    mesh.close()
    assert world.restored
    assert not journals(tmp_path)


_MEASURING = """
import json, sys
from meshgym.mesh.cluster.mesh import IstioMesh
from meshgym.types import Load, TrafficRules
how, arguments = sys.argv[1], json.loads(sys.argv[2])
mesh = IstioMesh(**arguments)
mesh.measure(TrafficRules(2, 1, 4, 180, 50, 0.25, 6), Load(5, 40))
print("measured", flush=True)
if how == "stay":
    sys.stdin.read()
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


def test_sigterm_puts_the_rule_back(world, tmp_path):
    with _measuring(world, "stay") as process:
        assert process.stdout.readline() == "measured\n"
        assert not world.restored
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in said
    assert world.restored
    assert not journals(tmp_path)


def test_after_a_kill_9_the_doctor_puts_the_rule_back(world, tmp_path):
    with _measuring(world, "stay") as process:
        assert process.stdout.readline() == "measured\n"
        (journal,) = journals(tmp_path)
        with pytest.raises(RestoreError, match="another process is measuring"):
            restore(journal)
        process.kill()
    assert not world.restored
    with pytest.raises(RestoreError, match="by an earlier run and not put back; do so with: meshgym doctor --restore"):
        IstioMesh(**world.arguments())
    doctor = [sys.executable, "-m", "meshgym", "doctor", "--restore"]
    done = subprocess.run(doctor, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"DestinationRule default/httpbin on {world.api.url} is as it was found" in done.stdout
    assert world.restored
    assert not journals(tmp_path)
    assert "nothing to put back" in subprocess.run(doctor, capture_output=True, text=True, timeout=60).stdout


def test_a_killed_run_in_the_middle_of_a_change(world, tmp_path):
    """The journal announces each change; whether it was made or not, what was found can be put back."""
    mesh = IstioMesh(**world.arguments())
    mesh.measure(RULES, LOAD)
    world.api.faults.append(Fault("PATCH", "/destinationrules/httpbin", 500, times=9))
    with pytest.raises(ClusterError):
        mesh.measure(TrafficRules(3, 3, 3, 180, 50, 1, 3), LOAD)
    _end(mesh)
    (journal,) = journals(tmp_path)
    restore(journal)
    assert world.restored


def test_the_journal_of_another_cluster_is_refused(world, tmp_path):
    mesh = IstioMesh(**world.arguments())
    mesh.measure(RULES, LOAD)
    _end(mesh)
    (journal,) = journals(tmp_path)
    whole = journal.read_text()
    with Journal(journal) as held:
        held.write(replace(held.read(), server="https://production.example"))
    with pytest.raises(RestoreError, match=r"is of the cluster https://production.example, but KUBECONFIG leads to"):
        restore(journal)
    journal.write_text(whole[: len(whole) // 2])
    with pytest.raises(RestoreError, match="isn't a journal, or is damaged"):
        restore(journal)
    with pytest.raises(RestoreError, match="there is no journal"):
        restore(tmp_path / "none.json")


def _end(mesh):
    """End ``mesh`` as a kill -9 would: nothing is put back at the end of this program."""
    atexit.unregister(mesh.close)
    mesh._open.close()
