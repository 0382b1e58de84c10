"""Every learner finds the best actions of a world that fits on a page, and finds them again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from meshagents import (
    DQN,
    Application,
    CollaborativeDependentPair,
    CollaborativeDQN,
    CollaborativeIndependentPair,
    DependentPair,
    IndependentPair,
    Spaces,
    train,
)

pytestmark = [pytest.mark.learning, pytest.mark.slow]

ONE = np.array([[0, 1, 0], [3, 1, 2], [0, 1, 5]])
#: The best pair of each context is neither the best threads for average calls nor the other way round.
PAIR = np.array([[[9, 0, 0], [4, 5, 4]], [[0, 0, 7], [3, 4, 3]], [[2, 2, 2], [1, 1, 8]]])
OTHER_PAIR = np.array([[[1, 6], [3, 3], [0, 0]], [[5, 0], [3, 3], [0, 7]]])
#: The climbing game of Claus and Boutilier (1998): whoever errs beside the best pair is punished.
CLIMBING = np.array([[[11, -30, 0], [-30, 7, 6], [0, 0, 5]]])


def learn(kind, envs, hyperparameters, seed=0, **arguments):
    agent = kind(Spaces.of_envs(envs), hyperparameters, seed, **arguments)
    return agent, train(agent, envs)


def best(rewards):
    """The best action of each context; shape (contexts,) or (contexts, 2)."""
    flat = rewards.reshape(len(rewards), -1).argmax(1)
    return flat if rewards.ndim == 2 else np.stack(np.unravel_index(flat, rewards.shape[1:]), -1)


def contexts(rewards):
    return np.arange(len(rewards))[:, None]


def test_dqn_finds_the_best_action(bandit, small):
    agent, history = learn(DQN, bandit(ONE, small.num_envs), small)
    np.testing.assert_array_equal(agent.act(contexts(ONE)), best(ONE))
    assert history.paper_ratio > 1.5
    assert history.loss[-1] < history.loss[0] / 10


@pytest.mark.parametrize(
    ("kind", "arguments"), [(IndependentPair, {}), (DependentPair, {"first": 0}), (DependentPair, {"first": 1})]
)
def test_pairs_find_the_best_pair(bandit, small, kind, arguments):
    agent, _ = learn(kind, bandit(PAIR, small.num_envs), small, **arguments)
    np.testing.assert_array_equal(agent.act(contexts(PAIR)), best(PAIR))


def test_leniency_is_what_coordinates_independent_agents(bandit, small):
    envs = bandit(CLIMBING, small.num_envs)
    lenient, _ = learn(IndependentPair, envs, small)
    strict, _ = learn(IndependentPair, envs, replace(small, leniency=1.0))
    np.testing.assert_array_equal(lenient.act([[0]]), [[0, 0]])
    assert CLIMBING[(0, *strict.act([0]))] < 11


@pytest.mark.parametrize("kind", [CollaborativeIndependentPair, CollaborativeDependentPair])
@pytest.mark.parametrize("shared", [True, False])
def test_collaborative_pairs_find_the_best_pair_of_each_service(bandit, small, kind, shared):
    services = [PAIR, OTHER_PAIR]
    envs = Application([bandit(rewards, small.num_envs) for rewards in services])
    agent, history = learn(kind, envs, replace(small, shared=shared))
    assert history.ratio.shape == (small.epochs, 2)
    for i, rewards in enumerate(services):
        np.testing.assert_array_equal(agent.act(contexts(rewards), service=i), best(rewards))


def test_collaborative_single_agents_act_together_as_alone(bandit, small):
    envs = Application([bandit(ONE, small.num_envs), bandit(ONE[:, ::-1], small.num_envs)])
    agent, _ = learn(CollaborativeDQN, envs, small)
    together = agent.act(np.stack([contexts(ONE)] * 2, axis=1))
    alone = np.stack([agent.act(contexts(ONE), service=i) for i in range(2)], axis=1)
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together, np.stack([best(ONE), best(ONE[:, ::-1])], axis=1))


@pytest.mark.parametrize("kind", [DQN, IndependentPair, DependentPair])
def test_same_seed_same_history_and_weights(bandit, small, kind):
    envs = bandit(ONE if kind is DQN else PAIR, small.num_envs)
    hyperparameters = replace(small, epochs=3)
    (agent, one), (twin, two), (_, other) = (learn(kind, envs, hyperparameters, seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one.reward, two.reward)
    np.testing.assert_array_equal(one.loss, two.loss)
    for q, same in zip(agent.q_functions, twin.q_functions, strict=True):
        weights, equal = q.network.state_dict(), same.network.state_dict()
        assert all(torch.equal(weights[name], equal[name]) for name in weights)
    assert not np.array_equal(one.loss, other.loss)


def test_baseline_meets_the_same_contexts(bandit, small):
    by_context = np.array([[1.0, 1.0], [100.0, 100.0]])
    _, history = learn(DQN, bandit(by_context, small.num_envs), replace(small, epochs=3))
    np.testing.assert_array_equal(history.ratio, 1)
