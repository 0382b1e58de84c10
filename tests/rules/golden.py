"""Rules, and the cluster that a real istiod made of each; see ``data/golden-clusters.json``.

Made by istio.io/istio at eed52ebb66ad (close to 1.31), sent to an Envoy 1.40 and read from its configuration dump, so a
field at its protobuf default is left out.
"""

import json
from pathlib import Path

CASES = {case["name"]: case for case in json.loads((Path(__file__).parent / "data/golden-clusters.json").read_text())}
#: Of the services, not of the rules: what their ports talk, by number; 84 has no name.
PROTOCOLS = {"82": "http2", "85": "http2", "84": "sniffed"}


def choice(case):
    """The subset and the port of a case, and what its service is."""
    _, port, _, host = case["cluster"]["name"].split("|")
    subset = case["cluster"]["name"].split("|")[2]
    return {
        "subset": subset or None,
        "port": int(port),
        "protocol": PROTOCOLS.get(port, "http1") if host.startswith("ports.") else "http1",
        "discovery": "ORIGINAL_DST" if host.startswith("headless.") else "EDS",
    }


def plain(value):
    """A cluster without protobuf defaults, with durations in seconds."""
    if isinstance(value, dict):
        pairs = ((key, plain(inner)) for key, inner in value.items())
        return {key: inner for key, inner in pairs if inner is not None}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, str) and value.removesuffix("s").replace(".", "").isdigit():
        return float(value.removesuffix("s"))
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
