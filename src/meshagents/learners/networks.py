"""The networks: QNet for one service, SNet and PNet for several (paper, Sec. 5.3 and Fig. 5)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer with PyTorch's usual start, drawn from ``generator`` instead of the global one."""
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
    bound = 1 / math.sqrt(inputs)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer


class Encoding(nn.Module):
    """Inputs of -1..1 and their sines and cosines, a half, one, two, .. periods of them over that range.

    A rule's neighbouring values can have very different answers, and a network learns steep functions of its
    inputs slowly. Waves are steep (Tancik et al. 2020, Fourier features).

    Maps shape (..., inputs) to (..., inputs * (1 + 2 * frequencies)).
    """

    def __init__(self, frequencies: int) -> None:
        super().__init__()
        self.rates = math.pi / 2 * 2.0 ** torch.arange(frequencies)

    def forward(self, inputs: Tensor) -> Tensor:
        waves = (inputs[..., None] * self.rates).flatten(-2)
        return torch.cat([inputs, waves.sin(), waves.cos()], dim=-1)


class QNet(nn.Sequential):
    """Q-factors of all actions: two hidden layers.

    Args:
        inputs: length of an observation.
        actions: how many there are to choose from.
        width: units of a hidden layer.
        frequencies: see :class:`Encoding`.
        generator: of the starting weights.

    Maps shape (..., inputs) to (..., actions).
    """

    def __init__(self, inputs: int, actions: int, width: int, frequencies: int, generator: torch.Generator) -> None:
        super().__init__(
            Encoding(frequencies),
            _linear(inputs * (1 + 2 * frequencies), width, generator),
            nn.ReLU(),
            _linear(width, width, generator),
            nn.ReLU(),
            _linear(width, actions, generator),
        )


class SNet(nn.Module):
    """The shared half: from an observation ``s`` to the message ``ms``, and on to the next observation (Eq. 10).

    Args:
        inputs: length of an observation, the first agent's action included where it is seen.
        observed: length of what the environment shows of it, which is what can be predicted.
        width: units of a hidden layer.
        frequencies: see :class:`Encoding`.
        generator: of the starting weights.

    Maps shape (..., inputs) to (..., width).
    """

    def __init__(self, inputs: int, observed: int, width: int, frequencies: int, generator: torch.Generator) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Encoding(frequencies),
            _linear(inputs * (1 + 2 * frequencies), width, generator),
            nn.ReLU(),
            _linear(width, width, generator),
            nn.ReLU(),
        )
        self.predictor = _linear(inputs + width, observed, generator)

    def forward(self, observation: Tensor) -> Tensor:
        message: Tensor = self.body(observation)
        return message

    def predict(self, observation: Tensor, message: Tensor) -> Tensor:
        """The observation expected next, shape (..., observed)."""
        following: Tensor = self.predictor(torch.cat([observation, message], dim=-1))
        return following


class PNet(nn.Sequential):
    """The private half of one service: from the message to the Q-factors, one hidden layer.

    Maps shape (..., width) to (..., actions).
    """

    def __init__(self, actions: int, width: int, generator: torch.Generator) -> None:
        super().__init__(_linear(width, width, generator), nn.ReLU(), _linear(width, actions, generator))


class SeparateSNets(nn.ModuleList):
    """An SNet for each service, used like a shared one: what sharing is compared with."""

    def forward(self, observation: Tensor) -> Tensor:
        return torch.stack([snet(observation[..., i, :]) for i, snet in enumerate(self)], dim=-2)

    def predict(self, observation: Tensor, message: Tensor) -> Tensor:
        """The observation expected next, shape (..., n, observed)."""
        parts = [snet.predict(observation[..., i, :], message[..., i, :]) for i, snet in enumerate(self)]  # type: ignore[operator]
        return torch.stack(parts, dim=-2)


class CollaborativeQNet(nn.Module):
    """SNet for all services, then a PNet for each.

    Args:
        inputs, observed, width, frequencies: as :class:`SNet`, the same for all services.
        actions: how many each of the n services has.
        shared: whether the services share one SNet.
        generator: of the starting weights.

    Maps shape (..., n, inputs) to (..., n, max(actions)); an action a service does not have is worth -inf.
    """

    def __init__(
        self,
        inputs: int,
        observed: int,
        width: int,
        frequencies: int,
        actions: Sequence[int],
        shared: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.most = max(actions)
        sizes = (inputs, observed, width, frequencies, generator)
        self.snet: SNet | SeparateSNets = SNet(*sizes) if shared else SeparateSNets(SNet(*sizes) for _ in actions)
        self.pnets = nn.ModuleList(PNet(count, width, generator) for count in actions)

    def values(self, message: Tensor) -> Tensor:
        """Q-factors from messages of shape (..., n, width)."""
        parts = [pnet(message[..., i, :]) for i, pnet in enumerate(self.pnets)]
        padded = [nn.functional.pad(part, (0, self.most - part.shape[-1]), value=-math.inf) for part in parts]
        return torch.stack(padded, dim=-2)

    def forward(self, observation: Tensor) -> Tensor:
        return self.values(self.snet(observation))

    def of_service(self, service: int) -> nn.Sequential:
        """One service's network alone, maps (..., inputs) to (..., actions); the weights are the same ones."""
        snet = self.snet if isinstance(self.snet, SNet) else self.snet[service]
        return nn.Sequential(snet, self.pnets[service])
