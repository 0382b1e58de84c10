"""Rule files in the style of what people publish: read as Kubernetes and istiod read them, or refused as they do."""

import pytest

from meshgym.errors import FileError, InvalidValueError, MeshGymError, UnknownNameError
from meshgym.rules.destination_rule import choose, read_file, read_manifest
from meshgym.rules.policy import traffic_rules

HEAD = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: shop, namespace: market}\n"


def rule(spec, head=HEAD):
    return f"{head}spec:\n" + "\n".join(f"  {line}" for line in spec.strip().splitlines())


def policy(text):
    return rule(f"host: shop\ntrafficPolicy: {text}")


#: What is read, and fields that are in force then.
READ = {
    "istio's circuit breaking task": (policy(
        "{connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1, maxRequestsPerConnection: 1}}, "
        "outlierDetection: {consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 3m, maxEjectionPercent: 100}}"),
        {"max_connections": 1, "base_ejection_time_s": 180}),
    "istio's API example": (policy(
        "{connectionPool: {tcp: {maxConnections: 100}, http: {http2MaxRequests: 1000, maxRequestsPerConnection: 10}}, "
        "outlierDetection: {consecutive5xxErrors: 7, interval: 5m, baseEjectionTime: 15m}}"),
        {"http2_max_requests": 1000, "interval_s": 300, "max_ejection_percent": 10}),
    "redis with keepalive": (policy(
        "{connectionPool: {tcp: "
        "{maxConnections: 100, connectTimeout: 30ms, tcpKeepalive: {time: 7200s, interval: 75s}}}}"),
        {"connect_timeout_s": 0.03, "tcp_keepalive_time_s": 7200}),
    "only tls": (policy("{tls: {mode: ISTIO_MUTUAL}}"), {"max_connections": 2**31 - 1}),
    "mutual tls with files": (policy("{tls: {mode: MUTUAL, clientCertificate: /a.pem, privateKey: /b, sni: x}}"), {}),
    "round robin": (policy("{loadBalancer: {simple: ROUND_ROBIN}}"), {"load_balancer": 2}),
    "least conn, deprecated": (policy("{loadBalancer: {simple: LEAST_CONN}}"), {"load_balancer": 0}),
    "cookie hash": (policy("{loadBalancer: {consistentHash: {httpCookie: {name: user, ttl: 0s}}}}"), {}),
    "header hash": (policy("{loadBalancer: {consistentHash: {httpHeaderName: x-user}}}"), {}),
    "ring hash": (policy("{loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 64}}}}"), {}),
    "maglev": (policy("{loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 65537}}}}"), {}),
    "locality failover": (policy(
        "{loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {enabled: true, failover: [{from: a, to: b}]}}, "
        "outlierDetection: {consecutive5xxErrors: 1}}"), {"consecutive_5xx_errors": 1}),
    "locality weights": (policy(
        "{loadBalancer: {localityLbSetting: {distribute: [{from: 'a/*', to: {'a/*': 80, 'b/*': 20}}]}}}"), {}),
    "warmup": (policy("{loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 30s, aggression: 1.5}}}"),
               {"warmup_duration_s": 30, "warmup_aggression": 1.5}),
    "warmup of old": (policy("{loadBalancer: {simple: ROUND_ROBIN, warmupDurationSecs: 30s}}"), {}),
    "retry budget": (policy("{retryBudget: {percent: 25.5, minRetryConcurrency: 4}}"), {"retry_budget_percent": 25.5}),
    "gateway errors": (policy("{outlierDetection: {consecutiveGatewayErrors: 5}}"), {"consecutive_gateway_errors": 5}),
    "empty outlier detection": (policy("{outlierDetection: {}}"), {"consecutive_5xx_errors": 5}),
    "no outlier detection": (policy("{connectionPool: {http: {}}}"), {"consecutive_5xx_errors": 0}),
    "null is Envoy's 5": (policy("{outlierDetection: {consecutive5xxErrors: null}}"), {"consecutive_5xx_errors": 5}),
    "null policy": (policy("null"), {"consecutive_5xx_errors": 0}),
    "largest uint32": (policy("{outlierDetection: {consecutive5xxErrors: 4294967295}}"),
                       {"consecutive_5xx_errors": 4294967295}),
    "zero is no limit": (policy("{connectionPool: {tcp: {maxConnections: 0}}}"), {"max_connections": 2**31 - 1}),
    "signed duration": (policy("{outlierDetection: {interval: +5s}}"), {"interval_s": 5}),
    "compound duration": (policy("{outlierDetection: {baseEjectionTime: 1m30s500ms}}"), {"base_ejection_time_s": 90.5}),
    "idle never": (policy("{connectionPool: {tcp: {idleTimeout: 0s}}}"), {"tcp_idle_timeout_s": 0}),
    "apart": (policy("{outlierDetection: {splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 3}}"),
              {"consecutive_local_origin_failures": 3}),
    "codes": (policy("{outlierDetection: {outlierDetectionHttpErrorCodes: [429, 503]}}"), {}),
    "proxy protocol": (policy("{proxyProtocol: {version: V2}}"), {}),
    "tunnel": (policy("{tunnel: {protocol: CONNECT, targetHost: x.y, targetPort: 443}}"), {}),
    "no policy": (rule("host: shop"), {}),
    "subsets": (rule("host: shop\nsubsets:\n- {name: v1, labels: {version: v1}}\n- {name: v2, labels: {v: v2}}"), {}),
    "the one subset with limits": (rule(
        "host: shop\n"
        "subsets:\n- {name: v1, trafficPolicy: {connectionPool: {tcp: {maxConnections: 2}}}}\n- {name: v2}"),
        {"max_connections": 2}),
    "the one port with limits": (policy(
        "{portLevelSettings: [{port: {number: 80}, connectionPool: {tcp: {maxConnections: 3}}}]}"),
        {"max_connections": 3}),
    "exported": (rule("host: shop\nexportTo: ['.']\nworkloadSelector: {matchLabels: {app: a}}"), {}),
    "full host with a dot": (rule("host: shop.market.svc.cluster.local."), {}),
    "upper case": (rule("host: Shop.Market"), {}),
    "wildcard": (rule("host: '*.market.svc.cluster.local'"), {}),
    "any host": (rule("host: '*'"), {}),
    "without name": (rule("host: shop", "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n"), {}),
    "as kubectl get gives it": (rule("host: shop", HEAD.replace(
        "{name: shop, namespace: market}",
        "{name: shop, namespace: market, uid: a, resourceVersion: '7', generation: 2, creationTimestamp: "
        "'2026-01-01T00:00:00Z', managedFields: [{manager: kubectl}], annotations: {a: b}}")) + "\nstatus: {}\n", {}),
    "v1alpha3": (rule("host: shop", HEAD.replace("/v1\n", "/v1alpha3\n")), {}),
    "v1beta1": (rule("host: shop", HEAD.replace("/v1\n", "/v1beta1\n")), {}),
    "a List": ("apiVersion: v1\nkind: List\nitems:\n- " + policy("{outlierDetection: {}}").replace("\n", "\n  "),
               {"consecutive_5xx_errors": 5}),
    "with other objects": (policy("{outlierDetection: {}}") + "\n---\nkind: Service\napiVersion: v1\n---\n", {}),
    "JSON": ('{"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "a"}, '
             '"spec": {"host": "b", "trafficPolicy": {"connectionPool": {"tcp": {"maxConnections": 4}}}}}',
             {"max_connections": 4}),
    "comments and quotes": (policy("{connectionPool: {tcp: {maxConnections: 4, connectTimeout: '5s'}}} # why"),
                            {"connect_timeout_s": 5}),
}  # fmt: skip

#: What is refused, and the reason.
REFUSED = {
    "quoted number": (policy("{connectionPool: {tcp: {maxConnections: '5'}}}"), "Remove the quotes"),
    "negative": (policy("{connectionPool: {tcp: {maxConnections: -1}}}"), "maxConnections is -1"),
    "beyond int32": (policy("{connectionPool: {http: {http2MaxRequests: 2147483648}}}"), "0..2147483647"),
    "fraction": (policy("{connectionPool: {http: {maxRetries: 1.5}}}"), "a whole number"),
    "boolean for a number": (policy("{connectionPool: {http: {maxRetries: yes}}}"), "a whole number"),
    "number for a boolean": (policy("{connectionPool: {http: {useClientProtocol: 1}}}"), "true or false"),
    "percent": (policy("{outlierDetection: {maxEjectionPercent: 101}}"), "0..100"),
    "percent sign": (policy("{outlierDetection: {maxEjectionPercent: 50%}}"), "a whole number"),
    "consecutiveErrors": (policy("{outlierDetection: {consecutiveErrors: 5}}"), "consecutive5xxErrors"),
    "misspelt": (policy("{outlierDetection: {consecutive5xxError: 5}}"), "Did you mean 'consecutive5xxErrors'"),
    "misspelt gateway": (policy("{outlierDetection: {consecutiveGatewayError: 5}}"), "'consecutiveGatewayErrors'"),
    "in the wrong place": (policy("{connectionPool: {http: {maxConnections: 5}}}"), "belongs into connectionPool.tcp"),
    "case": (policy("{connectionPool: {tcp: {maxconnections: 5}}}"), "Did you mean 'maxConnections'"),
    "duration without unit": (policy("{outlierDetection: {interval: 10}}"), "a string with units"),
    "duration with a space": (policy("{outlierDetection: {interval: 10 s}}"), "a string with units"),
    "negative duration": (policy("{outlierDetection: {interval: -3s}}"), "at least 1ms"),
    "duration too short": (policy("{outlierDetection: {interval: 500us}}"), "at least 1ms"),
    "duration too fine": (policy("{connectionPool: {tcp: {connectTimeout: 1.5ms}}}"), "whole milliseconds"),
    "duration too long": (policy("{connectionPool: {tcp: {connectTimeout: 2600000h}}}"), "292 years"),
    "date": (policy("{outlierDetection: {interval: 2020-01-01}}"), "a string with units"),
    "base 60": (policy("{connectionPool: {tcp: {maxConnections: 1:30}}}"), "a whole number"),
    "empty policy": (policy("{}"), "at least one part"),
    "empty pool": (policy("{connectionPool: {}}"), "tcp or http"),
    "list for a mapping": (policy("[]"), "a mapping"),
    "local failures not apart": (policy("{outlierDetection: {consecutiveLocalOriginFailures: 3}}"), "splitExternal"),
    "upgrade and client protocol": (policy(
        "{connectionPool: {http: {h2UpgradePolicy: UPGRADE, useClientProtocol: true}}}"), "useClientProtocol"),
    "unknown balancer": (policy("{loadBalancer: {simple: FASTEST}}"), "FASTEST"),
    "two balancers": (policy("{loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}}"), "not both"),
    "warmup without duration": (policy("{loadBalancer: {warmup: {aggression: 2}}}"), "duration"),
    "port without number": (policy("{portLevelSettings: [{outlierDetection: {}}]}"), "a port's number"),
    "port empty": (policy("{portLevelSettings: [{port: {number: 80}}]}"), "at least one part"),
    "subset without name": (rule("host: shop\nsubsets: [{labels: {a: b}}]"), "a name"),
    "subset twice": (rule("host: shop\nsubsets: [{name: a}, {name: a}]"), "no other subset"),
    "IP address": (rule("host: 10.0.0.1"), "no IP address"),
    "URL": (rule("host: http://shop"), "the name of a service"),
    "no host": (rule("trafficPolicy: {outlierDetection: {}}"), "spec.host"),
    "no spec": (HEAD, "spec"),
    "key twice": (policy("{outlierDetection: {interval: 1s, interval: 2s}}"), "stands twice"),
    "alias": ("a: &a 1\nb: *a\n", "no aliases"),
    "tab": ("kind:\tDestinationRule\n\tspec: 1\n", "YAML"),
    "other version": (rule("host: shop", HEAD.replace("istio.io/v1", "istio.io/v2")), "apiVersion"),
    "no kind": ("spec: {}", "kind"),
    "upper-case name": (rule("host: shop", HEAD.replace("name: shop", "name: Shop")), "metadata.name"),
    "no rule at all": ("kind: Service\napiVersion: v1\n", "DestinationRule"),
    "two rules": (rule("host: a") + "\n---\n" + rule("host: b"), "Choose one with --host"),
}  # fmt: skip


def test_there_are_enough():
    assert len(READ) + len(REFUSED) >= 60


@pytest.mark.parametrize("name", READ)
def test_it_is_read(name):
    text, expected = READ[name]
    found = traffic_rules(choose(read_manifest(text)).policy).to_dict()
    assert {field: found[field] for field in expected} == expected


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_the_reason(name):
    text, reason = REFUSED[name]
    with pytest.raises(InvalidValueError) as error:
        choose(read_manifest(text))
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_what_was_taken_although_nobody_chose_it_is_said():
    assert choose(read_manifest(READ["the one subset with limits"][0])).said == (
        "took subset v1, because the rule limits nothing else",
    )
    assert choose(read_manifest(READ["the one port with limits"][0])).port == 80
    assert "took market/shop" in choose(read_manifest(READ["with other objects"][0])).said[0]


def test_a_choice_among_several():
    text = rule("host: a.b") + "\n---\n" + rule("host: c.d")
    assert choose(read_manifest(text), host="a.b").rule.host == "a.b"
    assert choose(read_manifest(text), host="c").rule.host == "c.d"
    for wrong in ({"host": "x"}, {"host": "a", "subset": "v9"}, {"host": "a", "port": 9}):
        with pytest.raises(InvalidValueError):
            choose(read_manifest(text), **wrong)


@pytest.mark.parametrize(
    ("field", "since"), [("retryBudget: {percent: 5}", "1.27"), ("loadBalancer: {warmup: {duration: 5s}}", "1.24")]
)
def test_a_field_that_an_istio_does_not_have_says_since_when_it_is_there(field, since):
    text = policy(f"{{{field}}}")
    assert read_manifest(text, since).rules
    with pytest.raises(InvalidValueError, match=f"since {since}"):
        read_manifest(text, "1.23")
    with pytest.raises(InvalidValueError, match=r"such as 1\.30"):
        read_manifest(text, "latest")


def test_files_that_would_fill_the_memory_are_refused_at_once(tmp_path):
    path = tmp_path / "rule.yaml"
    bomb = "a: &a [x,x]\n" + "".join(f"b{i}: &b{i} [*{'a' if not i else f'b{i - 1}'},*a]\n" for i in range(30))
    for text in ("#" + "x" * 50_000_000, bomb, "[" * 5000, "{a: " * 200 + "1" + "}" * 200, "- 1\n" * 200_000):
        path.write_text(text)
        with pytest.raises((FileError, InvalidValueError)):
            choose(read_file(path))
    path.write_text("---\n".join([rule("host: a") + "\n"] * 1000))
    with pytest.raises(MeshGymError, match="--host"):
        choose(read_file(path))


def test_a_field_of_another_name_is_an_unknown_name():
    with pytest.raises(UnknownNameError):
        read_manifest(policy("{outlierDetections: {}}"))
