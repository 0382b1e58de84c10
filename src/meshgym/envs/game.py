"""A game of two: one sets rules, the other sends load, and neither sees what the other does first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from numpy.typing import NDArray
from pettingzoo import ParallelEnv  # type: ignore[import-untyped]

from meshgym.envs.core import Info
from meshgym.envs.options import CHECKERS_OPTION, check_count, refuse_options
from meshgym.envs.registration import EPISODE_STEPS
from meshgym.errors import InvalidValueError
from meshgym.rewards import Reward, apply_reward, load_reward
from meshgym.scenarios import Scenario, load_scenario
from meshgym.simulator import SimulatedMesh, Simulator, simulator_for

FloatArray = NDArray[np.float64]
RULES_PLAYER, LOAD_PLAYER = "rules", "load"
#: Rewards computed at once.
_BATCH = 1_000_000


def payoffs(
    scenario: str | Path | Scenario,
    simulator: str | Path | Simulator | None = None,
    reward: str | Reward = "worst_case",
) -> FloatArray:
    """Return what the sender of load is expected to get, shape (sets of rules, loads); the setter of rules loses it.

    Args:
        scenario, simulator: as for :class:`MeshGame`.
        reward: of the sender, see :func:`meshgym.rewards.load_reward`.

    Raises:
        SimulatorError: no usable simulator, or one that was fitted for another scenario.
    """
    chosen = load_scenario(scenario)
    rewarded = load_reward(reward)
    mesh = SimulatedMesh(simulator_for(chosen, simulator)).on_grid(chosen, further=True)
    rules, paces, calls = len(mesh.rules), len(mesh.paces), len(mesh.calls)
    flat = np.empty(rules * paces * calls)
    for start in range(0, len(flat), _BATCH):
        row, pace, call = np.unravel_index(np.arange(start, min(start + _BATCH, len(flat))), (rules, paces, calls))
        response = mesh.measure(row, pace, call)
        settings = mesh.settings(row, pace, call)
        flat[start : start + len(row)] = apply_reward(rewarded, response, settings, chosen.setting_names)
    return flat.reshape(rules, paces * calls)


class MeshGame(ParallelEnv[str, NDArray[np.float32], int]):  # type: ignore[misc]
    """A zero-sum game over a simulator: ``"rules"`` sets rules, ``"load"`` sends load, both at once.

    ## Action spaces
    | agent     | space                       | chosen                                                    |
    |-----------|-----------------------------|-----------------------------------------------------------|
    | `"rules"` | `Discrete(sets of rules)`   | a row of the scenario's grid of rules                     |
    | `"load"`  | `Discrete(loads)`           | `pace * n_calls + calls`, indices into its `actions`      |

    ## Observation spaces
    Each agent sees the other's last action, as a share of the actions it has, and 0 at the beginning: shape (1,).

    ## Rewards
    The sender gets the reward, the setter loses it. Every step is the same game; `payoffs` has all of it.

    Args:
        scenario: ``"S1"``..``"S5"``, the path of a TOML file, or a ``Scenario``.
        simulator: a ``Simulator``, the path of one, or None for the bundled one.
        reward: of the sender, see :func:`meshgym.rewards.load_reward`.
        max_episode_steps: steps after which both agents are truncated.

    Raises:
        UnknownNameError: an unknown scenario or reward.
        SimulatorError: no usable simulator, or one that was fitted for another scenario.
    """

    metadata = {"name": "mesh_game_v0", "render_modes": [], "is_parallelizable": True}  # noqa: RUF012 (PettingZoo's type)
    render_mode = None

    def __init__(
        self,
        scenario: str | Path | Scenario,
        simulator: str | Path | Simulator | None = None,
        reward: str | Reward = "worst_case",
        max_episode_steps: int = EPISODE_STEPS,
    ) -> None:
        self.scenario = load_scenario(scenario)
        #: What the sender is expected to get, shape (sets of rules, loads).
        self.payoffs = payoffs(self.scenario, simulator, reward)
        self.max_episode_steps = check_count("max_episode_steps", max_episode_steps)
        self.possible_agents = [RULES_PLAYER, LOAD_PLAYER]
        self.agents: list[str] = []
        self.action_spaces = {
            agent: spaces.Discrete(count) for agent, count in zip(self.possible_agents, self.payoffs.shape, strict=True)
        }
        self.observation_spaces = {agent: spaces.Box(0, 1, (1,)) for agent in self.possible_agents}
        self._steps = 0

    def observation_space(self, agent: str) -> spaces.Box:
        """Return an agent's observation space, always the same object."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Discrete:
        """Return an agent's action space, always the same object."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, Info]]:
        """Begin an episode. Nothing is drawn, so a seed changes nothing.

        Raises:
            InvalidValueError: an option was given.
        """
        refuse_options(options, ignored=CHECKERS_OPTION)
        self.np_random, _ = seeding.np_random(seed)
        self.agents, self._steps = list(self.possible_agents), 0
        return self._seen(dict.fromkeys(self.agents, 0)), {agent: {} for agent in self.agents}

    def step(
        self, actions: dict[str, int]
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, float], dict[str, bool], dict[str, bool], dict[str, Info]]:
        """Play both actions at once.

        Raises:
            InvalidValueError: not one action of each agent, one outside its space, or no running episode.
        """
        agents = self.agents
        if not agents:
            raise InvalidValueError("step()", "before reset(), or after the end", "a running episode", "Call reset().")
        if set(actions) != set(agents):
            raise InvalidValueError("agents", sorted(actions), f"exactly {', '.join(agents)}")
        for agent, action in actions.items():
            if not self.action_spaces[agent].contains(np.int64(action) if isinstance(action, int) else action):
                most = self.action_spaces[agent].n - 1
                raise InvalidValueError(f"action of {agent}", action, f"a whole number 0..{most}")
        gained = float(self.payoffs[int(actions[RULES_PLAYER]), int(actions[LOAD_PLAYER])])
        self._steps += 1
        over = self._steps == self.max_episode_steps
        self.agents = [] if over else agents
        others = {RULES_PLAYER: int(actions[LOAD_PLAYER]), LOAD_PLAYER: int(actions[RULES_PLAYER])}
        return (
            self._seen(others),
            {RULES_PLAYER: -gained, LOAD_PLAYER: gained},
            dict.fromkeys(agents, False),
            dict.fromkeys(agents, over),
            {agent: {} for agent in agents},
        )

    def _seen(self, others: dict[str, int]) -> dict[str, NDArray[np.float32]]:
        """Return what each agent sees of the other's action."""
        counts = dict(zip(self.possible_agents, self.payoffs.shape[::-1], strict=True))  # the other's actions
        return {agent: np.array([other / max(counts[agent] - 1, 1)], np.float32) for agent, other in others.items()}

    def render(self) -> None:
        """There is nothing to see."""


#: The name that PettingZoo's users look for.
game_env = MeshGame
