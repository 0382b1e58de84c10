"""The same environment over a mesh that sends real traffic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.utils import EzPickle
from gymnasium.vector import AutoresetMode
from numpy.typing import ArrayLike, NDArray

from meshgym.envs.core import Info, Observation
from meshgym.envs.making import live_core
from meshgym.envs.options import DEFAULT_CONTEXTS, DEFAULT_CONTROL, DEFAULT_REWARD, Options, check_count
from meshgym.envs.picture import rules_text
from meshgym.envs.registration import EPISODE_STEPS
from meshgym.envs.render import RENDER_MODES
from meshgym.envs.single import CoreEnv
from meshgym.envs.vector import CoreVectorEnv
from meshgym.errors import InvalidValueError, MeshError
from meshgym.mesh.base import Mesh
from meshgym.mesh.limits import CallLimits
from meshgym.rewards import Reward
from meshgym.scenarios import SCENARIO_NAMES, Scenario, load_scenario
from meshgym.simulator import Simulator, response_table, simulator_for
from meshgym.types import SETTING_NAMES, Load, Response, TrafficRules

#: Settings that the embedded mesh measures at once.
_MOST_LANES = 64


class LiveIstioEnv(CoreEnv, EzPickle):
    """:class:`meshgym.envs.single.MeshResilienceEnv` over a mesh that sends real traffic.

    Spaces, contexts, rewards, the keys of ``info`` and the rules that follow from a seed are those of the simulated
    environment. A real mesh doesn't predict: ``qps_std`` and ``p503_std`` are NaN, ``outside`` is False.
    Each step is one run of real load. A step that raises leaves the environment as it was and can be repeated.

    Args:
        scenario, control, reward, contexts, flat, outcomes, normalised, continuous: as for the simulated environment;
            an outcome that the mesh doesn't tell is NaN.
        mesh: any mesh; closing it is up to the caller. None stands for the embedded mesh: the first reset starts it
            and :meth:`close` ends it (the environment is a context manager).
        max_calls_per_step: the most calls of one step; no action of the scenario may have more.
        max_calls: the most calls in the environment's life.
        render_mode: ``"ansi"`` (the rules and the last response), ``"rgb_array"`` (the rewards that a simulator expects
            under these rules, and the action), ``"human"`` (the same in a window) or None.
        simulator: draws the image; None for the one that is bundled for the scenario. Without any, there are no images.

    Raises:
        UnknownNameError: an unknown scenario, control, reward, contexts or render mode.
        InvalidValueError: an action of the scenario has more calls than a step may have.
        SimulatorError: the simulator is of another scenario.
    """

    metadata = {"render_modes": RENDER_MODES, "render_fps": 2}  # noqa: RUF012 (Gymnasium's type)

    def __init__(
        self,
        scenario: str | Path | Scenario,
        control: str = DEFAULT_CONTROL,
        mesh: Mesh | None = None,
        reward: str | Reward = DEFAULT_REWARD,
        contexts: str | ArrayLike = DEFAULT_CONTEXTS,
        max_calls_per_step: int = 10_000,
        max_calls: int = 1_000_000,
        render_mode: str | None = None,
        flat: bool = False,
        outcomes: str | Sequence[str] = (),
        normalised: bool = False,
        simulator: str | Path | Simulator | None = None,
        continuous: bool = False,
    ) -> None:
        limited = max_calls_per_step, max_calls
        shown = render_mode, flat, outcomes, normalised, simulator, continuous
        EzPickle.__init__(self, scenario, control, mesh, reward, contexts, *limited, *shown)
        scenario = load_scenario(scenario)
        self._live = _LimitedMesh(scenario, mesh, CallLimits(*limited))
        options = Options(control, reward, contexts, flat, outcomes, normalised, continuous=continuous)
        core = live_core(scenario, self._live, options)
        drawn = simulator is not None or scenario.name in SCENARIO_NAMES
        self.metadata = {**self.metadata, "render_modes": RENDER_MODES if drawn else ["ansi"]}
        if drawn and render_mode in ("rgb_array", "human"):
            core.oracle = core.oracle_on(response_table(simulator_for(scenario, simulator), scenario))
        super().__init__(core, render_mode)
        self._last: Info = {}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, Info]:
        """Begin an episode as in simulation; start the embedded mesh if it isn't running.

        Raises:
            InvalidValueError: an option is given, or the scenario has no service profile to embed.
            MeshStartError: the embedded mesh did not start.
        """
        observation, info = super().reset(seed=seed, options=options)
        self._live.start()
        self._last = {}
        return observation, info

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, Info]:
        """Send the chosen load under the current rules.

        Raises:
            InvalidValueError: an action outside the space, no reset before, or more than ``max_calls`` in total.
            MeshError: the run failed.
        """
        observation, reward, terminated, truncated, info = super().step(action)
        self._last = {**info, "reward": reward}
        return observation, reward, terminated, truncated, info

    def render(self) -> Any:
        """Return the last step as text, or the rules in force if there was none; None without a render mode."""
        if self.render_mode != "ansi":
            return super().render()
        if not self._last:
            return f"{self._core.scenario.name}: {self._core.met_text()}"
        shown = (*self._core.scenario.load_names, "qps", "p200", "p503", "reward")
        measured = ", ".join(f"{name} {self._last[name]:.4g}" for name in shown)
        return f"{self._core.scenario.name}: {rules_text(self._core.scenario, self._last['rules'])}\n{measured}"

    def close(self) -> None:
        """End the embedded mesh if the environment started it; a reset starts it again."""
        self._live.end()


class LiveIstioVectorEnv(CoreVectorEnv, gym.vector.VectorEnv[Observation, Any, NDArray[Any]]):
    """``num_envs`` copies of :class:`LiveIstioEnv` that send their loads side by side.

    Args:
        scenario, control, reward, contexts, flat, outcomes, normalised, continuous: as for the single environment.
        max_calls_per_step, max_calls: likewise; the second is for all copies together.
        mesh: any mesh; one that can't measure several settings at once measures one after the other. None stands for
            the embedded mesh with a lane for each copy.
        num_envs: number of copies, 1..64.
        max_episode_steps, autoreset_mode: see :class:`meshgym.envs.vector.CoreVectorEnv`.
        render_mode: None.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 (Gymnasium's type)

    def __init__(
        self,
        scenario: str | Path | Scenario,
        control: str = DEFAULT_CONTROL,
        mesh: Mesh | None = None,
        reward: str | Reward = DEFAULT_REWARD,
        contexts: str | ArrayLike = DEFAULT_CONTEXTS,
        num_envs: int = 1,
        max_episode_steps: int = EPISODE_STEPS,
        max_calls_per_step: int = 10_000,
        max_calls: int = 1_000_000,
        render_mode: str | None = None,
        flat: bool = False,
        outcomes: str | Sequence[str] = (),
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        normalised: bool = False,
        continuous: bool = False,
    ) -> None:
        scenario = load_scenario(scenario)
        if check_count("num_envs", num_envs) > _MOST_LANES:
            raise InvalidValueError("num_envs", num_envs, f"a whole number 1..{_MOST_LANES}")
        self._live = _LimitedMesh(scenario, mesh, CallLimits(max_calls_per_step, max_calls), num_envs)
        options = Options(control, reward, contexts, flat, outcomes, normalised, continuous=continuous)
        core = live_core(scenario, self._live, options, num_envs)
        super().__init__(core, max_episode_steps, render_mode, autoreset_mode)

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """Begin an episode in every copy; start the embedded mesh if it isn't running."""
        begun = super().reset(seed=seed, options=options)
        self._live.start()
        return begun

    def close_extras(self, **kwargs: Any) -> None:
        """End the embedded mesh if the environment started it."""
        self._live.end()


class _LimitedMesh(Mesh):
    """Passes runs on to a mesh within limits on calls.

    Args:
        scenario: of the embedded mesh that stands for None; no action of it may have more calls than a run may.
        mesh: None for the embedded one, once it is started.
        limits: on calls.
        lanes: of the embedded mesh.
    """

    def __init__(self, scenario: Scenario, mesh: Mesh | None, limits: CallLimits, lanes: int = 1) -> None:
        limits.check_run(scenario.actions["calls"][-1], f"largest number of calls in scenario {scenario.name}")
        self._scenario, self.mesh, self._limits, self._lanes = scenario, mesh, limits, lanes
        self._own = mesh is None

    def start(self) -> None:
        if self.mesh is None:
            from meshgym.mesh.embedded.mesh import EmbeddedMesh  # needs packages that simulation doesn't

            self.mesh = EmbeddedMesh(self._scenario, lanes=self._lanes)

    def end(self) -> None:
        if self._own and self.mesh is not None:
            self.mesh.close()
            self.mesh = None

    def measure(self, rules: TrafficRules, load: Load) -> Response:
        mesh = self._counted(load.calls)
        return mesh.measure(rules, load)

    def measure_many(self, settings: Any, names: Sequence[str] = SETTING_NAMES) -> Response:
        mesh = self._counted(int(settings[:, list(names).index("calls")].sum()))
        return mesh.measure_many(settings, names)

    def _counted(self, calls: int) -> Mesh:
        """Count calls before they are sent."""
        if self.mesh is None:
            raise MeshError("the environment is closed and has no mesh. Call reset() to start it again")
        self._limits.count(calls)
        return self.mesh
