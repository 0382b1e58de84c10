"""The training loop, the same for simulated and live environments, one service and several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from meshagents.agent import Agent, Transition
from meshagents.errors import AgentError
from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.policies import RandomAgent
from meshagents.spaces import Spaces
from meshgym.errors import InvalidValueError

FloatArray = NDArray[np.float64]
#: The paper's ratio is averaged over so many epochs; its maximum is taken over so many last ones (Sec. 6.2).
ROLLING_EPOCHS = 25


def rolling_mean(values: FloatArray, window: int = ROLLING_EPOCHS) -> FloatArray:
    """Return the mean of each value and up to ``window - 1`` values before it, along the first axis."""
    total = np.cumsum(values, axis=0)
    total[window:] -= total[:-window].copy()
    counts = np.minimum(np.arange(1, len(values) + 1), window)
    return total / counts.reshape(-1, *[1] * (values.ndim - 1))


@dataclass
class History:
    """The rewards of a training by epoch; with n services each entry has shape (n,).

    Attributes:
        reward: mean reward of the agent's interactions, including exploration.
        random: mean reward of the random baseline in the same epoch, under the same contexts.
        loss: mean loss of the epoch's gradient steps.
    """

    reward: list[FloatArray] = field(default_factory=list)
    random: list[FloatArray] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.loss)

    @property
    def ratio(self) -> FloatArray:
        """The agent's reward over the random baseline's, shape (epochs, [n])."""
        return np.array(self.reward) / np.array(self.random)

    @property
    def paper_ratio(self) -> FloatArray:
        """The paper's metric: maximum of the ratio's rolling mean over the last 25 epochs, shape ([n])."""
        best: FloatArray = rolling_mean(self.ratio)[-ROLLING_EPOCHS:].max(axis=0)
        return best


#: Called after each epoch with the history so far.
Progress = Callable[[History], None]


class Learner(Protocol):
    """An agent that :func:`train` can train: an :class:`Agent` with two attributes more.

    Attributes:
        hyperparameters: how many epochs, interactions and environments; the rest is up to the agent.
        seed: fixes the contexts of each epoch.
    """

    hyperparameters: Hyperparameters
    seed: int

    def act(self, observation: Any, explore: bool = False, service: int | None = None) -> NDArray[Any]: ...
    def update(self, transition: Transition) -> float | None: ...
    def remember(self) -> None: ...


def play(agent: Agent | Learner, envs: VectorEnv[Any, Any, Any], steps: int, seed: int) -> tuple[FloatArray, float]:
    """Reset the environments, then let an agent act, explore and learn.

    Args:
        agent: who plays.
        envs: batched environments; several services have an axis of their own, see
            :mod:`meshagents.training.application`.
        steps: how many steps of the whole batch.
        seed: seed of the reset. It fixes the contexts, unless these depend on the actions.

    Returns:
        The mean reward of an interaction, shape ([n]), and the mean loss (NaN if the agent doesn't learn).
    """
    rewards, losses = [], []
    for transition in _transitions(agent, envs, steps, seed):
        rewards.append(transition.reward)
        loss = agent.update(transition)
        losses.append(np.nan if loss is None else loss)
    return np.concatenate(rewards).mean(axis=0), float(np.mean(losses))


def _transitions(agent: Agent | Learner, envs: VectorEnv[Any, Any, Any], steps: int, seed: int) -> Iterator[Transition]:
    """Yield the steps of the batch, with the observations that truly followed, in every autoreset mode."""
    mode = AutoresetMode(envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
    if mode is AutoresetMode.DISABLED:
        raise AgentError("these environments don't reset themselves; make them with another autoreset_mode")
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
            running = ~ended  # the next step only resets environments that have ended
        observation = following


def train(
    agent: Learner,
    envs: VectorEnv[Any, Any, Any],
    history: History | None = None,
    progress: Progress | None = None,
    more: int = 0,
    patience: int | None = None,
) -> History:
    """Train for the epochs that are left; also play a random baseline under the same contexts.

    Among the last 25 epochs, the agent remembers itself after the one with the highest ratio, averaged over services:
    that is the agent the paper validates (Sec. 6.2), see :meth:`Agent.best`.

    Each epoch begins with a reset, seeded by the agent's seed and the epoch's number. So training that goes on from a
    saved agent and history gives the same numbers, to the last bit, as training that was never stopped. If episodes
    matter, an epoch (``interactions / num_envs`` steps) should be longer than one.

    Args:
        agent: made for these environments; its ``hyperparameters`` say how long to train.
        envs: a batch of ``hyperparameters.num_envs`` environments.
        history: of the epochs that are done; new epochs are added to it.
        progress: called after each epoch.
        more: epochs beyond those of the hyperparameters, with the last learning rate and exploration.
        patience: end early once so many epochs have brought no higher ratio, as its rolling mean; None to go on.

    Raises:
        InvalidValueError: another number of environments than the hyperparameters have.
    """
    hyperparameters = agent.hyperparameters
    if envs.num_envs != hyperparameters.num_envs:
        raise InvalidValueError(
            "number of environments", envs.num_envs, f"the hyperparameters' num_envs, {hyperparameters.num_envs}"
        )
    history = History() if history is None else history
    spaces, steps = Spaces.of_envs(envs), hyperparameters.interactions // hyperparameters.num_envs
    epochs = hyperparameters.epochs + more
    for epoch in range(len(history), epochs):
        if patience is not None and _stale(history) >= patience:
            break
        contexts, draws = (int(seed) for seed in np.random.SeedSequence((agent.seed, epoch)).generate_state(2))
        random, _ = play(RandomAgent(spaces, draws), envs, steps, contexts)
        reward, loss = play(agent, envs, steps, contexts)
        history.reward.append(reward)
        history.random.append(random)
        history.loss.append(loss)
        if _is_best(history, epochs):
            agent.remember()
        if progress:
            progress(history)
    return history


def _stale(history: History) -> int:
    """Return how many epochs ago the ratio's rolling mean was highest, averaged over services."""
    if not len(history):
        return 0
    rolling = rolling_mean(history.ratio.reshape(len(history), -1).mean(axis=1))
    return len(history) - 1 - int(rolling.argmax())


def _is_best(history: History, epochs: int) -> bool:
    """Return whether the newest epoch has the highest ratio of the last 25 epochs so far."""
    last = history.ratio[max(epochs - ROLLING_EPOCHS, 0) :].reshape(-1, history.ratio[0].size).mean(axis=1)
    return len(last) > 0 and bool(last[-1] >= last.max())
