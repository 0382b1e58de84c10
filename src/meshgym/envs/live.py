"""The same environment over a mesh that sends real traffic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gymnasium.utils import EzPickle
from numpy.typing import ArrayLike

from meshgym.envs.core import DEFAULT_CONTEXTS, DEFAULT_CONTROL, DEFAULT_REWARD, Core, Info, Observation
from meshgym.envs.render import rules_text
from meshgym.envs.responses import MeshResponses
from meshgym.envs.single import CoreEnv
from meshgym.mesh.base import Mesh
from meshgym.rewards import Reward
from meshgym.scenarios import Scenario, load_scenario


class LiveIstioEnv(CoreEnv, EzPickle):
    """:class:`meshgym.envs.single.MeshResilienceEnv`, answered by a mesh instead of a simulator.

    Spaces, contexts, rewards and the keys of ``info`` are the same, and so are the rules that a seed brings.
    What cannot be known of a single run is NaN (``qps_std``, ``p503_std``) or False (``outside``).
    Each step is one run of real load; one that raises leaves the environment where it was and may be repeated.

    Args:
        scenario, control, reward, contexts: as for the simulated environment.
        mesh: any mesh; it stays the caller's to close. None is the embedded one, which the first reset starts
            and :meth:`close` ends (the environment is a context manager).
        max_calls_per_step: refuse a scenario with an action of more calls.
        max_calls: refuse to send more calls than this in the environment's life.
        render_mode: ``"ansi"`` (the rules and what was last measured) or None.

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
    ) -> None:
        EzPickle.__init__(self, scenario, control, mesh, reward, contexts, max_calls_per_step, max_calls, render_mode)
        scenario = load_scenario(scenario)
        self._responses = MeshResponses(mesh, scenario, max_calls_per_step, max_calls)
        super().__init__(Core(scenario, control, self._responses, reward, contexts), render_mode)
        self._own = mesh is None
        self._last: Info = {}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, Info]:
        """As in simulation; starts the embedded mesh if it is not running.

        Raises:
            InvalidValueError: an option is given, or the scenario has no service profile to embed.
            MeshStartError: the embedded mesh did not come up.
        """
        observation, info = super().reset(seed=seed, options=options)
        if self._responses.mesh is None:
            from meshgym.mesh.embedded.mesh import EmbeddedMesh  # needs packages that simulation does without

            self._responses.mesh = EmbeddedMesh(self._core.scenario)
        self._last = {}
        return observation, info

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, Info]:
        """Send the chosen load under the present rules.

        Raises:
            InvalidValueError: an action outside the space, or no reset before.
            LoadError: the run would exceed ``max_calls``.
            MeshError: the mesh could not answer.
        """
        observation, reward, terminated, truncated, info = super().step(action)
        self._last = {**info, "reward": reward}
        return observation, reward, terminated, truncated, info

    def render(self) -> str | None:
        """What was last measured, or the rules in force where nothing was; None without a render mode."""
        if not self.render_mode:
            return None
        if not self._last:
            return f"{self._core.scenario.name}: {rules_text(self._core.rules[self._core.row])}"
        shown = ("threads", "calls", "qps", "p200", "p503", "reward")
        measured = ", ".join(f"{name} {self._last[name]:.4g}" for name in shown)
        return f"{self._core.scenario.name}: {rules_text(self._last['rules'])}\n{measured}"

    def close(self) -> None:
        """End the embedded mesh, if it was started here; a reset starts it again."""
        if self._own and self._responses.mesh is not None:
            self._responses.mesh.close()
            self._responses.mesh = None
