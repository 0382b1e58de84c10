"""The same environment over a mesh that sends real traffic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gymnasium.utils import EzPickle
from numpy.typing import ArrayLike

from meshgym.envs.core import ALL, DEFAULT_CONTEXTS, DEFAULT_CONTROL, DEFAULT_REWARD, Core, Info, Observation
from meshgym.envs.render import rules_text
from meshgym.envs.single import CoreEnv
from meshgym.errors import MeshError
from meshgym.fields import OUTCOMES
from meshgym.mesh.base import Mesh
from meshgym.mesh.limits import CallLimits
from meshgym.rewards import Reward
from meshgym.scenarios import Scenario, load_scenario
from meshgym.types import RESPONSE_NAMES, Load, Response, TrafficRules


class LiveIstioEnv(CoreEnv, EzPickle):
    """:class:`meshgym.envs.single.MeshResilienceEnv` over a mesh that sends real traffic.

    Spaces, contexts, rewards, the keys of ``info`` and the rules that follow from a seed are those of the simulated
    environment. A real mesh doesn't predict: ``qps_std`` and ``p503_std`` are NaN, ``outside`` is False.
    Each step is one run of real load. A step that raises leaves the environment as it was and can be repeated.

    Args:
        scenario, control, reward, contexts, flat, outcomes: as for the simulated environment; an outcome that the mesh
            doesn't tell is NaN.
        mesh: any mesh; closing it is up to the caller. None stands for the embedded mesh: the first reset starts it
            and :meth:`close` ends it (the environment is a context manager).
        max_calls_per_step: the most calls of one step; no action of the scenario may have more.
        max_calls: the most calls in the environment's life.
        render_mode: ``"ansi"`` (the rules and the last response) or None.

    Raises:
        UnknownNameError: an unknown scenario, control, reward, contexts or render mode.
        InvalidValueError: an action of the scenario has more calls than a step may have.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 2}  # noqa: RUF012 (Gymnasium's type)

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
    ) -> None:
        limited = max_calls_per_step, max_calls
        EzPickle.__init__(self, scenario, control, mesh, reward, contexts, *limited, render_mode, flat, outcomes)
        scenario = load_scenario(scenario)
        limits = CallLimits(max_calls_per_step, max_calls)
        limits.check_run(scenario.actions["calls"][-1], f"largest number of calls in scenario {scenario.name}")
        self._live = _LimitedMesh(mesh, limits)
        outcomes = tuple(OUTCOMES)[len(RESPONSE_NAMES) :] if outcomes == ALL else outcomes
        core = Core(scenario, control, self._live, reward, contexts, flat=flat, outcomes=outcomes)
        super().__init__(core, render_mode)
        self._own = mesh is None
        self._last: Info = {}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, Info]:
        """Begin an episode as in simulation; start the embedded mesh if it isn't running.

        Raises:
            InvalidValueError: an option is given, or the scenario has no service profile to embed.
            MeshStartError: the embedded mesh did not start.
        """
        observation, info = super().reset(seed=seed, options=options)
        if self._live.mesh is None:
            from meshgym.mesh.embedded.mesh import EmbeddedMesh  # needs packages that simulation doesn't

            self._live.mesh = EmbeddedMesh(self._core.scenario)
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

    def render(self) -> str | None:
        """Return the last step as text, or the rules in force if there was none; None without a render mode."""
        if not self.render_mode:
            return None
        if not self._last:
            return f"{self._core.scenario.name}: {rules_text(self._core, self._core.rules[self._core.row])}"
        shown = (*self._core.scenario.load_names, "qps", "p200", "p503", "reward")
        measured = ", ".join(f"{name} {self._last[name]:.4g}" for name in shown)
        return f"{self._core.scenario.name}: {rules_text(self._core, self._last['rules'])}\n{measured}"

    def close(self) -> None:
        """End the embedded mesh if the environment started it; a reset starts it again."""
        if self._own and self._live.mesh is not None:
            self._live.mesh.close()
            self._live.mesh = None


class _LimitedMesh(Mesh):
    """Passes runs on to a mesh within limits on calls.

    Attributes:
        mesh: None while it isn't started.
    """

    def __init__(self, mesh: Mesh | None, limits: CallLimits) -> None:
        self.mesh = mesh
        self.limits = limits

    def measure(self, rules: TrafficRules, load: Load) -> Response:
        if self.mesh is None:
            raise MeshError("the environment is closed and has no mesh. Call reset() to start it again")
        self.limits.check(load.calls)
        self.limits.sent += load.calls
        return self.mesh.measure(rules, load)
