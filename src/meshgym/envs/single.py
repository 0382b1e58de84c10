"""One environment at a time, over a simulator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike, NDArray

from meshgym.envs.control import ControlCore
from meshgym.envs.core import Core, Info, Observation
from meshgym.envs.making import simulated_core
from meshgym.envs.options import DEFAULT_CONTEXTS, DEFAULT_CONTROL, DEFAULT_REWARD, Options, refuse_options
from meshgym.envs.render import RENDER_MODES, check_render_mode, render
from meshgym.rewards import Reward
from meshgym.scenarios import Scenario
from meshgym.simulator import Simulator


class CoreEnv(gym.Env[Any, Any]):
    """A core of one copy as a Gymnasium environment; subclasses choose the mesh."""

    def __init__(self, core: Core | ControlCore, render_mode: str | None) -> None:
        self._core: Any = core
        self.actions = core.actions
        self.action_space = core.actions.space
        self.observation_space = core.observation_space
        self.render_mode = check_render_mode(render_mode, self.metadata["render_modes"])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, Info]:
        """Begin an episode.

        Args:
            seed: begins a new sequence of contexts; without one, the current sequence goes on.
            options: not supported.

        Returns:
            The first observation, shape (7,) or (8,), and an info with the keys of a step's: the rules in force, and 0
            for load and response, since nothing was sent.

        Raises:
            InvalidValueError: an option was given.
        """
        refuse_options(options)
        new = seed is not None or not self._core.generators
        super().reset(seed=seed)
        begun: tuple[Observation, Info] = self._core.reset([self.np_random] if new else None)
        if self.render_mode == "human":
            self.render()
        return begun

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, Info]:
        """Play an action.

        Args:
            action: an index; two of them (threads, calls) if both are controlled.

        Returns:
            The next observation, the reward, terminated (never), truncated (never; the time limit of
            ``gymnasium.make`` does that), and the info of this step.

        Raises:
            InvalidValueError: an action outside the space, or no reset before.
        """
        observation, reward, info = self._core.step(self.actions.choices(action))
        if self.render_mode == "human":
            self.render()
        return observation, float(reward), False, False, info

    def render(self) -> Any:
        """Render the rewards, see :func:`meshgym.envs.render.render`; return None without a render mode.

        With the mode ``"human"``, each reset and step shows them in a window.
        """
        return render(self._core, self.render_mode) if self.render_mode else None


class OracleMixin:
    """What is expected of every action; for environments over a simulator."""

    _core: Core

    def reward_surface(self, context: ArrayLike | None = None) -> NDArray[np.float64]:
        """Return the expected reward of every load, shape (n_paces, n_calls); a defender's of all rules, an axis each.

        Args:
            context: an observation of this environment; None for the next step's (of the first copy).

        Raises:
            InvalidValueError: another observation, or no reset before.
        """
        return self._core.surface(context)

    def reward_table(
        self, rows: ArrayLike | None = None, most: int = 2000, seed: int = 0
    ) -> tuple[Observation, NDArray[np.float64]]:
        """Return observations of many contexts, and the expected reward of every action in each of them.

        Args:
            rows: of the scenario's ``rule_grid()``; of a defender's loads, pace by pace. None for all.
            most: how many contexts at most; of more, so many are drawn.
            seed: of the draw.

        Returns:
            Shape (n, inputs) and (n, actions): actions in the order of their numbers, of several fields that of
            ``numpy.ravel_multi_index``.
        """
        return self._core.reward_table(rows, most, seed)

    def oracle(self, context: ArrayLike | None = None) -> tuple[Any, float]:
        """Return the action with the highest expected reward, and that reward; argument and error as above."""
        assert self._core.oracle is not None
        return self._core.oracle.action(*self._core.context_of(context))


class MeshResilienceEnv(OracleMixin, CoreEnv):
    """Find the load that breaks a service under given traffic rules, on a simulator of the mesh.

    ## Description
    The agent observes the traffic rules in force and chooses how many threads send how many calls. The simulator
    predicts requests per second and the shares of 200s and 503s. The rules of the next step don't depend on the
    action, so this is a contextual bandit.

    ## Action space
    | control     | space                               | chosen                     |
    |-------------|-------------------------------------|----------------------------|
    | `"calls"`   | `Discrete(n_calls)`                 | index of the calls         |
    | `"threads"` | `Discrete(n_threads)`               | index of the threads       |
    | `"both"`    | `MultiDiscrete([n_threads, n_calls])` | both indices             |
    | `"rules"`   | `MultiDiscrete`, an entry for each rule that varies | indices of the rules; see below |

    An index points into the scenario's `actions` (paper, Table 6). `env.unwrapped.actions` translates:
    `decode(action)` returns real units, `encode(threads=..., calls=...)` returns the action.

    ## Observation space
    A float32 `Box` in real units, bounded by the scenario's ranges.

    | index | observation                  | unit        | S1 | S2 | S3 | S4 | S5 |
    |-------|------------------------------|-------------|----|----|----|----|----|
    | 0     | http1_max_pending_requests   | requests    | 1-7 | 3-7 | 12-18 | 12-18 | 15-30 |
    | 1     | max_connections              | connections | 1-7 | 3-7 | 1-5 | 10-20 | 5-15 |
    | 2     | max_requests_per_connection  | requests    | 1-7 | 3-7 | 10-16 | 12-18 | 15-30 |
    | 3     | base_ejection_time_s         | s           | 180 | 180 | 180 | 180 | 180 |
    | 4     | max_ejection_percent         | %           | 100 | 100 | 4-8 | 12-18 | 22-30 |
    | 5     | interval_s                   | s           | 1 | 1 | 1 | 1 | 1 |
    | 6     | consecutive_5xx_errors       | errors      | 1 | 1 | 4-8 | 12-18 | 22-30 |
    | 7     | the load field that isn't controlled, if any | connections or calls | | | | | |

    ## The defender
    With `control="rules"` the agent observes the load, threads and calls, and chooses the rules under which it is
    served: by an index for each rule that varies, by one number (`flat=True`), or by numbers from 0 to 1, of which each
    stands for the value at that part of the rule's range (`continuous=True`). Choose a reward to match, such as
    `"best_case"`: 200s per second.

    ## Reward
    `qps * p503` by default (paper, Eq. 3), in 1/s; see `meshgym.rewards`.

    ## Episode end
    Episodes never terminate. The time limit that `gymnasium.make` adds truncates them after 1000 steps.

    ## Info
    Each step returns `rules` (float64, in the order of the scenario's `rule_names`), `threads`,
    `calls`, `qps` (1/s), `p200`, `p503` (shares), `qps_std`, `p503_std` (standard deviations of single runs around
    `qps` and `p503`), `outside` (whether the simulator had to extrapolate), the further `outcomes` that are asked
    for, such as `p_overflow` (a share) or `latency_p99_s` (s; of the 200s), and with `regret` also `oracle_reward` and
    `regret`. All are NumPy's numbers and arrays. A reset returns the same keys and types: the rules in force, and 0 for
    load and response, since nothing was sent.

    ## Arguments
    Args:
        scenario: `"S1"`..`"S5"`, the path of a TOML file, or a `Scenario`.
        control: `"calls"`, `"threads"`, `"both"` or `"rules"`.
        simulator: a `Simulator` fitted for the scenario, the path of one, or None for the bundled one.
        reward: `"worst_case"`, `"best_case"`, a registered name, `"module:function"`, or a function of (qps, p200,
            p503) and further outcomes, by name, or of a `meshgym.rewards.Run`.
        contexts: `"uniform"` over the rules grid, `"traces"`, `"walk"`, or rules to draw from, shape (n, rules).
        render_mode: `"ansi"`, `"rgb_array"`, `"human"` (a window) or None.
        flat: whether one `Discrete` number chooses both load fields, `threads * n_calls + calls`, or all rules.
        outcomes: further outcomes in the info, by name (see :data:`meshgym.fields.OUTCOMES`), or `"all"` that the
            simulator predicts. Without them a step is faster.
        sample: whether responses are drawn from their predicted distribution, as runs of a real mesh scatter, by a
            generator of its own that follows from the seed.
        normalised: whether observations are shown from 0 to 1 instead of in real units.
        regret: whether the info has `oracle_reward`, the most that any action is expected to get, and `regret`, by how
            much the chosen one is expected to get less.
        continuous: whether a defender chooses by numbers from 0 to 1.

    Raises:
        UnknownNameError: an unknown scenario, control, reward, contexts or render mode.
        SimulatorError: no usable simulator, or one that was fitted for another scenario.

    ## Version history
    * v0: initial version
    """

    metadata = {"render_modes": RENDER_MODES, "render_fps": 2}  # noqa: RUF012 (Gymnasium's type)

    def __init__(
        self,
        scenario: str | Path | Scenario,
        control: str = DEFAULT_CONTROL,
        simulator: str | Path | Simulator | None = None,
        reward: str | Reward = DEFAULT_REWARD,
        contexts: str | ArrayLike = DEFAULT_CONTEXTS,
        render_mode: str | None = None,
        flat: bool = False,
        outcomes: str | Sequence[str] = (),
        sample: bool = False,
        normalised: bool = False,
        regret: bool = False,
        continuous: bool = False,
    ) -> None:
        options = Options(control, reward, contexts, flat, outcomes, normalised, regret, continuous)
        super().__init__(simulated_core(scenario, simulator, options, sample=sample), render_mode)
