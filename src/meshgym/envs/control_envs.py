"""Environments of control over time: single and batched over a simulator, and live."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import EzPickle
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from meshgym.envs.control import CHANGE_COST, ControlCore, ControlOptions
from meshgym.envs.core import Info, Observation
from meshgym.envs.options import check_count
from meshgym.envs.registration import CONTROL_STEPS
from meshgym.envs.single import CoreEnv
from meshgym.envs.vector import CoreVectorEnv
from meshgym.errors import MeshError
from meshgym.mesh.limits import CallLimits
from meshgym.mesh.sequences import Sequences, control_of
from meshgym.processes import Process
from meshgym.rewards import Reward
from meshgym.scenarios import CONTROL_SCENARIO, Scenario, load_scenario
from meshgym.simulator.sequential import SequenceSimulator, SimulatedSequences, sequence_simulator_for
from meshgym.types import Response


class _ControlEnv(CoreEnv):
    """A core of control as a Gymnasium environment, which shows the last interval as text."""

    metadata = {"render_modes": ["ansi"], "render_fps": 2}  # noqa: RUF012 (Gymnasium's type)
    _core: ControlCore

    def __init__(self, core: ControlCore, render_mode: str | None) -> None:
        super().__init__(core, render_mode)
        #: Names of what an observation shows.
        self.seen = core.seen
        self._last: Info = {}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, Info]:
        """Begin an episode: nothing is ejected or connected, and a new load is drawn.

        Args:
            seed: begins new draws; without one, the current ones go on.
            options: not supported.

        Raises:
            InvalidValueError: an option was given.
        """
        observation, self._last = super().reset(seed=seed, options=options)
        return observation, self._last

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, Info]:
        """Put rules in force for the next interval, and send its load.

        Raises:
            InvalidValueError: an action outside the space, or no reset before.
            MeshError: a live run failed; reset before the next step.
        """
        observation, reward, terminated, truncated, self._last = super().step(action)
        return observation, reward, terminated, truncated, self._last

    def render(self) -> Any:
        """Return the last interval as text; None without a render mode."""
        if self.render_mode is None:
            return None
        rules = ", ".join(
            f"{name} {value:g}" for name, value in zip(self._core.scenario.rule_names, self._last["rules"], strict=True)
        )
        numbers = ", ".join(f"{name} {self._last[name]:.4g}" for name in ("rate_per_s", "p200", "p503", "ejected"))
        return f"{self._core.scenario.name}: {rules}\n{numbers}"


class MeshControlEnv(_ControlEnv):
    """Set the traffic rules for the next interval, while the load goes up and down and replicas fail.

    ## Description
    Time goes on in intervals (of one second in the bundled scenario C1, twenty to an episode). What an interval leaves
    behind stays: replicas that are ejected, connections, capacity that is used up. Changing rules costs something, and
    makes Envoy build the cluster anew, without ejections or connections. The simulator was learned from sequences of
    intervals on the real Envoy.

    ## Action space
    `MultiDiscrete`, an index for each rule that varies; `Discrete` with `flat=True`; a `Box` from 0 to 1 with
    `continuous=True`. `env.unwrapped.actions` translates. The first choice of an episode costs nothing.

    ## Observation space
    A float32 `Box` in real units; `env.unwrapped.seen` has the names: the rules in force; the rate of the last interval
    and of the one before, in calls per second; the shares of 503s in the last interval by reason (`p_overflow`,
    `p_no_healthy_host`, `p_upstream_error`); and the replicas that are ejected. The load to come, and when replicas
    fail, isn't shown.

    ## Reward
    200s per second (`qps * p200`), less `change_cost` if the rules are others than in the interval before.

    ## Episode end
    Episodes never terminate; the time limit that `gymnasium.make` adds truncates them after 20 intervals.

    ## Info
    `rules` (float64, in the order of the scenario's `rule_names`), `rate_per_s`, `calls`, `qps`, `p200`, `p503`, the
    shares of 503s by reason, `ejected` and `connected` at the end of the interval, `changed` (whether the rules were
    changed), `outside` (whether the simulator had to extrapolate).

    ## Arguments
    Args:
        scenario: `"C1"`, the path of a TOML file with a section `[control]`, or a `Scenario`.
        simulator: a `SequenceSimulator`, the path of one, or None for the bundled one.
        process: `"constant"`, `"daily"`, `"burst"`, `"ramp"`, `"mixed"` (one of these for each episode), a CSV file
            with a column `rate_per_s`, or a function; see `meshgym.processes`.
        reward: of an interval, see `meshgym.rewards`.
        change_cost: in the reward's unit, 0 and above.
        flat, continuous: form of the actions.
        sample: whether intervals scatter as real ones do; else each is what is expected.
        render_mode: `"ansi"` or None.

    Raises:
        UnknownNameError: an unknown scenario, process, reward or render mode.
        InvalidValueError: a scenario without `[control]`.
        SimulatorError: no usable simulator.

    ## Version history
    * v0: initial version
    """

    def __init__(
        self,
        scenario: str | Path | Scenario = CONTROL_SCENARIO,
        simulator: str | Path | SequenceSimulator | None = None,
        process: str | Path | Process = "mixed",
        reward: str | Reward = "best_case",
        change_cost: float = CHANGE_COST,
        flat: bool = False,
        continuous: bool = False,
        sample: bool = True,
        render_mode: str | None = None,
    ) -> None:
        options = ControlOptions(process, reward, change_cost, flat, continuous)
        super().__init__(ControlCore(_simulated(scenario, simulator, 1, sample), options), render_mode)


class MeshControlVectorEnv(CoreVectorEnv, gym.vector.VectorEnv[Observation, Any, NDArray[Any]]):
    """``num_envs`` copies of :class:`MeshControlEnv`, stepped together; equal to single ones to the last bit.

    Args:
        scenario, simulator, process, reward, change_cost, flat, continuous, sample: as for the single environment.
        num_envs: number of copies, at least 1.
        max_episode_steps, autoreset_mode: see :class:`meshgym.envs.vector.CoreVectorEnv`.
        render_mode: None.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 (Gymnasium's type)

    def __init__(
        self,
        scenario: str | Path | Scenario = CONTROL_SCENARIO,
        simulator: str | Path | SequenceSimulator | None = None,
        process: str | Path | Process = "mixed",
        reward: str | Reward = "best_case",
        change_cost: float = CHANGE_COST,
        flat: bool = False,
        continuous: bool = False,
        sample: bool = True,
        num_envs: int = 1,
        max_episode_steps: int = CONTROL_STEPS,
        render_mode: str | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
    ) -> None:
        copies = check_count("num_envs", num_envs)
        options = ControlOptions(process, reward, change_cost, flat, continuous)
        core = ControlCore(_simulated(scenario, simulator, copies, sample), options, copies)
        super().__init__(core, max_episode_steps, render_mode, autoreset_mode)
        self.seen = core.seen


class LiveMeshControlEnv(_ControlEnv, EzPickle):
    """:class:`MeshControlEnv` on the embedded mesh: each step is an interval of real traffic, on the clock.

    Spaces, loads, rewards and the keys of ``info`` are those of the simulated environment.

    Args:
        scenario, process, reward, change_cost, flat, continuous, render_mode: as for the simulated environment.
        fresh: whether ejections and connections don't stay, to see what difference they make.
        max_calls: the most calls in the environment's life.

    Raises:
        UnknownNameError, InvalidValueError: as for the simulated environment.
    """

    def __init__(
        self,
        scenario: str | Path | Scenario = CONTROL_SCENARIO,
        process: str | Path | Process = "mixed",
        reward: str | Reward = "best_case",
        change_cost: float = CHANGE_COST,
        flat: bool = False,
        continuous: bool = False,
        render_mode: str | None = None,
        fresh: bool = False,
        max_calls: int = 1_000_000,
    ) -> None:
        shown = flat, continuous, render_mode, fresh, max_calls
        EzPickle.__init__(self, scenario, process, reward, change_cost, *shown)
        self._live = _LazySequences(load_scenario(scenario), 1, fresh, max_calls)
        options = ControlOptions(process, reward, change_cost, flat, continuous)
        super().__init__(ControlCore(self._live, options), render_mode)

    def close(self) -> None:
        """End the embedded mesh; a reset starts it again."""
        self._live.close()


class LiveMeshControlVectorEnv(CoreVectorEnv, gym.vector.VectorEnv[Observation, Any, NDArray[Any]]):
    """``num_envs`` copies of :class:`LiveMeshControlEnv`, side by side in lanes of one mesh, on one clock.

    Args:
        scenario, process, reward, change_cost, flat, continuous, fresh: as for the single environment.
        max_calls: likewise, of all copies together.
        num_envs: number of copies, 1..64.
        max_episode_steps, autoreset_mode: see :class:`meshgym.envs.vector.CoreVectorEnv`.
        render_mode: None.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 (Gymnasium's type)

    def __init__(
        self,
        scenario: str | Path | Scenario = CONTROL_SCENARIO,
        process: str | Path | Process = "mixed",
        reward: str | Reward = "best_case",
        change_cost: float = CHANGE_COST,
        flat: bool = False,
        continuous: bool = False,
        num_envs: int = 1,
        max_episode_steps: int = CONTROL_STEPS,
        render_mode: str | None = None,
        fresh: bool = False,
        max_calls: int = 1_000_000,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
    ) -> None:
        copies = check_count("num_envs", num_envs)
        self._live = _LazySequences(load_scenario(scenario), copies, fresh, max_calls)
        core = ControlCore(self._live, ControlOptions(process, reward, change_cost, flat, continuous), copies)
        super().__init__(core, max_episode_steps, render_mode, autoreset_mode)
        self.seen = core.seen

    def close_extras(self, **kwargs: Any) -> None:
        """End the embedded mesh."""
        self._live.close()


class _LazySequences(Sequences):
    """Sequences on an embedded mesh that is started when the first one begins, within a limit on calls."""

    def __init__(self, scenario: Scenario, copies: int, fresh: bool, max_calls: int) -> None:
        super().__init__(scenario, copies)
        most = round(scenario.load["rate_per_s"].high * self.control.interval_s)
        self._limits, self._fresh = CallLimits(max(most, 1), max_calls), fresh
        self._opened: Sequences | None = None

    def begin(self) -> None:
        """See :meth:`Sequences.begin`."""
        if self._opened is None:
            from meshgym.mesh.embedded.sequences import EmbeddedSequences  # needs packages that simulation doesn't

            self._opened = EmbeddedSequences(self.scenario, self.copies, self._fresh)
        self._opened.begin()

    def measure(self, settings: NDArray[np.float64]) -> Response:
        """See :meth:`Sequences.measure`."""
        if self._opened is None:
            raise MeshError("the environment is closed and has no mesh. Call reset() to start it again")
        self._limits.count(int(settings[:, -1].sum()))
        return self._opened.measure(settings)

    def close(self) -> None:
        """See :meth:`Sequences.close`."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()


def _simulated(
    scenario: str | Path | Scenario, simulator: str | Path | SequenceSimulator | None, copies: int, sample: bool
) -> SimulatedSequences:
    chosen = load_scenario(scenario)
    control_of(chosen)
    return SimulatedSequences(sequence_simulator_for(chosen, simulator), chosen, copies, sample)
