"""The section [service] of a scenario: replicas of limited capacity, or a URL."""

import json

import pytest

from meshgym.errors import InvalidValueError
from meshgym.scenarios import load_scenario
from meshgym.service.own import OwnService, read_service, to_table
from meshgym.service.profile import Fault, ServiceProfile

PLAIN = {"replicas": 3, "service_time_ms": 5, "burst": 10, "rate_per_s": 100}
URL = "http://127.0.0.1:8080/get?a=1"


@pytest.mark.parametrize(
    "table",
    [
        PLAIN,
        {**PLAIN, "service_time_ms": 2.25, "network_delay_ms": 0.5},
        {**PLAIN, "faults": [{"kind": "status", "status": 502, "replicas": 2, "after_s": 1.5, "for_s": 2}]},
        {"url": URL},
        {"url": [URL, "http://127.0.0.1:8081/get?a=1"], "method": "POST", "body": "hi", "status": [200, 201]},
        {"url": "http://127.0.0.1:1/x.Y/Z", "protocol": "grpc", "body_base64": "CAE=", "headers": {"a": "${TOKEN}"}},
    ],
)
def test_a_section_survives_the_way_through_json(table):
    service = read_service(table)
    assert read_service(json.loads(json.dumps(to_table(service)))) == service


def test_a_url_makes_it_the_users_own():
    assert isinstance(read_service(PLAIN), ServiceProfile)
    assert isinstance(read_service({"url": URL}), OwnService)


def test_what_nobody_set_is_not_in_provenances_so_earlier_collections_go_on():
    assert set(to_table(load_scenario("S1").service)) == {
        *PLAIN,
        *("mtls", "network_delay_ms", "proxy_workers", "idle_timeout_ms"),
        *("weak_replicas", "weakness", "standby_replicas", "spread_ms"),
    }


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"faults": [{"kind": "tired"}]}, r"service.faults.kind.*dead, hanging, slow, status"),
        ({"faults": [{"kind": "status", "status": 200}]}, r"service.faults.status is 200; allowed: a whole number 400"),
        ({"faults": [{"kind": "dead", "after_s": 1}]}, r"dead from start to end"),
        ({"faults": [{"kind": "dead", "replicas": 4}]}, r"4 replicas.*at most the 3"),
        ({"faults": [{"kind": "slow", "sigma": float("nan")}]}, r"service.faults.sigma is nan"),
        ({"faults": [{"sort": "slow"}]}, r"section \[service.faults\].*keys out of"),
        ({"faults": [{}]}, r"section \[service.faults\].*kind"),
        ({"client_timeout_ms": -1}, r"service.client_timeout_ms is -1"),
        ({"service_time_ms": -0.5}, r"service.service_time_ms is -0.5; allowed: a number of milliseconds 0..1000"),
        ({"spread_ms": float("nan")}, r"service.spread_ms is nan"),
        ({"network_delay_ms": True}, r"service.network_delay_ms is True"),
    ],
)
def test_profiles_that_cannot_be(table, said):
    with pytest.raises(InvalidValueError, match=said):
        read_service({**PLAIN, **table})


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"url": []}, "1..64 URLs"),
        ({"url": "ftp://127.0.0.1/"}, "http or https"),
        ({"url": "http://me:secret@127.0.0.1/"}, "without user and password"),
        ({"url": [URL, "http://127.0.0.1:8081/other"]}, "same path"),
        ({"url": [URL, "https://127.0.0.1:8081/get?a=1"]}, "same scheme"),
        ({"status": 503}, "stands for overload"),
        ({"status": 100}, "200..599"),
        ({"method": "GET /"}, "a method of HTTP"),
        ({"headers": {"Host": "a"}}, "a header's name, but host"),
        ({"headers": {"x-meshgym-run": "1"}}, "a header's name"),
        ({"headers": {"a": "b\r\nc: d"}}, "text of one line"),
        ({"headers": "a: b"}, "names and values"),
        ({"body": 3}, "text"),
        ({"body": "a", "body_base64": "YQ=="}, "one of them"),
        ({"body_base64": "#"}, "Base64"),
        ({"protocol": "http3"}, "service.protocol.*grpc"),
        ({"replicas": 3}, "keys out of"),
    ],
)
def test_urls_and_requests_that_cannot_be(table, said):
    with pytest.raises(InvalidValueError, match=said):
        read_service({"url": URL, **table})


def test_headers_hold_no_secrets_but_the_environment_does(monkeypatch):
    service = OwnService(url=(URL,), headers={"authorization": "Bearer ${MESHGYM_TEST_TOKEN}"})
    monkeypatch.setenv("MESHGYM_TEST_TOKEN", "abc")
    assert service.expanded_headers() == {"authorization": "Bearer abc"}
    assert "abc" not in json.dumps(to_table(service))
    for value in ("a\nb", None):
        if value is None:
            monkeypatch.delenv("MESHGYM_TEST_TOKEN")
        else:
            monkeypatch.setenv("MESHGYM_TEST_TOKEN", value)
        with pytest.raises(InvalidValueError, match="MESHGYM_TEST_TOKEN") as found:
            service.expanded_headers()
        assert "\n" not in str(found.value)


def test_a_fault_is_a_fault():
    assert ServiceProfile(**PLAIN, faults=({"kind": "hanging"},)).faults == (Fault(kind="hanging"),)
