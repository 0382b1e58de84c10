"""The doctor says of every part of a cluster whether it is there; the commands take the cluster by options."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import count

import pytest
from collected import rows_of

from meshgym.cli.main import main
from meshgym.traces.collection import read_collection


def doctor(world, *more):
    return main(["doctor", *world.options(), *more])


def test_all_is_there(world, capsys):
    assert doctor(world) == 0
    said = capsys.readouterr()
    assert not said.err
    for line in (
        f"ok: Kubernetes v1.34.1 at {world.api.url}",
        "ok: all 3 rights are there",
        f"ok: DestinationRule default/httpbin on {world.api.url} can be measured; it is for httpbin",
        "ok: in force: max_connections 77, http2_max_requests 99, load_balancer RANDOM; Envoy 1.40.0 of Istio "
        "1.31.0 with 2 workers, idle connections kept 3600s, http1; the sidecar's workers and idle time are those of "
        "scenario S1",
        f"ok: Fortio responds at {world.fortio.url}/fortio/rest/run, 0 runs under way",
        f"ok: Envoy 1.40.0 at {world.admin.url} reaches outbound|8000||httpbin.default.svc.cluster.local",
    ):
        assert line in said.out.splitlines()
    assert {method for method, path, _ in world.api.asked if "selfsubject" not in path} == {"GET"}
    assert world.restored


def test_a_cluster_can_stand_in_a_file(world, tmp_path, capsys):
    world.accepting = False
    pairs = [option.removeprefix("--").partition("=") for option in world.options()]
    (tmp_path / "cluster.toml").write_text("\n".join(f'{name} = "{value}"' for name, _, value in pairs))
    assert main(["doctor", "--config", str(tmp_path / "cluster.toml")]) == 0
    assert "reaches outbound|8000||httpbin.default.svc.cluster.local" in capsys.readouterr().out


def test_every_part_that_is_missing_is_named(world, capsys):
    del world.api.rules["default", "httpbin"]
    world.api.denied |= {("patch", "destinationrules"), ("create", "pods/portforward")}
    world.fortio.close()
    world.api.admin = None
    assert doctor(world, "--sidecar", "default/fortio") == 1
    said = capsys.readouterr()
    assert said.out == f"ok: Kubernetes v1.34.1 at {world.api.url}\n"
    missing = said.err.splitlines()
    rights = "patch destinationrules in default, create pods/portforward in default"
    assert f"{rights}; see the manifest in docs/how-to/cluster.md" in missing[0]
    assert "allowed: a DestinationRule that exists" in missing[1]
    assert "no Fortio responds at" in missing[2]
    assert "port 15000 of pod default/fortio doesn't respond" in missing[3]
    assert missing[4] == "meshgym: error: 4 of the checks above failed"


def test_a_sidecar_that_is_not_the_scenarios(world, tmp_path, shop_text, capsys):
    (tmp_path / "shop.toml").write_text(f"{shop_text}proxy_workers = 1\nidle_timeout_ms = 50\n")
    assert doctor(world, "--scenario", str(tmp_path / "shop.toml")) == 0
    said = capsys.readouterr().out
    assert "the sidecar isn't that of scenario shop: it has 2 workers, not 1: each opens connections of its own" in said
    assert "it keeps idle connections for 3600 s, not 0.05 s" in said


@pytest.mark.parametrize("replicas", [[], ["UNHEALTHY", "DRAINING"]])
def test_a_service_without_a_ready_replica(world, capsys, replicas):
    world.admin.replicas = replicas
    assert doctor(world) == 1
    assert "host is 'httpbin'; allowed: a service with a ready replica" in capsys.readouterr().err
    assert not world.sent


def test_requests_of_others_are_refused_or_accepted(world, tmp_path, shop_text, capsys):
    world.admin.requests = count()
    assert doctor(world) == 1
    assert "besides ours is 1; allowed: none" in capsys.readouterr().err
    assert main(collect(world, tmp_path, shop_text)) == 2
    assert not world.sent
    assert main(collect(world, tmp_path, shop_text, "--accept=traffic")) == 0


def test_making_a_rule_needs_more_rights(make_world, capsys):
    world = make_world(None)
    world.api.denied.add(("delete", "destinationrules"))
    assert doctor(world, "--new-rule-for", "httpbin") == 1
    assert "rights are missing: delete destinationrules in default;" in capsys.readouterr().err


def test_no_cluster_at_all(world, capsys):
    world.kubeconfig.unlink()
    assert doctor(world) == 1
    assert "meshgym: error: no cluster" in capsys.readouterr().err


def test_without_the_packages(world, capsys, monkeypatch):
    for module in (
        "meshgym.mesh.cluster.api",
        "meshgym.mesh.cluster.mesh",
        "meshgym.mesh.cluster.borrow",
        "meshgym.mesh.cluster.sidecar",
    ):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    assert doctor(world) == 1
    assert "pip install 'meshgym[cluster]'" in capsys.readouterr().err


NEEDED = ["--fortio", "http://x/", "--target", "http://y/", "--sidecar", "http://z/"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--destination-rule", "httpbin", *NEEDED], "'httpbin'; allowed: NAMESPACE/NAME, both of them"),
        (["--destination-rule", "default/", *NEEDED], "allowed: NAMESPACE/NAME, both of them"),
        (["--destination-rule", "default/httpbin", "--fortio", "http://x/"], "--target is ''; allowed: a value"),
        (["--fortio", "http://x/", "--dry-run"], "allowed: NAMESPACE/NAME. For a cluster: --fortio, --dry-run."),
    ],
)
@pytest.mark.parametrize("command", ["doctor", "collect"])
def test_options_that_will_not_do(command, options, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([command, *options]) == 2
    assert message in capsys.readouterr().err


def collect(world, tmp_path, shop_text, *more):
    (tmp_path / "shop.toml").write_text(shop_text)
    scenario = ["--scenario", str(tmp_path / "shop.toml"), "--rows", "4", "--out", str(tmp_path / "rows")]
    return ["collect", *scenario, *world.options(), *more]


def test_rules_in_force_that_do_not_vary_are_refused_or_accepted_and_recorded(world, tmp_path, shop_text, capsys):
    world.accepting = False
    assert main(collect(world, tmp_path, shop_text)) == 2
    said = capsys.readouterr().err
    assert "{'http2_max_requests': 99, 'load_balancer': 'RANDOM'}" in said
    assert "--accept http2_max_requests load_balancer" in said
    assert not world.sent
    assert main(collect(world, tmp_path, shop_text, "--accept", "http2_max_request")) == 2
    assert "Did you mean 'http2_max_requests'?" in capsys.readouterr().err
    world.accepting = True
    assert main(collect(world, tmp_path, shop_text)) == 0
    about, _ = read_collection(tmp_path / "rows" / "collection.db")
    assert about["service"]["in_force"] == {"http2_max_requests": 99, "load_balancer": 1}
    world.rule["spec"]["trafficPolicy"]["connectionPool"]["http"]["http2MaxRequests"] = 98
    assert main(collect(world, tmp_path, shop_text)) == 1
    assert "holds a collection with service" in capsys.readouterr().err


@contextmanager
def collecting(world, tmp_path, shop_text):
    """A long collection in a process of its own, two runs of it done."""
    command = [sys.executable, "-m", "meshgym", *collect(world, tmp_path, shop_text, "--rows", "400")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while len(world.sent) < 2:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        yield process


def test_collecting_in_a_cluster(world, tmp_path, shop_text, capsys):
    assert main(collect(world, tmp_path, shop_text, "--max-calls", "100000")) == 0
    assert len(rows_of(tmp_path / "rows")) == 4
    assert (
        main(collect(world, tmp_path, shop_text, "--rows", "40", "--max-calls", "200", "--out", f"{tmp_path}/2")) == 2
    )
    assert "max_calls=200" in capsys.readouterr().err
    assert world.restored


def test_a_limit_of_nothing_is_no_missing_limit(world, tmp_path, shop_text, capsys):
    for limit, least in {"--max-qps": "> 0", "--max-calls": ">= 1", "--max-calls-per-step": ">= 1"}.items():
        assert main(collect(world, tmp_path, shop_text, limit, "0")) == 2
        assert f'" for {limit}. Must be {least}.' in capsys.readouterr().err
    assert not world.sent


@pytest.mark.slow
def test_a_collection_stops_where_somebody_else_changes_the_rule(world, tmp_path, shop_text):
    with collecting(world, tmp_path, shop_text) as process:
        theirs = world.api.put("default", "httpbin", {"host": "httpbin", "trafficPolicy": {}})
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.count("meshgym: error: somebody else changed DestinationRule default/httpbin") == 1
    assert "Traceback" not in said
    assert world.rule == theirs
    assert rows_of(tmp_path / "rows")


def test_a_dry_run_of_a_command(world, tmp_path, shop_text, capsys):
    assert main(collect(world, tmp_path, shop_text, "--dry-run")) == 0
    assert "A dry run: nothing was sent" in capsys.readouterr().out
    assert {method for method, *_ in world.api.asked} == {"GET"}
    assert not world.fortio.asked


@pytest.mark.slow
def test_a_collection_that_is_stopped_puts_the_rule_back(world, tmp_path, shop_text):
    with collecting(world, tmp_path, shop_text) as process:
        assert not world.restored
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "the same command goes on from it" in said
    assert world.restored
    assert rows_of(tmp_path / "rows")
