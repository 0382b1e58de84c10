"""Load tests that people have become trace sets: two versions of each tool, and one line for what can't be used."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from meshgym.cli.main import main
from meshgym.errors import InvalidValueError, TraceError
from meshgym.scenarios import load_scenario
from meshgym.simulator.training import fit_simulator
from meshgym.testing import FakeMesh
from meshgym.traces.imports import Given, read_run
from meshgym.traces.store import load_traces, read_provenance
from meshgym.types import Load, TrafficRules

RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: shop}}
spec:
  host: shop
  trafficPolicy:
    connectionPool:
      tcp: {{maxConnections: {max_connections}}}
      http: {{http1MaxPendingRequests: {pending}, maxRequestsPerConnection: 2}}
    outlierDetection: {{consecutive5xxErrors: 1, interval: 0.2s, baseEjectionTime: 180s, maxEjectionPercent: 30}}
"""


def fortio(errors: bool, ok: int = 90, failed: int = 10, threads: int = 4, qps: Any = "max") -> dict[str, Any]:
    """A result of Fortio 1.75 with the times of errors, or of 1.17 without."""
    calls = ok + failed
    every = [{"Start": 0.001, "End": 0.002, "Count": failed}, {"Start": 0.01, "End": 0.02, "Count": ok}]
    found = {
        "RunType": "HTTP",
        "RequestedQPS": qps,
        "ActualQPS": 200.0,
        "ActualDuration": calls * 5_000_000,
        "NumThreads": threads,
        "Version": "1.75.1" if errors else "1.17.1",
        "DurationHistogram": {"Count": calls, "Data": [one for one in every if one["Count"]]},
        "RetCodes": {"200": ok, **({"503": failed} if failed else {})},
    }
    return {**found, **({"ErrorsDurationHistogram": {"Count": failed, "Data": every[:1]}} if errors else {})}


def k6(nested: bool, failed: int = 0) -> dict[str, Any]:
    """The object of k6's handleSummary, or the flatter file of --summary-export."""
    times = {"avg": 20.0, "med": 15.0, "p(90)": 40.0, "p(95)": 50.0, "p(99)": 80.0}
    metrics: dict[str, Any] = {
        "http_reqs": {"count": 400, "rate": 123.4},
        "http_req_failed": {"rate" if nested else "value": failed / 400, "passes": failed, "fails": 400 - failed},
        "http_req_duration": {**times, "p(99)": 90.0},
        "http_req_duration{expected_response:true}": times,
        "vus": {"value": 3, "min": 1, "max": 8},
        "vus_max": {"value": 8, "min": 8, "max": 8},
    }
    if nested:
        metrics = {name: {"type": "trend", "contains": "default", "values": one} for name, one in metrics.items()}
    return {"metrics": metrics, "root_group": {}}


def vegeta(new: bool, failed: int = 0) -> dict[str, Any]:
    latencies = {"mean": 2e7, "50th": 15_000_000, "95th": 40_000_000, "99th": 80_000_000, "max": 9e7}
    return {
        "latencies": {**latencies, **({"90th": 30_000_000, "min": 1e6, "total": 8e9} if new else {})},
        "duration": 3_990_000_000,
        "wait": 10_000_000,
        "requests": 400,
        "rate": 100.25,
        "success": 1 - failed / 400,
        "status_codes": {"200": 400 - failed, **({"503": failed} if failed else {})},
        "errors": [],
    }


def locust(new: bool, failed: int = 0) -> str:
    header = "Type,Name,Request Count,Failure Count,Median Response Time,Average Response Time,Requests/s,Failures/s"
    header += ",50%,66%,90%,95%,99%" + (",99.9%,99.99%,100%" if new else ",100%")
    tail = "15,18,40,50,80" + (",90,95,99" if new else ",99")
    name = "Aggregated"
    return f"{header}\nGET,/get,400,{failed},15,20,100.5,0,{tail}\n,{name},400,{failed},15,20,100.5,0,{tail}\n"


def written(folder, content, name="run.json"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("errors", [False, True])
def test_fortio(errors, tmp_path):
    tool, run = read_run(written(tmp_path, fortio(errors)), Given())
    assert tool == "Fortio"
    assert (run["threads"], run["calls"], run["qps"], run["p200"], run["p503"]) == (4, 100, 200, 0.9, 0.1)
    assert ("latency_p50_s" in run) == errors
    assert not errors or run["latency_p50_s"] == pytest.approx(0.015)
    assert read_run(written(tmp_path, fortio(errors, qps="50")), Given())[1]["rate_per_s"] == 50
    assert "latency_p90_s" in read_run(written(tmp_path, fortio(errors, failed=0)), Given())[1]


@pytest.mark.parametrize("nested", [False, True])
def test_k6(nested, tmp_path):
    tool, run = read_run(written(tmp_path, k6(nested)), Given())
    assert tool == "k6"
    assert (run["threads"], run["calls"], run["qps"], run["p200"]) == (8, 400, 123.4, 1)
    assert (run["latency_p50_s"], run["latency_p99_s"]) == (0.015, 0.08)
    path = written(tmp_path, k6(nested, failed=40))
    with pytest.raises(InvalidValueError, match=r"run\.json: status of failed calls is 40; allowed: --failures"):
        read_run(path, Given())
    assert read_run(path, Given(failures="503"))[1]["p503"] == 0.1
    assert read_run(path, Given(failures="other"))[1]["other_error"] == 40
    assert read_run(path, Given(rate_per_s=120, failures="503"))[1]["rate_per_s"] == 120


@pytest.mark.parametrize("new", [False, True])
def test_vegeta(new, tmp_path):
    tool, run = read_run(written(tmp_path, vegeta(new)), Given())
    assert tool == "vegeta"
    assert (run["rate_per_s"], run["calls"], run["qps"], run["p200"]) == (100.25, 400, 100, 1)
    assert ("latency_p90_s" in run) == new
    failing = read_run(written(tmp_path, vegeta(new, failed=100)), Given())[1]
    assert failing["p503"] == 0.25
    assert "latency_p50_s" not in failing  # vegeta's times are those of all calls


@pytest.mark.parametrize("new", [False, True])
def test_locust(new, tmp_path):
    path = written(tmp_path, locust(new), "run_stats.csv")
    with pytest.raises(InvalidValueError, match=r"run_stats\.csv: threads is None; allowed: --threads or --rate"):
        read_run(path, Given())
    tool, run = read_run(path, Given(threads=5))
    assert tool == "Locust"
    assert (run["threads"], run["calls"], run["qps"], run["latency_p99_s"]) == (5, 400, 100.5, 0.08)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.json", "nothing"),
        ("run.json", "[]"),
        ("run.json", '{"state": {}}'),
        ("run.json", {**fortio(True), "RetCodes": {}}),
        ("run.json", {**fortio(True), "ActualQPS": "fast"}),
        ("run.json", {"metrics": {}}),
        ("run.json", {**vegeta(True), "requests": 0}),
        ("run.json", {**vegeta(True), "status_codes": {"200": 999}}),
        ("run.csv", "a,b\n1,2\n"),
        ("run.csv", "Name,# requests\nTotal,4\n"),
        ("none.json", None),
    ],
)
def test_what_cannot_be_used_is_one_line(name, content, tmp_path):
    path = tmp_path / name if content is None else written(tmp_path, content, name)
    with pytest.raises(TraceError, match=name):
        read_run(path, Given(threads=4))


def test_twenty_results_become_a_simulator(tmp_path, monkeypatch, capsys, shop_text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.toml").write_text(shop_text)
    generator, files = np.random.default_rng(0), []
    for number in range(24):
        pending, connections, threads = generator.integers([1, 1, 1], [5, 4, 5]).tolist()
        rules = TrafficRules(pending, connections, 2, 180, 30, 0.2, 1)
        response = FakeMesh().measure(rules, Load(threads, 60))
        document = fortio(True, round(60 * response.p200), 60 - round(60 * response.p200), threads)
        document["ActualQPS"] = float(response.qps)
        files.append(str(written(tmp_path, document, f"run{number}.json").name))
        (tmp_path / f"run{number}.yaml").write_text(RULE.format(pending=pending, max_connections=connections))
    assert main(["import", *files, "--scenario", "shop.toml", "--out", "mine.parquet"]) == 0
    traces = load_traces("mine.parquet")
    assert len(traces) == 24
    assert read_provenance("mine.parquet")["imported"][0] == {"file": "run0.json", "tool": "Fortio"}
    simulator = fit_simulator(traces, load_scenario("shop.toml"))
    assert simulator.identity.metrics["rows_train"] > 15


def test_a_rule_or_a_pace_of_another_scenario(tmp_path, monkeypatch, capsys, shop_text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.toml").write_text(shop_text)
    written(tmp_path, vegeta(True))
    (tmp_path / "run.yaml").write_text(RULE.format(pending=1, max_connections=1))
    assert main(["import", "run.json", "--scenario", "shop.toml"]) == 2
    assert "pace of run.json is 'rate_per_s'; allowed: threads" in " ".join(capsys.readouterr().err.split())
    written(tmp_path, fortio(True))
    assert main(["import", "run.json", "--scenario", "shop.toml", "--rules", "none.yaml"]) == 1
    assert "none.yaml" in capsys.readouterr().err
    assert not (tmp_path / "traces.csv").exists()
    with pytest.raises(InvalidValueError, match="one of them"):
        Given(threads=3, rate_per_s=2.0)
