"""The one training loop, for simulated and live environments, one service and several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from meshagents.agent import Agent, LearningAgent
from meshagents.errors import AgentError
from meshagents.learners.replay import Transition
from meshagents.policies import RandomAgent
from meshgym.errors import InvalidValueError

FloatArray = NDArray[np.float64]
#: Epochs the paper's ratio is averaged over, and from how many last ones its maximum is taken (Sec. 6.2).
ROLLING_EPOCHS = 25


def rolling_mean(values: FloatArray, window: int = ROLLING_EPOCHS) -> FloatArray:
    """Mean of each value and the up to ``window - 1`` before it, along the first axis."""
    total = np.cumsum(values, axis=0)
    total[window:] -= total[:-window].copy()
    counts = np.minimum(np.arange(1, len(values) + 1), window)
    return total / counts.reshape(-1, *[1] * (values.ndim - 1))


@dataclass
class History:
    """What a run earned, epoch by epoch; with n services each entry has shape (n,).

    Attributes:
        reward: mean reward of an interaction of the agent, exploration included.
        random: that of the random baseline in the same epoch, on the same contexts.
        loss: mean loss of the epoch's gradient steps.
    """

    reward: list[FloatArray] = field(default_factory=list)
    random: list[FloatArray] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.loss)

    @property
    def ratio(self) -> FloatArray:
        """Reward over the random baseline's, shape (epochs, [n])."""
        return np.array(self.reward) / np.array(self.random)

    @property
    def paper_ratio(self) -> FloatArray:
        """The paper's metric: the rolling mean ratio's maximum over the last 25 epochs, shape ([n])."""
        best: FloatArray = rolling_mean(self.ratio)[-ROLLING_EPOCHS:].max(axis=0)
        return best


#: Called after each epoch with the history so far.
Progress = Callable[[History], None]


def play(agent: Agent, envs: VectorEnv[Any, Any, Any], steps: int, seed: int) -> tuple[FloatArray, float]:
    """Let an agent act, explore and learn for ``steps`` steps after a reset.

    Args:
        agent: who plays.
        envs: where; n services have an axis n, see :mod:`meshagents.training.application`.
        steps: of the batch.
        seed: of the reset. It fixes the contexts where these do not depend on the actions.

    Returns:
        The mean reward of an interaction, shape ([n]), and the mean loss (NaN where nothing was learned).
    """
    rewards, losses = [], []
    for transition in _transitions(agent, envs, steps, seed):
        rewards.append(transition.reward)
        loss = agent.update(transition)
        losses.append(np.nan if loss is None else loss)
    return np.concatenate(rewards).mean(axis=0), float(np.mean(losses))


def _transitions(agent: Agent, envs: VectorEnv[Any, Any, Any], steps: int, seed: int) -> Iterator[Transition]:
    """Steps of the batch, each with the observation that truly followed, whatever the autoreset mode."""
    mode = AutoresetMode(envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
    if mode is AutoresetMode.DISABLED:
        raise AgentError("these environments do not reset by themselves; make them with another autoreset_mode")
    observation, _ = envs.reset(seed=seed)
    running = np.ones(envs.num_envs, dtype=bool)
    for _ in range(steps):
        action = agent.act(observation, explore=True)
        following, reward, terminated, truncated, info = envs.step(action)
        ended = terminated | truncated
        last = following
        if mode is AutoresetMode.SAME_STEP and ended.any():
            last = following.copy()
            last[ended] = np.stack(list(info["final_obs"][ended]))
        if running.any():
            yield Transition(*(column[running] for column in (observation, action, reward, last, terminated)))
        if mode is AutoresetMode.NEXT_STEP:
            running = ~ended  # the next step only resets an environment that has ended
        observation = following


def train(
    agent: LearningAgent,
    envs: VectorEnv[Any, Any, Any],
    history: History | None = None,
    progress: Progress | None = None,
) -> History:
    """Train for the epochs that are left, beside a random baseline on the same contexts.

    The agent remembers itself (see :meth:`LearningAgent.best`) as it was after the epoch with the highest ratio,
    services averaged, of the run's last 25: the one the paper validates (Sec. 6.2).

    Each epoch begins with a reset seeded by the agent's seed and the epoch's number. So a run that goes on
    from a saved agent and history is, to the last bit, the run that was never cut; and an epoch should be
    longer than an episode where that matters (``interactions / num_envs`` steps).

    Args:
        agent: made for these environments; its ``hyperparameters`` says how long and how.
        envs: a batch of ``hyperparameters.num_envs`` environments.
        history: of the epochs already done; goes on from there.
        progress: called after each epoch.

    Raises:
        InvalidValueError: another number of environments than the hyperparameters's.
    """
    hyperparameters = agent.hyperparameters
    if envs.num_envs != hyperparameters.num_envs:
        raise InvalidValueError(
            "number of environments", envs.num_envs, f"the hyperparameters's num_envs, {hyperparameters.num_envs}"
        )
    history = history or History()
    steps = hyperparameters.interactions // hyperparameters.num_envs
    for epoch in range(len(history), hyperparameters.epochs):
        contexts, draws = (int(seed) for seed in np.random.SeedSequence((agent.seed, epoch)).generate_state(2))
        random, _ = play(RandomAgent(agent.task, draws), envs, steps, contexts)
        reward, loss = play(agent, envs, steps, contexts)
        history.reward.append(reward)
        history.random.append(random)
        history.loss.append(loss)
        if _is_best(history, hyperparameters.epochs):
            agent.remember()
        if progress:
            progress(history)
    return history


def _is_best(history: History, epochs: int) -> bool:
    """Whether the newest epoch has the highest ratio so far among the last 25 of a run of ``epochs``."""
    last = history.ratio[max(epochs - ROLLING_EPOCHS, 0) :].reshape(-1, history.ratio[0].size).mean(axis=1)
    return len(last) > 0 and bool(last[-1] >= last.max())
