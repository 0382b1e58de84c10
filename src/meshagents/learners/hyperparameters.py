"""Every number a training run depends on, in one flat, frozen, validated dataclass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from meshgym.errors import InvalidValueError, UnknownNameError


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """Settings of the learners and of the training loop. The defaults are ours; see :data:`PRESETS`.

    Attributes:
        epochs: how many, at least 1 (paper: 500).
        interactions: of an epoch, over all environments of the batch; a multiple of ``num_envs`` (paper: 1000).
        num_envs: environments stepped together, at least 1.
        updates: gradient steps after each step of the batch, at least 1.
        batch_size: transitions of a gradient step, at least 1.
        replay_size: transitions kept, at least ``batch_size``.
        width: units of each hidden layer (paper: 512).
        frequencies: sines and cosines of each input that the networks get beside it, 0..8 (paper: none).
        learning_rate: of Adam, at the first interaction (paper: 5e-5 single, 1e-5 collaborative).
        final_learning_rate: at the last one, on a cosine; equal to ``learning_rate`` for a constant one.
        adam_beta1: decay of Adam's mean of gradients, 0..0.9999. A simulator's targets are free of noise, so a shorter
            memory than the usual 0.9 does.
        adam_beta2: decay of Adam's mean of squared gradients, 0..0.9999 (usual: 0.999).
        epsilon: share of random actions at the first interaction, 0..1.
        final_epsilon: share of random actions once exploration is over, 0..1.
        exploration: share of the run over which ``epsilon`` falls to ``final_epsilon``, 0..1.
        gamma: discount of the next state's value, 0 and below 1. 0 because the rules drawn next do not depend
            on the action.
        target_rate: share of the online network that goes over to the target network at each gradient step
            (used where ``gamma`` is above 0), above 0 and up to 1.
        leniency: weight of the error of an independent agent that was disappointed, against 1 for one that
            was surprised; 1 for plain regression, above 0 and up to 1.
        within_round: whether the first agent of a dependent pair learns what the second can make of its action,
            instead of the reward received (the paper's).
        first: which agent of a dependent pair acts first, 0 (threads) or 1 (calls).
        beta: weight of the mean reward of all services (Eq. 8), 0 and above.
        control_variate: whether the other services' known share is taken out of Eq. 8 before it is learned:
            the same best action, less noise.
        shared: whether the services share one SNet; otherwise each has its own.
        q_weight: of the Q-factors' loss in SNet's, 0 and above.
        prediction_weight: of the next-state prediction's loss (Eq. 11) in SNet's, 0 and above.

    Raises:
        InvalidValueError: a value outside its range.
    """

    epochs: int = 75
    interactions: int = 1000
    num_envs: int = 125
    updates: int = 1
    batch_size: int = 128
    replay_size: int = 20_000
    width: int = 512
    frequencies: int = 3
    learning_rate: float = 3e-3
    final_learning_rate: float = 1e-5
    adam_beta1: float = 0.7
    adam_beta2: float = 0.95
    epsilon: float = 1.0
    final_epsilon: float = 0.0
    exploration: float = 0.6
    gamma: float = 0.0
    target_rate: float = 0.01
    leniency: float = 0.1
    within_round: bool = True
    first: int = 0
    beta: float = 0.5
    control_variate: bool = True
    shared: bool = True
    q_weight: float = 1.0
    prediction_weight: float = 0.1

    def __post_init__(self) -> None:
        for name, (least, most) in _WHOLE_RANGES.items():
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise InvalidValueError(name, value, f"a whole number {least}..{most}")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise InvalidValueError(name, value, f"a number {low:g}..{high:g}")
        for name in ("within_round", "control_variate", "shared"):
            if type(getattr(self, name)) is not bool:
                raise InvalidValueError(name, getattr(self, name), "true or false")
        if self.interactions % self.num_envs:
            raise InvalidValueError("interactions", self.interactions, f"a multiple of num_envs ({self.num_envs})")
        if self.replay_size < self.batch_size:
            raise InvalidValueError("replay_size", self.replay_size, f"at least batch_size ({self.batch_size})")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], preset: str = "default") -> Self:
        """A preset with ``values`` put in.

        Raises:
            UnknownNameError: a key that is no setting, or no such preset.
            InvalidValueError: a value outside its range.
        """
        if preset not in PRESETS:
            raise UnknownNameError("preset", preset, PRESETS)
        names = {field.name for field in fields(cls)}
        for name in values:
            if name not in names:
                raise UnknownNameError("setting", name, names)
        return cls(**{**PRESETS[preset], **values})

    def to_dict(self) -> dict[str, Any]:
        """Names and values, as :meth:`from_dict` takes them."""
        return asdict(self)

    @property
    def horizon(self) -> int:
        """Interactions of the whole run."""
        return self.epochs * self.interactions

    def epsilon_at(self, progress: float) -> float:
        """Share of random actions after ``progress`` (0..1) of the run."""
        done = min(progress / self.exploration, 1) if self.exploration else 1
        return self.epsilon + done * (self.final_epsilon - self.epsilon)

    def learning_rate_at(self, progress: float) -> float:
        """Learning rate after ``progress`` (0..1) of the run."""
        done = (1 - math.cos(math.pi * min(progress, 1))) / 2
        return self.learning_rate + done * (self.final_learning_rate - self.learning_rate)


_WHOLE_RANGES: dict[str, tuple[int, int]] = {
    "epochs": (1, 10**9),
    "interactions": (1, 10**9),
    "num_envs": (1, 10**6),
    "updates": (1, 10**6),
    "batch_size": (1, 10**6),
    "replay_size": (1, 10**8),
    "width": (1, 2**16),
    "frequencies": (0, 8),
    "first": (0, 1),
}

_RANGES: dict[str, tuple[float, float]] = {
    "learning_rate": (1e-9, 1),
    "final_learning_rate": (0, 1),
    "adam_beta1": (0, 0.9999),
    "adam_beta2": (0, 0.9999),
    "epsilon": (0, 1),
    "final_epsilon": (0, 1),
    "exploration": (0, 1),
    "gamma": (0, 0.9999),
    "target_rate": (1e-6, 1),
    "leniency": (1e-6, 1),
    "beta": (0, 1e6),
    "q_weight": (0, 1e6),
    "prediction_weight": (0, 1e6),
}

_PAPER: dict[str, Any] = {
    "epochs": 500,
    "num_envs": 1,
    "batch_size": 1,
    "replay_size": 1,
    "frequencies": 0,
    "learning_rate": 5e-5,
    "final_learning_rate": 5e-5,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "leniency": 1.0,
    "within_round": False,
    "control_variate": False,
    "prediction_weight": 1.0,
}

#: Named sets of settings: ``default`` is ours; ``paper`` has the paper's for one service, ``paper*5`` for several.
PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": _PAPER,
    "paper*5": {**_PAPER, "learning_rate": 1e-5, "final_learning_rate": 1e-5},
}
