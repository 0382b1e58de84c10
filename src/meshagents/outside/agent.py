"""Read an agent that was made elsewhere, and check what it chooses."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meshagents.agent import Agent
from meshagents.errors import AgentError
from meshgym.envs.spaces import Actions, observation_space
from meshgym.errors import MissingDependencyError
from meshgym.rewards import imported
from meshgym.scenarios import Scenario

#: From observations, float32 of shape (n, inputs), to actions: whole numbers of shape (n,), or (n, 2) for both fields.
Function = Callable[[NDArray[np.float32]], ArrayLike]


class OutsideAgent(Agent):
    """Asks a function.

    Args:
        function: chooses actions. For both load fields, it returns two indices each, or one number as environments with
            ``flat=True`` have it.
        scenario: what it observes and chooses from.
        control: ``"threads"``, ``"calls"`` or ``"both"``.
        normalised: whether it observes numbers from 0 to 1, as environments with ``normalised=True`` show them.
        name: what messages call it.

    Raises:
        UnknownNameError: no such control.
    """

    def __init__(
        self, function: Function, scenario: Scenario, control: str, normalised: bool = False, name: str = "agent"
    ) -> None:
        self._function, self._normalised, self._name = function, normalised, name
        self._actions, self._flat = Actions(scenario, control), Actions(scenario, control, flat=True)
        self._space = observation_space(scenario, self._actions.free)
        self._shape = () if len(self._actions.names) == 1 else (2,)

    def act(self, observation: Any, explore: bool = False, service: int | None = None) -> NDArray[Any]:
        """See :meth:`Agent.act`.

        Raises:
            AgentError: actions of another shape or type, or out of range.
        """
        observation = np.asarray(observation, np.float32)
        leading, width = observation.shape[:-1], observation.shape[-1]
        if width != len(self._space.low):
            raise AgentError(f"{self._name} was given observations of {width} numbers, not {len(self._space.low)}")
        seen = observation.reshape(-1, width)
        if self._normalised:
            seen = (seen - self._space.low) / (self._space.high - self._space.low)
        chosen = self._checked(self._function(seen), len(seen))
        return np.stack(list(chosen.values()), axis=-1).reshape(*leading, *self._shape)

    def _checked(self, found: ArrayLike, count: int) -> dict[str, NDArray[Any]]:
        """Return the index of each load field."""
        actions = np.asarray(found)
        shapes = list(dict.fromkeys([(count, *self._shape), (count,)]))
        if actions.shape not in shapes or actions.dtype.kind not in "iu":
            wanted = " or ".join(map(str, shapes))
            came = f"{actions.dtype} of shape {actions.shape}"
            raise AgentError(f"{self._name} returned {came}; needed: whole numbers of shape {wanted}")
        kind = self._actions if actions.shape == shapes[0] else self._flat
        try:
            return kind.batch_choices(actions, count)
        except ValueError as error:
            raise AgentError(f"{self._name} chose an action that there isn't: {error}") from None


def read_function(text: str) -> Function:
    """Return the function of ``"module:function"``, a Stable-Baselines3 file (.zip), or an ONNX file (.onnx).

    Raises:
        InvalidValueError: no such module or function.
        AgentError: a file that is missing or damaged, or of another kind.
        MissingDependencyError: the file's library isn't installed.
    """
    path = Path(text)
    if path.suffix in (".zip", ".onnx"):
        if not path.is_file():
            raise AgentError(f"there is no agent's file {path}")
        return _of_stable_baselines(path) if path.suffix == ".zip" else _of_onnx(path)
    if ":" in text:
        function: Function = imported("agent", text)
        if not callable(function):
            raise AgentError(f"{text} is no function")
        return function
    raise AgentError(f"{text!r} is no agent; needed: a .npz of meshagents, a .zip, an .onnx, or module:function")


def _of_stable_baselines(path: Path) -> Function:
    """Return what a model's policy chooses. The file may hold pickled objects: read only what you trust."""
    try:
        with zipfile.ZipFile(path) as archive:
            about = json.loads(archive.read("data"))
        package, _, rest = about["policy_class"]["__module__"].partition(".")
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise AgentError(f"{path} is no Stable-Baselines3 file ({error})") from None
    try:
        library = import_module(package)
    except ImportError:
        raise MissingDependencyError(package.replace("_", "-"), f"reading {path}", "sb3") from None
    kind = rest.split(".")[0].upper()
    if kind == "COMMON":  # actors with a critic
        kind = "PPO" if "clip_range" in about else "A2C"
    try:
        model = getattr(library, kind).load(path, device="cpu")
    except Exception as error:  # whatever a foreign library raises
        raise AgentError(f"{package} can't read {path}: {error}") from error
    return lambda seen: model.predict(seen, deterministic=True)[0]


def _of_onnx(path: Path) -> Function:
    """Return the actions of a graph, or the best ones by its values of all actions, shape (n, actions)."""
    try:
        import onnxruntime
    except ImportError:
        raise MissingDependencyError("onnxruntime", f"reading {path}", "onnx") from None
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # whatever a foreign library raises
        raise AgentError(f"onnxruntime can't read {path}: {error}") from error
    name = session.get_inputs()[0].name

    def choose(seen: NDArray[np.float32]) -> NDArray[Any]:
        found = np.asarray(session.run(None, {name: seen})[0])
        return found.argmax(axis=-1) if found.dtype.kind == "f" and found.ndim == 2 else found

    return choose
