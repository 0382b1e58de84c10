"""The parts that all Q-networks are made of, and the plain Q-network."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """Return a linear layer with PyTorch's usual initial weights, drawn from ``generator``, not the global one."""
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
    bound = 1 / math.sqrt(inputs)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer


class Encoding(nn.Module):
    """Adds sines and cosines of inputs of -1..1: half a period over that range, one, two, and so on.

    Neighbouring values of a rule can have very different rewards, and a network learns steep functions slowly. Waves
    are steep (Fourier features, Tancik et al. 2020).

    Maps shape (..., inputs) to (..., inputs * (1 + 2 * frequencies)).
    """

    def __init__(self, frequencies: int) -> None:
        super().__init__()
        self.rates = math.pi / 2 * 2.0 ** torch.arange(frequencies)

    def forward(self, inputs: Tensor) -> Tensor:
        waves = (inputs[..., None] * self.rates).flatten(-2)
        return torch.cat([inputs, waves.sin(), waves.cos()], dim=-1)


def hidden_layers(inputs: int, width: int, frequencies: int, generator: torch.Generator) -> list[nn.Module]:
    """Return an :class:`Encoding` and two hidden layers; they map shape (..., inputs) to (..., width)."""
    first = linear(inputs * (1 + 2 * frequencies), width, generator)
    return [Encoding(frequencies), first, nn.ReLU(), linear(width, width, generator), nn.ReLU()]


class QNet(nn.Sequential):
    """Q-factors of all actions; two hidden layers.

    Args:
        inputs: length of an observation.
        actions: number of actions.
        width: units per hidden layer.
        frequencies: see :class:`Encoding`.
        generator: draws the initial weights.

    Maps shape (..., inputs) to (..., actions).
    """

    def __init__(self, inputs: int, actions: int, width: int, frequencies: int, generator: torch.Generator) -> None:
        super().__init__(*hidden_layers(inputs, width, frequencies, generator), linear(width, actions, generator))
