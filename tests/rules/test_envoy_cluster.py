"""The translation is istiod's, field by field."""

import pytest
from rules.golden import CASES, choice, plain

from meshgym.rules.envoy_cluster import envoy_cluster
from meshgym.rules.policy import policy_in_force


def defaults_away(cluster):
    """Envoy's dump leaves out what is a protobuf default: a panic threshold of 0, round robin."""
    cluster = plain(cluster)
    if not cluster["common_lb_config"]["healthy_panic_threshold"].get("value"):
        cluster["common_lb_config"]["healthy_panic_threshold"] = {}
    if cluster.get("lb_policy") == "ROUND_ROBIN":
        del cluster["lb_policy"]
    return cluster


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_cluster_is_what_istiod_makes_of_the_rule(case):
    chosen, mesh = choice(case), case.get("mesh_config") or {}
    policy = policy_in_force(
        case["destination_rule"]["spec"], chosen["subset"], chosen["port"], mesh.get("defaultTrafficPolicy")
    )
    made = envoy_cluster(
        policy,
        case["cluster"]["name"],
        protocol=chosen["protocol"],
        connect_timeout=mesh.get("connectTimeout", "10s"),
        discovery=chosen["discovery"],
    )
    assert defaults_away(made) == defaults_away(case["cluster"])
