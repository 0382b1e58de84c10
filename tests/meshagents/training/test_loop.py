"""The loop: which steps become transitions, what is counted, and that any environment will do."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from meshes import FakeMesh

from meshagents import (
    DQN,
    AgentError,
    DependentPair,
    FixedAgent,
    History,
    Hyperparameters,
    RandomAgent,
    Spaces,
    play,
    train,
)
from meshagents.agent import Agent
from meshagents.training.loop import ROLLING_EPOCHS, rolling_mean
from meshgym.errors import InvalidValueError


class Corridor(gym.Env):
    """Walk right from 0 to 3; the step that gets there is worth 1 and ends the episode."""

    observation_space = Box(0, 3, (1,), np.float32)
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0
        return np.array([0], np.float32), {}

    def step(self, action):
        self.place = min(max(self.place + (1 if action else -1), 0), 3)
        return np.array([self.place], np.float32), float(self.place == 3), self.place == 3, False, {}


class Recorder(Agent):
    """Always goes right; remembers what it was taught."""

    def __init__(self):
        self.seen = []

    def act(self, observation, explore=False, service=None):
        return np.ones(len(observation), np.int64)

    def update(self, transition):
        self.seen.append(transition)
        return 2.0


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("limit", [100, 2])
def test_transitions_end_where_episodes_do(mode, limit):
    envs = SyncVectorEnv([lambda: gym.wrappers.TimeLimit(Corridor(), limit)] * 2, autoreset_mode=mode)
    recorder = Recorder()
    reward, loss = play(recorder, envs, 12, seed=0)
    steps = [tuple(column[0].item() for column in t) for t in recorder.seen if len(t.reward)]
    goes_right = {(place, 1, float(place == 2), place + 1, place == 2) for place in range(min(limit, 3))}
    assert set(steps) == goes_right  # never from an end to the next beginning
    assert loss == 2
    assert reward == np.mean([step[2] for step in steps])


def test_environments_that_do_not_reset_are_refused():
    envs = SyncVectorEnv([Corridor], autoreset_mode=AutoresetMode.DISABLED)
    with pytest.raises(AgentError, match="autoreset_mode"):
        play(Recorder(), envs, 1, seed=0)


@pytest.mark.learning
def test_dqn_learns_what_comes_later():
    """The reward lies three steps ahead, and nothing but gamma carries it back."""
    hyperparameters = Hyperparameters(
        epochs=8, interactions=200, num_envs=4, batch_size=32, replay_size=1000, width=32, learning_rate=5e-3,
        gamma=0.8, target_rate=0.1, final_epsilon=0.3,
    )  # fmt: skip
    envs = SyncVectorEnv([lambda: gym.wrappers.TimeLimit(Corridor(), 20)] * 4)
    agent = DQN(Spaces.of_envs(envs), hyperparameters, 0)
    history = train(agent, envs)
    places = np.array([[0.0], [1.0], [2.0]])
    np.testing.assert_array_equal(agent.act(places), [1, 1, 1])
    values = agent.q_functions[0].value(places).numpy()
    np.testing.assert_allclose(values[:-1] / values[1:], hyperparameters.gamma, atol=0.05)
    assert history.reward[-1] > history.random[-1]


class Table(Agent):
    """Somebody's own learner: the mean reward of each action under each context, in a table."""

    def __init__(self, contexts, actions, hyperparameters, seed):
        self.hyperparameters, self.seed = hyperparameters, seed
        self.total, self.count = np.zeros((contexts, actions)), np.full((contexts, actions), 1e-9)
        self.rng = np.random.default_rng(seed)

    def act(self, observation, explore=False, service=None):
        context = np.asarray(observation)[..., 0].astype(int)
        best = (self.total / self.count)[context].argmax(-1)
        return self.rng.integers(self.total.shape[1], size=best.shape) if explore else best

    def update(self, transition):
        index = transition.observation[:, 0].astype(int), transition.action
        np.add.at(self.total, index, transition.reward)
        np.add.at(self.count, index, 1)


def test_anybodys_learner_can_be_trained(bandit, small):
    rewards = np.array([[0, 1, 0], [3, 1, 2], [0, 1, 5]])
    agent = Table(3, 3, replace(small, epochs=3), 0)
    history = train(agent, bandit(rewards, small.num_envs))
    np.testing.assert_array_equal(agent.act([[0], [1], [2]]), rewards.argmax(axis=1))
    assert len(history) == 3
    assert np.isnan(history.loss).all()
    assert agent.best() is agent


def test_own_learners_need_no_torch():
    code = """
import sys
from meshagents import Agent, FixedAgent, History, Hyperparameters, RandomAgent, RewardGrid, Spaces, Transition
from meshagents import Task, evaluate, play, train
assert not {"torch", "pandas", "scipy", "matplotlib"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.learning
def test_any_discrete_gymnasium_environment_will_do():
    hyperparameters = Hyperparameters(
        epochs=2, interactions=64, num_envs=4, batch_size=16, replay_size=64, width=8, gamma=0.9
    )
    envs = gym.make_vec("CartPole-v1", num_envs=4, vectorization_mode="sync")
    agent = DQN(Spaces.of_envs(envs), hyperparameters, 0)
    history = train(agent, envs)
    np.testing.assert_allclose(history.reward, 1)
    assert np.isfinite(history.loss).all()


@pytest.mark.learning
@pytest.mark.parametrize(("kind", "control"), [(DQN, "calls"), (DependentPair, "both")])
def test_live_environments_are_trained_on_by_the_same_loop(shop, kind, control):
    hyperparameters = Hyperparameters(epochs=2, interactions=15, num_envs=1, batch_size=8, replay_size=30, width=8)
    envs = SyncVectorEnv([lambda: gym.make("LiveIstio-v0", scenario=shop, control=control, mesh=FakeMesh())])
    history = train(kind(Spaces.of_envs(envs), hyperparameters, 0), envs)
    assert np.all(np.array(history.reward) > 0)


def test_number_of_environments_must_be_the_hyperparameters(bandit, small):
    envs = bandit(np.eye(2), small.num_envs + 1)
    agent = DQN(Spaces.of_envs(envs), small, 0)
    with pytest.raises(InvalidValueError, match="num_envs"):
        train(agent, envs)


def test_progress_sees_every_epoch(bandit, small):
    envs = bandit(np.eye(2), small.num_envs)
    agent = DQN(Spaces.of_envs(envs), replace(small, epochs=3), 0)
    seen = []
    train(agent, envs, progress=lambda history: seen.append(len(history)))
    assert seen == [1, 2, 3]


def test_paper_ratio_is_the_best_rolling_mean_at_the_end():
    ratios = np.r_[np.full(40, 9.0), np.linspace(1, 2, 60)]
    history = History(list(ratios), [np.float64(1)] * 100, [0.0] * 100)
    windows = [ratios[end - 25 : end].mean() for end in range(76, 101)]
    assert history.paper_ratio == pytest.approx(max(windows))


@pytest.mark.learning
@pytest.mark.parametrize("epochs", [3, ROLLING_EPOCHS + 3])
def test_the_best_of_the_last_epochs_is_remembered(bandit, small, epochs):
    envs = bandit(np.arange(12.0).reshape(3, 4) % 5, small.num_envs)
    hyperparameters = replace(small, epochs=epochs, interactions=small.num_envs, final_epsilon=1)
    agent = DQN(Spaces.of_envs(envs), hyperparameters, 0)
    places, weights = np.arange(3.0)[:, None], []

    def keep(history):
        weights.append(agent.q_functions[0].value(places).numpy())

    ratios = train(agent, envs, progress=keep).ratio
    last = max(epochs - ROLLING_EPOCHS, 0)
    best = last + ratios[last:].argmax()
    np.testing.assert_array_equal(agent.best().q_functions[0].value(places).numpy(), weights[best])
    assert not np.array_equal(weights[best], weights[best - 1])


def test_rolling_mean_begins_with_what_there_is():
    np.testing.assert_allclose(rolling_mean(np.array([2.0, 4, 6, 8]), 2), [2, 3, 5, 7])
    np.testing.assert_allclose(rolling_mean(np.array([[2.0, 0], [4, 1]]), 5), [[2, 0], [3, 0.5]])


def test_random_agents_know_all_actions_and_only_those():
    spaces = Spaces.of_spaces(Box(np.zeros((2, 1), np.float32), np.ones((2, 1), np.float32)), _nested([[3, 4], [2, 6]]))
    drawn = RandomAgent(spaces, 0).act(np.zeros((2000, 2, 1)))
    np.testing.assert_array_equal(drawn.min(axis=0), 0)
    np.testing.assert_array_equal(drawn.max(axis=0), spaces.actions - 1)
    assert RandomAgent(spaces, 0).act(np.zeros((5, 1)), service=1).shape == (5, 2)


def test_fixed_agents_do_not_change():
    np.testing.assert_array_equal(FixedAgent((1, 2)).act(np.zeros((3, 7))), [[1, 2]] * 3)
    np.testing.assert_array_equal(FixedAgent(4).act(np.zeros((3, 7))), [4] * 3)


def _nested(counts):
    return gym.spaces.MultiDiscrete(counts)
