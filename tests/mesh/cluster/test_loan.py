"""A loan stands in the DestinationRule itself: any machine sees it and gives it back, field owners included."""

from __future__ import annotations

import atexit
from copy import deepcopy

import pytest
from mesh.cluster.standins import managed
from mesh.cluster.standins.server import Fault
from mesh.cluster.standins.world import RULE

from meshgym.cli.main import main
from meshgym.errors import DestinationRuleChangedError, DisturbedError, InvalidValueError, RestoreError
from meshgym.mesh.cluster.mesh import IstioMesh
from meshgym.mesh.cluster.note import ANNOTATION, note_in
from meshgym.types import Load, TrafficRules

RULES = TrafficRules(2, 1, 4, 180, 50, 0.25, 6)
LOAD = Load(5, 40)
NAMES = {"namespace": "default", "name": "httpbin"}


def elsewhere(monkeypatch, tmp_path):
    """Go on as on another machine, with a state folder of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))


def kill(mesh):
    """End a mesh as a kill -9 would."""
    atexit.unregister(mesh.close)
    mesh._open.close()


def managers(world):
    return {(entry["manager"], entry["operation"]) for entry in world.rule["metadata"]["managedFields"]}


def test_labels_annotations_and_the_owners_of_fields_are_as_they_were_found(owned):
    assert managers(owned) == {("argocd", "Apply"), ("kubectl-client-side-apply", "Update")}
    with IstioMesh(**owned.arguments()) as mesh:
        mesh.measure(RULES, LOAD)
        mesh.measure(RULES.replace(max_connections=9), LOAD)
        assert ("meshgym", "Update") in managers(owned)
    assert owned.restored


def test_after_a_loan_the_owners_next_apply_meets_no_conflict_and_drops_what_it_drops(owned):
    with IstioMesh(**owned.arguments()) as mesh:
        mesh.measure(RULES, LOAD)
        with pytest.raises(managed.ConflictError, match="maxConnections"):
            owned.api.apply("argocd", {"host": "httpbin", "trafficPolicy": RULE["trafficPolicy"]})
    pool = {"connectionPool": {"tcp": {"maxConnections": 5}}}
    owned.api.apply("argocd", {"host": "httpbin", "trafficPolicy": pool})
    assert owned.rule["spec"]["trafficPolicy"] == pool


def test_what_others_added_meanwhile_stays_theirs(owned):
    with IstioMesh(**owned.arguments()) as mesh:
        mesh.measure(RULES, LOAD)
        rule = deepcopy(owned.rule)
        rule["metadata"]["annotations"]["seen"] = "yes"
        rule["metadata"]["managedFields"] = managed.update(owned.rule, rule, "watcher")
        owned.api._store(rule)
        mesh.measure(RULES, LOAD)
    assert owned.rule["spec"] == owned.found["spec"]
    assert owned.rule["metadata"]["annotations"]["seen"] == "yes"
    assert managers(owned) == {("argocd", "Apply"), ("kubectl-client-side-apply", "Update"), ("watcher", "Update")}


def test_two_collectors_with_different_state_folders(owned, monkeypatch, tmp_path):
    with IstioMesh(**owned.arguments()) as mesh:
        mesh.measure(RULES, LOAD)
        elsewhere(monkeypatch, tmp_path)
        with pytest.raises(RestoreError, match=r"is on loan to \w+@.*, process \d+ since .*, until .*; wait for it"):
            IstioMesh(**owned.arguments())
    assert owned.restored


def test_two_collectors_that_begin_at_the_same_time(owned, monkeypatch, tmp_path):
    with IstioMesh(**owned.arguments()) as first:
        elsewhere(monkeypatch, tmp_path)
        with IstioMesh(**owned.arguments()) as second:
            monkeypatch.setattr("meshgym.mesh.cluster.note.os.getpid", lambda: 7)
            second._borrowed._note = second._borrowed._note.begin(second._borrowed.found)
            first.measure(RULES, LOAD)
            with pytest.raises(RestoreError, match=r"is on loan to .*; nothing was changed over it"):
                second.measure(RULES, LOAD)
            second._borrowed._written.clear()  # it ends, with nothing to give back
        assert not owned.restored
        first.measure(RULES, LOAD)
    assert owned.restored


@pytest.mark.parametrize("made", [False, True])
def test_another_machine_gives_it_back_after_a_kill(make_world, request, monkeypatch, tmp_path, capsys, made):
    world = make_world(None) if made else request.getfixturevalue("owned")
    mesh = IstioMesh(**world.arguments(host="httpbin"))
    mesh.measure(RULES, LOAD)
    kill(mesh)
    elsewhere(monkeypatch, tmp_path)
    assert main(["status"]) == 0
    told = capsys.readouterr().out
    assert f"default/httpbin on {world.api.url} is on loan to " in told
    assert "if that has ended: meshgym doctor --restore default/httpbin" in told
    assert main(["doctor", "--restore", "default/httpbin"]) == 0
    assert world.restored
    assert capsys.readouterr().out == f"DestinationRule default/httpbin on {world.api.url} is as it was found\n"
    assert main(["doctor", "--restore", "default/httpbin"]) == 1
    assert "is not on loan; there is nothing to give back" in capsys.readouterr().err
    assert main(["status", "--namespace", "default", "other"]) == 0
    assert f"nothing is on loan in default on {world.api.url}" in capsys.readouterr().out
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert main(["status"]) == 0
    assert "left by an earlier run: default/httpbin on " in capsys.readouterr().out
    assert main(["doctor", "--restore"]) == 0  # the journal of the killed one
    assert world.restored


def test_status_without_the_right_to_list_or_a_note_that_cannot_be_read(world, capsys):
    world.api.put("default", "httpbin", RULE, annotations={ANNOTATION: "by hand"})
    assert main(["status"]) == 1
    assert "the annotation meshgym/loan can't be read" in capsys.readouterr().err
    with pytest.raises(RestoreError, match="put the DestinationRule right by hand"):
        IstioMesh(**world.arguments())
    world.api.denied.add(("list", "destinationrules"))
    assert main(["status"]) == 1
    assert "cannot list" in capsys.readouterr().err


def test_somebody_elses_change_is_shown_and_overwritten_only_by_force(owned, monkeypatch, tmp_path, capsys):
    mesh = IstioMesh(**owned.arguments())
    mesh.measure(RULES, LOAD)
    kill(mesh)
    elsewhere(monkeypatch, tmp_path)
    theirs = deepcopy(owned.rule)
    theirs["spec"]["trafficPolicy"]["connectionPool"]["tcp"]["maxConnections"] = 4711
    owned.api._store(theirs)
    assert main(["doctor", "--restore", "default/httpbin"]) == 1
    told = capsys.readouterr()
    assert "-      maxConnections: 4711" in told.out
    assert "+      maxConnections: 77" in told.out
    assert "to put that back, add --force" in told.err
    assert owned.rule["spec"] == theirs["spec"]
    assert main(["doctor", "--restore", "default/httpbin", "--force"]) == 0
    assert owned.restored


def test_a_rule_that_was_put_back_by_somebody_else_ends_the_run_and_nothing_is_left(owned, tmp_path):
    mesh = IstioMesh(**owned.arguments())
    mesh.measure(RULES, LOAD)
    back = {**deepcopy(owned.rule), "spec": deepcopy(owned.found["spec"])}
    owned.api._store(back)  # as a GitOps tool does, which leaves annotations that it doesn't know
    with pytest.raises(
        DestinationRuleChangedError, match=r"put .* back as it was found while it was measured; the run"
    ):
        mesh.measure(RULES, LOAD)
    mesh.close()
    assert owned.restored
    assert not list((tmp_path / "state" / "meshgym").glob("*.json"))


def during_the_load(world, monkeypatch, change):
    """Let ``change`` happen while Fortio sends."""
    serve = world.fortio._service

    def service(load):
        change()
        return serve(load)

    monkeypatch.setattr(world.fortio, "_service", service)


def test_a_change_during_the_load_makes_no_row(owned, monkeypatch):
    def change():
        rule = deepcopy(owned.rule)
        rule["spec"]["trafficPolicy"]["connectionPool"]["tcp"]["maxConnections"] = 4711
        owned.api._store(rule)

    during_the_load(owned, monkeypatch, change)
    mesh = IstioMesh(**owned.arguments())
    with pytest.raises((DestinationRuleChangedError, DisturbedError), match="changed"):
        mesh.measure(RULES, LOAD)
    with pytest.raises(DestinationRuleChangedError):
        mesh.measure(RULES, LOAD)
    kill(mesh)


def test_a_change_that_is_back_before_the_load_ends_makes_no_row(owned, monkeypatch):
    owned.lag_s = 0.5

    def change():
        ours, rule = owned.rule, deepcopy(owned.rule)
        rule["spec"]["trafficPolicy"]["connectionPool"]["tcp"]["maxConnections"] = 4711
        owned.api._store(rule)
        owned.api._store(ours)

    during_the_load(owned, monkeypatch, change)
    with (
        IstioMesh(**owned.arguments()) as mesh,
        pytest.raises(DisturbedError, match="changed while the load was sent, and"),
    ):
        mesh.measure(RULES, LOAD)
    assert owned.restored


@pytest.mark.parametrize("what", ["restart", "replace"])
def test_another_sidecar_after_the_load_makes_no_row(world, monkeypatch, what):
    def change():
        if what == "replace":
            world.admin.node = "sidecar~10.0.0.8~fortio-2.default~default.svc.cluster.local"
        else:
            world.admin.started += 3600

    world.admin.started -= 7200
    during_the_load(world, monkeypatch, change)
    with IstioMesh(**world.arguments()) as mesh, pytest.raises(DisturbedError, match="started again, or replaced"):
        mesh.measure(RULES, LOAD)
    assert world.restored


def test_what_the_api_server_prunes_is_refused_and_the_note_still_fits(world, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("mesh.cluster.standins.kubernetes._SPEC", {"host", "subsets"})
    mesh = IstioMesh(**world.arguments())
    with pytest.raises(Exception, match=r"was sent .* and keeps"):
        mesh.measure(RULES, LOAD)
    kill(mesh)
    elsewhere(monkeypatch, tmp_path)
    monkeypatch.undo()
    monkeypatch.setenv("KUBECONFIG", str(world.kubeconfig))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    assert main(["doctor", "--restore", "default/httpbin"]) == 0
    assert world.restored


@pytest.mark.parametrize("host", ["*.example.com", "10.1.2.3", "::1"])
def test_hosts_that_are_no_service(make_world, host):
    world = make_world(None)
    with pytest.raises(InvalidValueError, match=f"host is '{host.replace('*', '.')}'; allowed: (one service|the name)"):
        IstioMesh(**world.arguments(host=host))
    assert not world.rule


def test_the_note_holds_all_that_is_needed(owned):
    with IstioMesh(**owned.arguments()) as mesh:
        mesh.measure(RULES, LOAD)
        note = note_in(owned.rule)
    assert note.found["spec"] == owned.found["spec"]
    for part in ("labels", "annotations", "managedFields"):
        assert note.found["metadata"][part] == owned.found["metadata"][part]
    assert note.since < note.until


def test_what_is_null_stays_null(make_world):
    world = make_world({"host": "httpbin", "trafficPolicy": None, "subsets": None})
    with IstioMesh(**world.arguments()) as mesh:
        mesh.measure(RULES, LOAD)
    assert world.restored
    assert world.rule["spec"] == {"host": "httpbin", "trafficPolicy": None, "subsets": None}


def test_a_cluster_that_keeps_other_managers_is_no_success(owned):
    mesh = IstioMesh(**owned.arguments())
    mesh.measure(RULES, LOAD)
    keep = managed.update

    def forgetful(now, new, manager):
        return [*keep(now, new, manager), keep(None, new, "meshgym")[0]]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(managed, "update", forgetful)
        with pytest.raises(RestoreError, match="the cluster keeps other managers"):
            mesh.close()
    mesh.close()
    assert owned.restored


def test_a_redirect_is_not_followed(world):
    world.api.faults.append(Fault("GET", "httpbin", 302, headers={"Location": "http://127.0.0.1:1/"}))
    with pytest.raises(Exception, match="HTTP 302"):
        IstioMesh(**world.arguments())
