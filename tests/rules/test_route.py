"""The rules that stand in a VirtualService."""

import yaml

from meshgym.fields import OF_ROUTE
from meshgym.rules.policy import traffic_policy
from meshgym.rules.route import route_headers, route_rules, virtual_service
from meshgym.types import TrafficRules

ALL = TrafficRules(
    max_connections=5, route_timeout_s=1.5, retry_attempts=0, retry_per_try_timeout_s=0.25, retry_on="gateway-error"
)


def test_envoy_gets_them_with_each_request():
    assert route_headers(ALL) == {
        "x-envoy-upstream-rq-timeout-ms": "1500",
        "x-envoy-max-retries": "0",
        "x-envoy-upstream-rq-per-try-timeout-ms": "250",
        "x-envoy-retry-on": "gateway-error",
        "x-forwarded-for": "127.0.0.1",
    }
    assert route_headers(TrafficRules(max_connections=5, retry_on="DEFAULT")) == {}


def test_a_cluster_gets_them_as_a_virtual_service():
    made = virtual_service(ALL, "shop", "market", "shop.market.svc")
    assert yaml.safe_load(yaml.safe_dump(made))["spec"] == {
        "hosts": ["shop.market.svc"],
        "http": [
            {
                "timeout": "1.5s",
                "retries": {"attempts": 0, "perTryTimeout": "0.25s", "retryOn": "gateway-error"},
                "route": [{"destination": {"host": "shop.market.svc"}}],
            }
        ],
    }
    assert virtual_service(TrafficRules(max_connections=5, retry_on=0), "shop", "market", "shop") is None


def test_the_two_parts_are_the_whole():
    assert set(route_rules(ALL).to_dict()) == set(OF_ROUTE)
    assert traffic_policy(ALL) == {"connectionPool": {"tcp": {"maxConnections": 5}}}
