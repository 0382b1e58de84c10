"""Every number a training depends on, declared once: default, range and meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from meshgym.errors import InvalidValueError, UnknownNameError


def _within(default: Any, low: float, high: float) -> Any:
    """Declare a number between ``low`` and ``high``, both included."""
    return field(default=default, metadata={"range": (low, high)})


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """Hyperparameters of the learners and of the training loop; see also :data:`PRESETS`.

    Raises:
        InvalidValueError: a value of another type or outside its range.
    """

    epochs: int = _within(75, 1, 10**9)
    """Epochs of training, at least 1 (paper: 500)."""
    interactions: int = _within(1000, 1, 10**9)
    """Interactions per epoch, over all environments; a multiple of num_envs (paper: 1000)."""
    num_envs: int = _within(125, 1, 10**6)
    """Environments that are stepped together, at least 1."""
    updates: int = _within(1, 1, 10**6)
    """Gradient steps after each step of the environments, at least 1."""
    batch_size: int = _within(128, 1, 10**6)
    """Transitions per gradient step, at least 1."""
    replay_size: int = _within(20_000, 1, 10**8)
    """Transitions kept to learn from, at least batch_size."""
    width: int = _within(512, 1, 2**16)
    """Units per hidden layer (paper: 512)."""
    frequencies: int = _within(3, 0, 8)
    """Sines and cosines of each input that the networks also see, 0..8 (paper: none)."""
    learning_rate: float = _within(3e-3, 1e-9, 1)
    """Adam's learning rate at the first interaction (paper: 5e-5 for one service, 1e-5 for several)."""
    final_learning_rate: float = _within(1e-5, 0, 1)
    """Adam's learning rate at the last interaction, reached on a cosine; the same as learning_rate for a constant."""
    adam_beta1: float = _within(0.7, 0, 0.9999)
    """Decay of Adam's mean of gradients, 0..0.9999. A simulator's rewards have no noise, so less than 0.9 will do."""
    adam_beta2: float = _within(0.95, 0, 0.9999)
    """Decay of Adam's mean of squared gradients, 0..0.9999 (usually 0.999)."""
    epsilon: float = _within(1.0, 0, 1)
    """Share of random actions at the first interaction, 0..1."""
    final_epsilon: float = _within(0.0, 0, 1)
    """Share of random actions after exploration, 0..1."""
    exploration: float = _within(0.6, 0, 1)
    """Share of the training over which epsilon falls to final_epsilon, 0..1."""
    gamma: float = _within(0.0, 0, 0.9999)
    """Discount of the next observation's value, below 1. With 0, only the reward counts: actions don't change rules."""
    target_rate: float = _within(0.01, 1e-6, 1)
    """Share of the network that the target network takes over per gradient step, if gamma is above 0."""
    leniency: float = _within(0.1, 1e-6, 1)
    """Weight of an independent agent's disappointments; 1 for plain regression, above 0."""
    within_round: bool = True
    """Whether the first of a dependent pair learns the best the second can do, not the reward (the paper's)."""
    beta: float = _within(0.5, 0, 1e6)
    """Weight of the mean reward of all services (Eq. 8), at least 0."""
    control_variate: bool = True
    """Whether to leave the other services' share out of Eq. 8: the same best action, less noise."""
    shared: bool = True
    """Whether all services share one SNet; otherwise each has its own."""
    q_weight: float = _within(1.0, 0, 1e6)
    """Weight of the Q-factors' loss in SNet's, at least 0."""
    prediction_weight: float = _within(0.1, 0, 1e6)
    """Weight of the loss of predicting the next observation (Eq. 11) in SNet's, at least 0."""

    def __post_init__(self) -> None:
        for declared in fields(self):
            _check(declared.name, getattr(self, declared.name), str(declared.type), declared.metadata.get("range"))
        if self.interactions % self.num_envs:
            raise InvalidValueError("interactions", self.interactions, f"a multiple of num_envs ({self.num_envs})")
        if self.replay_size < self.batch_size:
            raise InvalidValueError("replay_size", self.replay_size, f"at least batch_size ({self.batch_size})")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], preset: str = "default") -> Self:
        """Return a preset with some values replaced.

        Raises:
            UnknownNameError: no such hyperparameter or preset.
            InvalidValueError: a value of another type or outside its range.
        """
        if preset not in PRESETS:
            raise UnknownNameError("preset", preset, PRESETS)
        names = [declared.name for declared in fields(cls)]
        for name in values:
            if name not in names:
                raise UnknownNameError("hyperparameter", name, names)
        return cls(**{**PRESETS[preset], **values})

    def to_dict(self) -> dict[str, Any]:
        """Return names and values; the inverse of :meth:`from_dict`."""
        return asdict(self)

    @property
    def horizon(self) -> int:
        """Interactions of the whole training."""
        return self.epochs * self.interactions


def _check(name: str, value: Any, kind: str, span: tuple[float, float] | None) -> None:
    if span is None:
        if type(value) is not bool:
            raise InvalidValueError(name, value, "true or false")
        return
    low, high = span
    whole = kind == "int"
    fits = type(value) is int or (not whole and isinstance(value, float))
    if not (fits and low <= value <= high):
        raise InvalidValueError(
            name, value, f"a whole number {low}..{high}" if whole else f"a number {low:g}..{high:g}"
        )


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

#: Named values: ``default`` is ours, ``paper`` is the paper's for one service, ``paper*5`` the paper's for several.
PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": _PAPER,
    "paper*5": {**_PAPER, "learning_rate": 1e-5, "final_learning_rate": 1e-5},
}
