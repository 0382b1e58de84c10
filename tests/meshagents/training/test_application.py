"""Several services as one environment; PettingZoo's environments seen that way are the same worlds."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import meshgym
from meshagents import (
    AgentError,
    Application,
    CollaborativeDependentPair,
    CollaborativeIndependentPair,
    Hyperparameters,
    IndependentPair,
    RandomAgent,
    Spaces,
    train,
)
from meshagents.training.application import ParallelApplication, TurnsApplication
from meshagents.training.configurations import CONFIGURATIONS, load_configuration
from meshagents.training.tasks import Task
from meshagents.training.train import make_environment
from meshgym.errors import InvalidValueError, UnknownNameError

SMALL = Hyperparameters(epochs=2, interactions=20, num_envs=1, batch_size=8, replay_size=20, width=8)


def test_services_step_as_they_do_alone(bandit):
    one, two = np.arange(6.0).reshape(2, 3), 10 * np.arange(4.0).reshape(2, 2)
    together = Application([bandit(one, 4), bandit(two, 4)])
    alone = [bandit(one, 4), bandit(two, 4)]
    seen, _ = together.reset(seed=5)
    seeds = np.random.SeedSequence(5).generate_state(2).tolist()
    apart = [envs.reset(seed=seed)[0] for envs, seed in zip(alone, seeds, strict=True)]
    np.testing.assert_array_equal(seen, np.stack(apart, axis=1))
    assert not np.array_equal(apart[0], apart[1])
    actions = RandomAgent(Spaces.of_envs(together), 0).act(seen)
    _, rewards, *_ = together.step(actions)
    parts = [envs.step(actions[:, i])[1] for i, envs in enumerate(alone)]
    np.testing.assert_array_equal(rewards, np.stack(parts, axis=1))


def test_services_must_fit_together(bandit):
    with pytest.raises(InvalidValueError, match="one size"):
        Application([bandit(np.eye(2), 4), bandit(np.eye(2), 5)])
    with pytest.raises(InvalidValueError, match="at least one"):
        Application([])
    with pytest.raises(AgentError, match="one control"):
        Application([bandit(np.eye(2), 4), bandit(np.ones((2, 2, 2)), 4)])


def test_last_observations_of_services_stay_together():
    services = [
        gym.make_vec(
            "CartPole-v1", num_envs=2, vectorization_mode="sync", max_episode_steps=2,
            vector_kwargs={"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP},
        )
        for _ in range(2)
    ]  # fmt: skip
    application = Application(services)
    application.reset(seed=0)
    for _ in range(2):
        following, _, _, truncated, info = application.step(np.zeros((2, 2), int))
    assert truncated.all()
    assert np.stack(list(info["final_obs"])).shape == following.shape
    assert not np.array_equal(np.stack(list(info["final_obs"])), following)


@pytest.mark.parametrize("control", ["both", "threads", "calls"])
def test_parallel_environments_are_the_single_ones(shop, simulator, control):
    env = meshgym.parallel_env(services=[shop] * 2, simulators=[simulator] * 2, control=control, beta=0)
    application = ParallelApplication(env)
    singles = [
        gym.make("MeshResilience-v0", scenario=shop, simulator=simulator, control=control).unwrapped for _ in range(2)
    ]
    seen, _ = application.reset(seed=3)
    apart = [single.reset(seed=3 + i)[0] for i, single in enumerate(singles)]
    agent = RandomAgent(Spaces.of_envs(application), 0)
    for _ in range(5):
        np.testing.assert_array_equal(seen[0], apart)
        action = agent.act(seen)
        seen, rewards, *_ = application.step(action)
        steps = [single.step(chosen) for single, chosen in zip(singles, action[0], strict=True)]
        apart = [step[0] for step in steps]
        np.testing.assert_allclose(rewards[0], [step[1] for step in steps])


@pytest.mark.parametrize("order", [("threads", "calls"), ("calls", "threads")])
def test_turns_are_the_parallel_world(shop, simulator, order):
    common = {"services": [shop] * 2, "simulators": [simulator] * 2, "beta": 0, "max_episode_steps": 3}
    turns = TurnsApplication(meshgym.aec_env(order=order, **common))
    parallel = ParallelApplication(meshgym.parallel_env(**common))
    np.testing.assert_array_equal(turns.reset(seed=1)[0], parallel.reset(seed=1)[0])
    # The joint action is threads, calls in both, whoever's turn is first.
    agent = RandomAgent(Spaces.of_envs(parallel), 0)
    for _ in range(8):
        action = agent.act(np.zeros((1, 2, 7)))
        for one, other in zip(turns.step(action)[:4], parallel.step(action)[:4], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.learning
@pytest.mark.parametrize("kind", [CollaborativeIndependentPair, CollaborativeDependentPair])
def test_pairs_train_on_pettingzoo(shop, simulator, kind):
    parallel = ParallelApplication(meshgym.parallel_env(services=[shop], simulators=[simulator], beta=0))
    turns = TurnsApplication(meshgym.aec_env(services=[shop], simulators=[simulator], beta=0))
    histories = [train(kind(Spaces.of_envs(envs), SMALL, 0), envs) for envs in (parallel, turns)]
    np.testing.assert_array_equal(histories[0].reward, histories[1].reward)


def test_other_pettingzoo_agents_are_refused():
    class Foreign:
        possible_agents = ("player_0", "player_1")

    with pytest.raises(AgentError, match="threads_0"):
        ParallelApplication(Foreign())


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda configuration: configuration.name)
@pytest.mark.parametrize("count", [1, 2])
def test_every_configuration_makes_its_world_and_agent(shop, simulator, configuration, count):
    tasks = [Task(shop, simulator)] * count
    envs = make_environment(configuration, tasks, SMALL.num_envs)
    agent = configuration.make_agent(Spaces.of_envs(envs), SMALL, 0)
    history = train(agent, envs)
    assert np.shape(history.reward) == ((SMALL.epochs,) if count == 1 else (SMALL.epochs, 2))
    assert type(agent) is configuration.kind(count)
    assert {name: getattr(agent, name) for name in configuration.arguments} == configuration.arguments


def test_configurations_go_by_the_papers_names():
    assert load_configuration("thread&call").learner is IndependentPair
    assert [load_configuration(name).arguments["first"] for name in ("Thread-Call", "Call-Thread")] == [0, 1]
    with pytest.raises(UnknownNameError, match="Call-Thread"):
        load_configuration("calls-thread")
