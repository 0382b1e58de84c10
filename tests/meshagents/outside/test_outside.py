"""Agents from outside: functions, Stable-Baselines3 and ONNX files, judged wherever the project's own are."""

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper

from meshagents import Hyperparameters
from meshagents.cli.main import main
from meshagents.errors import AgentError
from meshagents.experiments import table5, table5_live
from meshagents.experiments.outsiders import Outsider
from meshagents.outside.agent import OutsideAgent, read_function
from meshagents.outside.judged import Decides, Outside
from meshagents.policies import FixedAgent
from meshagents.report.write import write_table5
from meshagents.training.evaluation import evaluate
from meshagents.training.tasks import Task
from meshagents.training.trained import evaluate_trained
from meshagents.validation.measure import Validation
from meshagents.validation.validate import Validator
from meshgym.envs.spaces import Actions, observation_space
from meshgym.errors import InvalidValueError, MissingDependencyError, UnknownNameError
from meshgym.scenarios import load_scenario
from meshgym.testing import FakeMesh

TINY = Hyperparameters(epochs=2, interactions=40, num_envs=20, batch_size=16, replay_size=100, width=8)


def second_of_both(seen):
    """Choose the second calls and the first threads, as one number."""
    return np.ones(len(seen), int)


def by_rules(seen):
    """Choose calls of S2 by what is seen, from 0 to 1."""
    assert seen.dtype == np.float32
    assert seen.min() >= 0
    assert seen.max() <= 1
    return (seen[:, 0] * 3).astype(int)


def of(function, control="both", **more):
    return OutsideAgent(function, load_scenario("S2"), control, **more)


def counts(scenario="S2"):
    return tuple(len(values) for values in load_scenario(scenario).actions.values())


def test_one_number_and_two_are_the_same_choice():
    paces, calls = counts()
    seen = observation_space(load_scenario("S2"), None).low[None].repeat(5, axis=0)
    flat, pairs = of(lambda seen: np.full(len(seen), calls + 2)), of(lambda seen: np.tile([1, 2], (len(seen), 1)))
    assert flat.act(seen).tolist() == pairs.act(seen).tolist() == [[1, 2]] * 5
    assert pairs.act(seen.reshape(5, 1, -1)).shape == (5, 1, 2)
    with pytest.raises(AgentError, match="chose an action that there isn't"):
        of(lambda seen: np.full(len(seen), paces * calls)).act(seen)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda seen: np.zeros((len(seen), 3), int), r"int64 of shape \(2, 3\); needed: whole numbers of shape \(2,\)"),
        (lambda seen: np.zeros(len(seen)), "float64 of shape"),
        (lambda seen: np.full(len(seen), np.nan), "float64"),
        (lambda seen: 3, r"shape \(\)"),
        (lambda seen: ["a"] * len(seen), "needed: whole numbers"),
        (lambda seen: np.full(len(seen), -1), "chose an action that there isn't"),
        (lambda seen: np.full(len(seen), 99), "chose an action that there isn't"),
    ],
)
def test_what_is_no_action_is_one_line(function, message):
    agent = of(function, "calls", name="theirs")
    with pytest.raises(AgentError, match=f"theirs (returned|chose).*{message}|theirs {message}"):
        agent.act(np.ones((2, 8)))
    with pytest.raises(AgentError, match="observations of 7 numbers, not 8"):
        agent.act(np.ones((2, 7)))


def test_it_is_evaluated_as_the_projects_own():
    task, action = Task("S2"), 3
    theirs = evaluate(of(lambda seen: np.full(len(seen), action), "calls"), task.grid(), "calls")
    assert theirs == evaluate(FixedAgent(action), task.grid(), "calls")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("nothing", AgentError, "is no agent; needed"),
        ("none.zip", AgentError, "there is no agent's file"),
        ("no_such_module:f", InvalidValueError, "module:function"),
        ("math:pi", AgentError, "is no function"),
    ],
)
def test_what_is_no_agent(text, error, message):
    with pytest.raises(error, match=message):
        read_function(text)


@pytest.mark.parametrize("name", ["agent.zip", "agent.onnx"])
def test_a_damaged_file(name, tmp_path):
    (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(AgentError, match=name):
        read_function(str(tmp_path / name))


@pytest.mark.parametrize(("name", "package"), [("agent.onnx", "onnxruntime")])
def test_a_missing_library_is_named(name, package, tmp_path, monkeypatch):
    (tmp_path / name).write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(MissingDependencyError, match=r"meshgym\[onnx\]"):
        read_function(str(tmp_path / name))


@pytest.mark.parametrize("algorithm", ["DQN", "PPO", "A2C"])
def test_a_file_of_stable_baselines(algorithm, tmp_path):
    import gymnasium as gym
    import stable_baselines3

    import meshgym  # noqa: F401 (registers the environments)

    env = gym.make("MeshResilience-S2-v0", control="both", flat=algorithm == "DQN", normalised=True)
    model = getattr(stable_baselines3, algorithm)("MlpPolicy", env, seed=0, device="cpu")
    model.save(tmp_path / "agent.zip")
    agent = of(read_function(str(tmp_path / "agent.zip")), normalised=True)
    space = observation_space(load_scenario("S2"), None)
    seen = np.random.default_rng(0).uniform(space.low, space.high, (6, 7)).astype(np.float32)
    chosen, _ = model.predict((seen - space.low) / (space.high - space.low), deterministic=True)
    actions = Actions(load_scenario("S2"), "both", flat=algorithm == "DQN")
    assert agent.act(seen).tolist() == [list(actions.choices(one).values()) for one in chosen]


@pytest.mark.parametrize("values", [False, True])
def test_an_onnx_file(values, tmp_path):
    """Either actions, or the value of each action of calls: here the highest is that of the first input's number."""
    inputs = helper.make_tensor_value_info("seen", TensorProto.FLOAT, [None, 8])
    if values:
        weights = np.zeros((8, 4), np.float32)
        weights[1, 2] = 1
        nodes = [helper.make_node("MatMul", ["seen", "w"], ["out"])]
        starts = [onnx.numpy_helper.from_array(weights, "w")]
        output = helper.make_tensor_value_info("out", TensorProto.FLOAT, [None, 4])
    else:
        nodes = [
            helper.make_node("ReduceSum", ["seen", "axis"], ["sum"], keepdims=0),
            helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
            helper.make_node("Add", ["nothing", "two"], ["some"]),
            helper.make_node("Cast", ["some"], ["out"], to=TensorProto.INT64),
        ]
        constants = {"axis": np.array([1]), "zero": np.float32(0), "two": np.float32(2)}
        starts = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
        output = helper.make_tensor_value_info("out", TensorProto.INT64, [None])
    graph = helper.make_graph(nodes, "agent", [inputs], [output], starts)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "agent.onnx")
    agent = of(read_function(str(tmp_path / "agent.onnx")), "calls")
    assert agent.act(np.ones((3, 8))).tolist() == [2, 2, 2]


def test_a_control_that_there_is_not():
    with pytest.raises(UnknownNameError, match="control"):
        evaluate_trained(Outside(second_of_both, Task("S2"), Decides("theirs", "loads")))


def test_table_5_has_a_row_of_it_measured_too(tmp_path, services):
    outsider = Outsider("theirs", lambda seen: np.zeros(len(seen), int), "calls")
    experiment = table5.Table5(services, 1, TINY, rows=("Call", "theirs"), outsiders=(outsider,))
    frame = table5.run(experiment, tmp_path / "trainings", n_jobs=1)
    assert frame["configuration"].value_counts().to_dict() == {"Call": 2, "theirs": 2}
    validator = Validator(tmp_path / "measured", Validation(contexts=4, repeats=1), lambda scenario: FakeMesh())
    found = table5_live.run(experiment, frame, validator)
    assert {policy for one in found for policy in one.replayed["policy"]} >= {"Call", "theirs"}
    text = write_table5(tmp_path, experiment, frame, table5.tables(frame, found))
    assert "| theirs" in text
    tidy = pd.read_parquet(tmp_path / "results.parquet")
    assert list(tidy.columns) == ["task", "seed", "method", "mesh", "metric", "value", "low", "high"]
    shares = tidy[(tidy["method"] == "theirs") & (tidy["metric"] == "share")]
    assert len(shares) == 2
    assert shares["value"].between(0, 1).all()
    assert len(pd.read_csv(tmp_path / "results.csv")) == len(tidy)
    with pytest.raises(InvalidValueError, match="name of an agent is 'Call'"):
        Outsider("Call", second_of_both)


def test_seeds_have_files_of_their_own(tmp_path):
    outsider = Outsider.parse(f"theirs={tmp_path}/{{scenario}}-{{seed}}.zip", "both", False)
    with pytest.raises(AgentError, match=r"S2-0\.zip"):
        outsider.records([Task("S2")], 2)
    with pytest.raises(InvalidValueError, match="NAME=AGENT"):
        Outsider.parse("agent.zip", "both", False)


def test_by_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    named = f"{__name__}:by_rules"
    assert main(["evaluate", named, "--task", "S2", "--control", "calls", "--normalised", "--out", "out"]) == 0
    assert "share of the oracle" in capsys.readouterr().out
    tidy = pd.read_csv("out/results.csv")
    assert set(tidy["method"]) == {"agent", "random", "fixed", "oracle"}
    assert main(["evaluate", named]) == 2
    assert "--task is None" in capsys.readouterr().err


def test_it_decides_the_load_of_a_recommendation(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rules = ["--rules", "max_connections=5,http1_max_pending_requests=4,max_requests_per_connection=4"]
    named = ["--agent", f"{__name__}:second_of_both"]
    assert main(["recommend", "S2", *rules, *named, "--quiet"]) == 0
    actions = load_scenario("S2").actions
    assert f"fortio load -c {actions['threads'][0]} -n {actions['calls'][1]} " in capsys.readouterr().out
    assert main(["recommend", "S2", *named]) == 2
    assert "with --rules and without --load" in capsys.readouterr().err


@pytest.mark.envoy
@pytest.mark.slow
def test_its_decisions_are_measured(tmp_path, monkeypatch, capsys, shop_text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "S2.toml").write_text(shop_text)
    arguments = ["validate", f"{__name__}:second_of_both", "--task", "S2", "--contexts", "3", "--repeats", "1"]
    assert main([*arguments, "--lanes", "3", "--quiet"]) == 0
    assert "agent" in capsys.readouterr().out
    tidy = pd.read_csv("validation/results.csv")
    assert set(tidy["mesh"]) == {"live", "simulated"}
