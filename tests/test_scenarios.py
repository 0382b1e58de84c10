"""S1..S5 are the paper's Tables 4 and 6; your own file is checked like them."""

import json

import pytest

from meshgym.errors import FileError, InvalidValueError, UnknownNameError
from meshgym.scenarios import SCENARIO_NAMES, Range, Scenario, load_scenario, parse_scenario

# (pending, connections, requests per connection, ejection s, ejection %, interval s, errors, threads, calls)
TABLE_4 = {
    "S1": [(1, 7), (1, 7), (1, 7), (180, 180), (100, 100), (1, 1), (1, 1), (1, 5), (400, 450)],
    "S2": [(3, 7), (3, 7), (3, 7), (180, 180), (100, 100), (1, 1), (1, 1), (3, 7), (100, 700)],
    "S3": [(12, 18), (1, 5), (10, 16), (180, 180), (4, 8), (1, 1), (4, 8), (10, 16), (50, 500)],
    "S4": [(12, 18), (10, 20), (12, 18), (180, 180), (12, 18), (1, 1), (12, 18), (12, 18), (250, 600)],
    "S5": [(15, 30), (5, 15), (15, 30), (180, 180), (22, 30), (1, 1), (22, 30), (16, 20), (1000, 2000)],
}
ROWS = {"S1": 9302, "S2": 12005, "S3": 20592, "S4": 12310, "S5": 6970}
TABLE_6 = {
    "S1": (range(1, 6), range(435, 451)),
    "S2": (range(3, 8), range(100, 401, 100)),
    "S3": (range(10, 17), range(50, 501, 50)),
    "S4": (range(12, 19), range(250, 601, 50)),
    "S5": (range(16, 21), range(1000, 2001, 100)),
}


@pytest.mark.parametrize("name", SCENARIO_NAMES)
def test_bundled_scenarios_are_the_papers(name):
    scenario = load_scenario(name)
    assert [(span.low, span.high) for span in scenario.ranges.values()] == TABLE_4[name]
    assert scenario.rows == ROWS[name]
    threads, calls = TABLE_6[name]
    assert scenario.actions == {"threads": tuple(threads), "calls": tuple(calls)}
    assert scenario.service is not None


def test_a_range_lists_its_values():
    assert Range(1, 7).values.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert Range(0.1, 0.3, 0.1).values.tolist() == [0.1, 0.2, 0.3]
    assert Range(180, 180).values.tolist() == [180]


@pytest.mark.parametrize("name", SCENARIO_NAMES)
def test_a_scenario_survives_the_way_through_json(name):
    scenario = load_scenario(name)
    assert Scenario.from_dict(json.loads(json.dumps(scenario.to_dict()))) == scenario


def test_a_document_without_a_name_is_refused():
    document = load_scenario("S1").to_dict()
    del document["name"]
    with pytest.raises(InvalidValueError, match="name of a scenario is None"):
        Scenario.from_dict(document)


def test_unknown_scenarios_are_named_with_the_known():
    with pytest.raises(UnknownNameError, match="S1, S2, S3, S4, S5"):
        load_scenario("S9")


@pytest.fixture
def text():
    return """
    [rules]
    http1_max_pending_requests = [1, 4]
    max_connections = [1, 10, 3]
    max_requests_per_connection = 5
    base_ejection_time_s = 30
    max_ejection_percent = 50
    interval_s = 0.5
    consecutive_5xx_errors = [1, 3]
    [load]
    threads = [1, 4]
    calls = [50, 100]
    [actions]
    threads = [1, 2, 4]
    calls = [50, 100]
    """


def test_your_own_scenario(text, tmp_path):
    path = tmp_path / "shop.toml"
    path.write_text(text)
    scenario = load_scenario(path)
    assert scenario.name == "shop"
    assert scenario.rules["max_connections"].values.tolist() == [1, 4, 7, 10]
    assert scenario.service is None
    assert Scenario.from_dict(scenario.to_dict()) == scenario


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[rules]", "rules", "TOML"),
        ("interval_s = 0.5", "intervall_s = 0.5", "interval_s"),
        ("interval_s = 0.5", "base = 5", "rules.base"),
        ("interval_s = 0.5", "interval_s = 0", "interval_s"),
        ("[1, 4]", "[4, 1]", "low <= high"),
        ("[1, 4]", "['a']", "number"),
        ("threads = [1, 2, 4]", "threads = [4, 2]", "ascending"),
        ("threads = [1, 2, 4]", "threads = [1, 60]", "calls"),  # fewer calls than twice the threads
        ("[actions]", "[service]\nreplicas = 0\nservice_time_ms=1\nburst=1\nrate_per_s=1\n[actions]", "replicas"),
        ("[actions]", "[service]\nreplica = 3\n[actions]", "replica"),
        ("[actions]", "[service]\nreplicas = 3\n[actions]", "burst"),
        ("[actions]", "[more]\n[actions]", "more"),
        ("[rules]", "name = 'other'\n[rules]", "no name"),
    ],
)
def test_broken_scenarios_are_refused_by_key(text, old, new, message):
    assert old in text
    with pytest.raises(InvalidValueError, match=message):
        parse_scenario("shop", text.replace(old, new, 1))


@pytest.mark.parametrize("name", ["..", "+cmd|calc", "a b", "a\nb", "a/b", "-x", "", "x" * 65])
def test_a_name_that_is_no_name_for_a_folder_is_refused(shop_text, name):
    with pytest.raises(InvalidValueError, match="name of a scenario"):
        parse_scenario(name, shop_text)


@pytest.mark.parametrize(
    "span",
    [
        "[1, 2147483647]",
        "[1, 3, inf]",
        "[1, 3, 1e-9]",
        "[nan, 3]",
        "[1, 1e308, 1e-300]",
        "[1, 3, nan]",
        f"[1, 1{'0' * 400}]",
    ],
)
def test_a_range_of_too_many_values_is_refused(shop_text, span):
    text = shop_text.replace("max_connections = [1, 3]", f"max_connections = {span}")
    with pytest.raises(InvalidValueError, match="range"):
        parse_scenario("shop", text)


def test_a_file_that_is_no_text_is_refused(tmp_path, shop_text):
    for content in (b"\xff\xfe" + shop_text.encode("utf-16-le"), b"\xef\xbb\xbf" + shop_text.encode()):
        (tmp_path / "shop.toml").write_bytes(content)
        with pytest.raises(FileError, match=r"shop\.toml isn't a scenario"):
            load_scenario(tmp_path / "shop.toml")
    for text in ("a = " + "[" * 10_000, "a = " + "1" * 5000):
        (tmp_path / "shop.toml").write_text(text)
        with pytest.raises(InvalidValueError, match="scenario shop"):
            load_scenario(tmp_path / "shop.toml")


def test_choices_are_named_in_a_scenario(shop_text):
    def rules(value):
        return parse_scenario("shop", shop_text.replace("[rules]", f"[rules]\nload_balancer = {value}")).rules

    assert rules('"ROUND_ROBIN"')["load_balancer"].values.tolist() == [2]
    assert rules('["RANDOM", "LEAST_REQUEST"]')["load_balancer"].values.tolist() == [0, 1]
    with pytest.raises(InvalidValueError, match="Name neighbours among LEAST_REQUEST, RANDOM"):
        rules('["LEAST_REQUEST", "ROUND_ROBIN"]')
    with pytest.raises(InvalidValueError, match=r"load_balancer is 'FASTEST'; allowed: 0 \(LEAST_REQUEST\), 1"):
        rules('["FASTEST"]')
