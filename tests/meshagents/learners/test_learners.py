"""What agents share: targets, scaled rewards, exploration, saved files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from meshagents import (
    DQN,
    AgentError,
    Application,
    CollaborativeDependentPair,
    CollaborativeDQN,
    CollaborativeIndependentPair,
    DependentPair,
    FixedAgent,
    Hyperparameters,
    IndependentPair,
    Spaces,
    Transition,
    train,
)
from meshagents.learners.collaborative import collaborative_reward
from meshagents.learners.dqn import epsilon_at, learning_rate_at
from meshagents.learners.replay import Replay
from meshagents.learners.scaling import RewardScale
from meshgym.errors import FolderError, InvalidValueError, UnknownNameError
from meshgym.rewards import share_between_services

RULES = Box(np.array([0, 5], np.float32), np.array([4, 5], np.float32))
SEVERAL = Box(np.zeros((2, 2), np.float32), np.ones((2, 2), np.float32))
ONE, BOTH = Spaces.of_spaces(RULES, Discrete(3)), Spaces.of_spaces(RULES, MultiDiscrete([3, 4]))
SERVICES = Spaces.of_spaces(SEVERAL, MultiDiscrete([[3, 4], [2, 6]]))


@pytest.mark.parametrize(
    ("observations", "actions"),
    [
        (Dict({"rules": RULES}), Discrete(3)),
        (Box(0, 1, (2, 2, 2)), Discrete(3)),
        (RULES, Discrete(3, start=1)),
        (RULES, MultiDiscrete([3, 3, 3])),
        (RULES, Box(0, 1)),
        (SEVERAL, MultiDiscrete([3, 3, 3])),
    ],
)
def test_foreign_spaces_are_refused(observations, actions):
    with pytest.raises(AgentError, match="needed"):
        Spaces.of_spaces(observations, actions)


@pytest.mark.parametrize(
    ("kind", "spaces"),
    [
        (DQN, BOTH),
        (IndependentPair, ONE),
        (DependentPair, ONE),
        (IndependentPair, SERVICES),
        (CollaborativeDQN, ONE),
        (CollaborativeDQN, SERVICES),
        (CollaborativeDependentPair, BOTH),
    ],
)
def test_agents_refuse_spaces_of_another_kind(kind, spaces):
    with pytest.raises(AgentError, match="control="):
        kind(spaces, Hyperparameters(), 0)


def test_a_dependent_pair_begins_with_threads_or_calls():
    with pytest.raises(InvalidValueError, match="first"):
        DependentPair(BOTH, Hyperparameters(), 0, first=2)


@pytest.mark.parametrize(("kind", "spaces"), [(DQN, ONE), (IndependentPair, BOTH), (DependentPair, BOTH)])
@pytest.mark.parametrize("leading", [(), (5,), (2, 5)])
def test_act_keeps_leading_axes(kind, spaces, leading):
    agent = kind(spaces, Hyperparameters(width=8), 0)
    for explore in (False, True):
        action = agent.act(np.ones((*leading, 2)), explore=explore)
        assert action.shape == (*leading, *spaces.actions.shape)
        assert (action >= 0).all()
        assert (action < spaces.actions).all()


def test_services_have_their_own_numbers_of_actions():
    agent = CollaborativeIndependentPair(SERVICES, Hyperparameters(width=8), 0)
    explored = agent.act(np.ones((500, 2, 2)), explore=True)
    np.testing.assert_array_equal(explored.max(axis=0), SERVICES.actions - 1)
    assert agent.act(np.ones((7, 2)), service=1).shape == (7, 2)


def test_exploration_falls_to_its_end(small):
    agent = DQN(ONE, replace(small, final_epsilon=0), 0)
    assert agent.act(np.ones((1000, 2)), explore=True).std() > 0
    agent.replay.added = agent.hyperparameters.horizon
    assert agent.act(np.ones((1000, 2)), explore=True).std() == 0


def _batch(spaces, terminated):
    action = np.zeros((4, *spaces.actions.shape), np.int64)
    return Transition(np.ones((4, 2)), action, np.ones(4), np.ones((4, 2)), np.full(4, terminated))


@pytest.mark.parametrize(("gamma", "terminated"), [(0.0, False), (0.5, True), (0.5, False)])
def test_only_what_goes_on_has_a_future(small, gamma, terminated):
    agent = DQN(ONE, replace(small, gamma=gamma), 0)
    batch = _batch(ONE, terminated)
    target = agent._target(agent.q_functions[0], batch, torch.ones(4))
    future = agent.q_functions[0].value(batch.next_observation)
    expected = torch.ones(4) if terminated or not gamma else 1 + gamma * future
    torch.testing.assert_close(target, expected)
    assert future.abs().min() > 0


def test_target_network_follows_slowly(small):
    agent = DQN(ONE, replace(small, gamma=0.9, target_rate=0.25), 0)
    q = agent.q_functions[0]
    start = [parameter.clone() for parameter in q.target.parameters()]
    agent.update(_batch(ONE, terminated=False))
    for old, slow, fast in zip(start, q.target.parameters(), q.network.parameters(), strict=True):
        torch.testing.assert_close(slow, old + 0.25 * (fast - old))


@given(arrays(np.float64, st.tuples(st.integers(2, 30), st.just(2)), elements=st.floats(-1e3, 1e3)), st.integers(1, 29))
def test_reward_scale_is_that_of_all_rewards(rewards, cut):
    scale = RewardScale(SERVICES)
    for part in np.split(rewards, [min(cut, len(rewards) - 1)]):
        scale.add(part)
    np.testing.assert_allclose(scale.mean, rewards.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(scale.squares / scale.count, rewards.var(axis=0), atol=1e-6)
    assert torch.isfinite(scale.standardise(rewards, centred=True)).all()


def test_without_centring_the_sign_of_a_reward_stays():
    scale = RewardScale(ONE)
    scale.add(np.array([1.0, 1.0]))
    torch.testing.assert_close(scale.standardise(np.array([1.0, -2.0]), centred=False), torch.tensor([1.0, -2.0]))


@given(arrays(np.float64, (6, 3), elements=st.floats(0, 100)), st.floats(0, 3))
def test_control_variate_leaves_out_what_the_service_cannot_touch(rewards, beta):
    plain = collaborative_reward(rewards, Hyperparameters(beta=beta, control_variate=False))
    np.testing.assert_array_equal(plain, share_between_services(rewards, beta))
    others = beta / 3 * (rewards.sum(axis=1, keepdims=True) - rewards)
    reduced = collaborative_reward(rewards, Hyperparameters(beta=beta))
    np.testing.assert_allclose(reduced + others, plain, atol=1e-9)


def test_replay_keeps_the_newest():
    replay = Replay(5)
    for start in (0, 3, 6):
        numbers = np.arange(start, start + 3)
        replay.add(Transition(*[numbers] * 5))
    assert len(replay) == 5
    np.testing.assert_array_equal(replay.sample(2, np.random.default_rng(0)).reward, [6, 7])
    np.testing.assert_array_equal(replay.sample(4, np.random.default_rng(0)).reward[:3], [6, 7, 8])
    assert set(replay.sample(500, np.random.default_rng(0)).reward) == {4, 5, 6, 7, 8}


@pytest.mark.parametrize(
    ("kind", "spaces"), [(DQN, ONE), (CollaborativeIndependentPair, SERVICES), (DependentPair, BOTH)]
)
@pytest.mark.parametrize("gamma", [0.0, 0.5])
def test_saved_agents_are_the_same(tmp_path, small, kind, spaces, gamma):
    agent = kind(spaces, replace(small, gamma=gamma), 3)
    rng = np.random.default_rng(0)
    shape = (8, *spaces.low.shape)
    observation = rng.random(shape).astype(np.float32)
    reward = rng.random(shape[:-1])
    batch = Transition(observation, agent.act(observation, explore=True), reward, observation, np.zeros(8, bool))
    agent.remember()
    before = agent.act(observation)
    for _ in range(20):
        agent.update(batch)
    restored = kind.load(agent.save(tmp_path / "agent.npz"))
    np.testing.assert_array_equal(restored.best().act(observation), before)
    assert agent.update(batch) == restored.update(batch)
    np.testing.assert_array_equal(agent.act(observation, explore=True), restored.act(observation, explore=True))


def test_a_dependent_pair_keeps_its_order(tmp_path):
    pair = DependentPair(BOTH, Hyperparameters(width=8), 0, first=1)
    assert DependentPair.load(pair.save(tmp_path / "agent.npz")).first == 1


@pytest.mark.learning
@pytest.mark.parametrize("several", [False, True])
def test_training_that_was_cut_ends_as_if_it_was_not(tmp_path, bandit, small, several):
    rewards = np.arange(12.0).reshape(2, 2, 3) % 7
    hyperparameters = replace(small, epochs=4)
    kind = CollaborativeDependentPair if several else DependentPair

    def envs():
        batch = bandit(rewards, hyperparameters.num_envs)
        return Application([batch, bandit(rewards[::-1], hyperparameters.num_envs)]) if several else batch

    spaces = Spaces.of_envs(envs())
    whole = train(kind(spaces, hyperparameters, 1), envs())

    class Cut(Exception):  # noqa: N818 (not an error)
        pass

    def stop(history):
        if len(history) == 2:
            agent.save(tmp_path / "cut.npz")
            kept.append(history)
            raise Cut

    agent, kept = kind(spaces, hyperparameters, 1), []
    with pytest.raises(Cut):
        train(agent, envs(), progress=stop)
    resumed = train(kind.load(tmp_path / "cut.npz"), envs(), *kept)
    np.testing.assert_array_equal(whole.reward, resumed.reward)
    np.testing.assert_array_equal(whole.loss, resumed.loss)


@pytest.mark.parametrize("content", [None, b"", b"not a zip", b"PK\x03\x04"])
def test_bad_agent_files_are_refused(tmp_path, content):
    path = tmp_path / "agent.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AgentError, match=r"[Tt]rain"):
        DQN.load(path)


def test_foreign_and_truncated_files_are_refused(tmp_path, small):
    foreign = tmp_path / "foreign.npz"
    np.savez(foreign, weights=np.zeros(3))
    whole = DQN(ONE, small, 0).save(tmp_path / "whole.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    for path in (foreign, tmp_path / "half.npz"):
        with pytest.raises(AgentError, match="isn't an agent file"):
            DQN.load(path)


def test_another_kind_of_agent_is_named(tmp_path, small):
    path = DependentPair(BOTH, small, 0).save(tmp_path / "agent.npz")
    with pytest.raises(AgentError, match=r"DependentPair\.load"):
        IndependentPair.load(path)


def test_unwritable_folder_is_named(tmp_path, small):
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match="file"):
        DQN(ONE, small, 0).save(tmp_path / "file" / "agent.npz")


def test_agents_without_a_file_say_so(tmp_path):
    with pytest.raises(AgentError, match="FixedAgent can't be saved"):
        FixedAgent(0).save(tmp_path / "agent.npz")
    with pytest.raises(AgentError, match="FixedAgent can't be loaded"):
        FixedAgent.load(tmp_path / "agent.npz")


def test_hyperparameters_are_checked():
    with pytest.raises(UnknownNameError, match="learning_rate"):
        Hyperparameters.from_dict({"learnign_rate": 1e-3})
    with pytest.raises(UnknownNameError, match="paper"):
        Hyperparameters.from_dict({}, preset="papr")
    with pytest.raises(InvalidValueError, match="multiple of num_envs"):
        Hyperparameters(num_envs=300)
    with pytest.raises(InvalidValueError, match="at least batch_size"):
        Hyperparameters(replay_size=10)
    for name, value in {"epochs": 0, "width": 1.5, "gamma": 1, "epsilon": -0.1, "shared": 1}.items():
        with pytest.raises(InvalidValueError, match=name):
            Hyperparameters(**{name: value})


def test_presets_hold_and_round_trip():
    paper = Hyperparameters.from_dict({}, preset="paper")
    assert (paper.epochs, paper.learning_rate, paper.horizon) == (500, 5e-5, 500_000)
    assert learning_rate_at(paper, 0) == learning_rate_at(paper, 1)
    assert Hyperparameters.from_dict(paper.to_dict()) == paper


@given(st.floats(0, 1))
def test_schedules_stay_between_their_ends(progress):
    hyperparameters = Hyperparameters()
    assert hyperparameters.final_epsilon <= epsilon_at(hyperparameters, progress) <= hyperparameters.epsilon
    assert (
        hyperparameters.final_learning_rate
        <= learning_rate_at(hyperparameters, progress)
        <= hyperparameters.learning_rate
    )
