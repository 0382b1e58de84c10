"""Training of perceptron ensembles: all members at once, in PyTorch, on one thread.

On one thread every sum has the same order, so a seed always gives the same weights to the last bit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from meshgym.errors import MissingDependencyError
from meshgym.simulator.calibration import LEVELS
from meshgym.simulator.features import Features
from meshgym.simulator.network import Ensemble, Perceptrons, quantise
from meshgym.simulator.scaling import Scaling
from meshgym.types import Progress

try:
    import torch
except ImportError as error:
    raise MissingDependencyError("torch", "training a simulator", "simulator") from error

FloatArray = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Recipe:
    """A perceptron ensemble and how it is trained: AdamW on mean squared error, one-cycle learning rate.

    Attributes:
        widths: units of each hidden layer.
        members: how many networks there are; their mean is the prediction.
        bins: intervals in which each feature is encoded; 0 for only the plain numbers.
        learning_rate: the highest of the cycle.
        weight_decay: of the weights, not of the biases.
        batch: rows per step, at most an eighth of all.
        epochs: passes over the rows; they are bounded by ``least_steps`` and ``most_steps``.
        derived: whether to use the features that are derived from the settings.
    """

    widths: tuple[int, ...]
    members: int = 8
    bins: int = 0
    learning_rate: float = 1e-2
    weight_decay: float = 0.0
    batch: int = 64
    epochs: int = 60
    least_steps: int = 1500
    most_steps: int = 2400
    derived: bool = True

    def steps(self, rows: int) -> int:
        """Return the number of training steps on so many rows."""
        return min(max(self.epochs * rows // self.batch, self.least_steps), self.most_steps)


#: The paper's network (Sec. 4.2) on the nine plain numbers; of the training it only names Adam.
PAPER = Recipe(widths=(512, 512, 512), members=1, learning_rate=1e-3, batch=256, derived=False)
#: Where the paper's rules vary.
PAPER_FEATURES = Features()
#: Ours: for noisy or little data, for most data, for much data, and for responses that jump between levels.
NOISY = Recipe(widths=(32, 32, 32), weight_decay=1.0)
SMALL = Recipe(widths=(32, 32, 32), weight_decay=0.1)
SMOOTH = Recipe(widths=(64, 64, 64), weight_decay=0.3, batch=256)
STEPPED = Recipe(widths=(64, 64), bins=16, weight_decay=1.0)


class PerceptronEnsemble:
    """An estimator like scikit-learn's: ``fit`` and ``predict`` in units; fitted attributes end in ``_``.

    Args:
        recipe: network and training.
        seed: seed of weights and order of the rows.
        progress: called after each step.
        features: of the settings.

    Attributes:
        predictor_: the trained networks. They also return quantiles of each target's deviation, not calibrated yet.
        scaling_: translates between settings, networks and units.
    """

    def __init__(
        self,
        recipe: Recipe = SMOOTH,
        seed: int = 0,
        progress: Progress | None = None,
        features: Features = PAPER_FEATURES,
    ) -> None:
        self.recipe = recipe
        self.features = features
        self.seed = seed
        self.progress = progress

    def fit(self, settings: FloatArray, targets: FloatArray, member_rows: Sequence[Rows] | None = None) -> Self:
        """Train the networks.

        Args:
            settings: shape (n, columns).
            targets: in units, shape (n, targets); NaN where there is none.
            member_rows: one array of rows per member, from which it learns; None for all rows.
        """
        rows = member_rows or [np.arange(len(settings))] * self.recipe.members
        features = self.features.derive(settings)
        self.scaling_ = Scaling.of(settings, features, targets, self.recipe.bins, self.recipe.derived)
        inputs = self.scaling_.inputs(features)
        standard = self.scaling_.standardise(targets)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            ensemble = _train(inputs, standard, rows, self.recipe, self.seed, self.progress)
        finally:
            torch.set_num_threads(threads)
        self.predictor_ = Perceptrons(ensemble, targets.shape[1])
        return self

    def predict(self, settings: FloatArray) -> FloatArray:
        """Return the expected targets, shape (n, targets), of settings, shape (n, columns)."""
        mean, _ = self.predictor_(self.scaling_.inputs(self.features.derive(settings)), 0)
        return self.scaling_.to_units(mean)

    def predict_distributions(self, settings: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return what each member expects, and the quantiles of the deviation from that; standardised.

        Returns:
            Shapes (members, n, targets) and (members, n, targets, levels).
        """
        return self.predictor_.of_members(self.scaling_.inputs(self.features.derive(settings)))


def _train(
    inputs: FloatArray,
    targets: FloatArray,
    member_rows: Sequence[Rows],
    recipe: Recipe,
    seed: int,
    progress: Progress | None,
) -> Ensemble:
    generator = torch.Generator().manual_seed(seed)
    members = len(member_rows)
    outputs = targets.shape[1]
    x, y = torch.tensor(inputs, dtype=torch.float32), torch.tensor(targets, dtype=torch.float32)
    known, levels = ~y.isnan(), torch.tensor(LEVELS)
    y = y.nan_to_num()
    hidden = [_layer(members, i, o, generator) for i, o in itertools.pairwise([x.shape[1], *recipe.widths])]
    mean, quantiles = (
        _layer(members, recipe.widths[-1], count, generator, gain=0.1) for count in (outputs, outputs * len(LEVELS))
    )
    layers = [*hidden, mean, quantiles]
    optimizer = torch.optim.AdamW(
        [
            {"params": [weight for weight, _ in layers], "weight_decay": recipe.weight_decay},
            {"params": [bias for _, bias in layers], "weight_decay": 0.0},
        ],
        lr=recipe.learning_rate,
    )
    steps = recipe.steps(len(member_rows[0]))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=steps)
    for step, rows in enumerate(_batches(member_rows, recipe.batch, steps, generator), start=1):
        h = x[rows]
        for weight, bias in hidden:
            h = torch.relu(torch.baddbmm(bias, h, weight))
        error = (y[rows] - torch.baddbmm(mean[1], h, mean[0])) * known[rows]
        # The quantiles use the features that the means have learned, and don't change them.
        below = torch.baddbmm(quantiles[1], h.detach(), quantiles[0]).reshape(*error.shape, len(LEVELS))
        above = (error.detach()[..., None] - below) * known[rows][..., None]
        pinball = torch.maximum(levels * above, (levels - 1) * above)
        loss = (error.square().mean(dim=(1, 2)) + pinball.mean(dim=(1, 2, 3))).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if progress is not None:
            progress(step, steps)
    last = tuple(torch.cat(both, dim=2) for both in zip(mean, quantiles, strict=True))
    weights, biases = zip(*hidden, last, strict=True)
    quantised = ([quantise(part.detach().numpy()) for part in parts] for parts in (weights, biases))
    return Ensemble(*map(tuple, quantised))


def _layer(members: int, inputs: int, outputs: int, generator: torch.Generator, gain: float = 1.0) -> Any:
    """Return weights drawn as by He et al., (members, inputs, outputs), and zero biases, (members, 1, outputs)."""
    weight = torch.randn(members, inputs, outputs, generator=generator) * (gain * (2 / inputs) ** 0.5)
    return weight.requires_grad_(), torch.zeros(members, 1, outputs, requires_grad=True)


def _batches(member_rows: Sequence[Rows], batch: int, steps: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Yield the rows of each step, shape (members, batch); each member has its own order."""
    shortest = min(map(len, member_rows))
    rows = torch.stack([torch.from_numpy(own[:shortest]) for own in member_rows])
    batch = max(min(batch, shortest // 8), 1)
    while True:
        order = torch.rand(rows.shape, generator=generator).argsort(dim=1)
        for start in range(0, shortest - batch + 1, batch):
            if steps == 0:
                return
            steps -= 1
            yield rows.gather(1, order[:, start : start + batch])
