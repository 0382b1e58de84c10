"""Scaling of observations and rewards: networks learn best around 0, with a spread of 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meshagents.spaces import Spaces


class ObservationScale:
    """Maps observations within their bounds to -1..1; leaves an input alone if a bound is infinite."""

    def __init__(self, spaces: Spaces) -> None:
        low, high = spaces.low, spaces.high
        bounded = np.isfinite(low) & np.isfinite(high)
        with np.errstate(invalid="ignore"):
            middle, half = (high + low) / 2, (high - low) / 2
        self.middle = torch.from_numpy(np.where(bounded, middle, 0).astype(np.float32))
        self.half = torch.from_numpy(np.where(bounded & (half > 0), half, 1).astype(np.float32))

    def __call__(self, observation: Any, service: int | None = None) -> Tensor:
        """Scale observations, shape (..., [n,] inputs), or only their first inputs.

        Args:
            observation: without axis n if ``service`` is given.
            service: which service they are of.
        """
        values = torch.as_tensor(np.asarray(observation, dtype=np.float32))
        rows, known = ... if service is None else service, slice(values.shape[-1])
        scaled: Tensor = (values - self.middle[rows][..., known]) / self.half[rows][..., known]
        return scaled


class RewardScale:
    """Running mean and standard deviation of rewards, separate for each service."""

    def __init__(self, spaces: Spaces) -> None:
        self.count = 0
        self.mean = np.zeros(spaces.services or ())
        self.squares = np.zeros(spaces.services or ())

    def add(self, rewards: NDArray[np.float64]) -> None:
        """Take rewards of shape (N, [n]) into account (Chan's update)."""
        count, mean = len(rewards), rewards.mean(axis=0)
        gap, total = mean - self.mean, self.count + count
        self.squares = self.squares + ((rewards - mean) ** 2).sum(axis=0) + gap**2 * self.count * count / total
        self.mean = self.mean + gap * count / total
        self.count = total

    def standardise(self, rewards: NDArray[np.float64], centred: bool) -> Tensor:
        """Return rewards with a standard deviation of 1, and a mean of 0 if ``centred``."""
        mean = self.mean if centred else 0 * self.mean
        deviation = np.sqrt(self.squares / self.count + (self.mean - mean) ** 2)
        scaled = (rewards - mean) / np.where(deviation > 0, deviation, 1)
        return torch.as_tensor(scaled.astype(np.float32))
