"""A trace set as arrays, and its parts: what is learned from, what is tested with, and folds of either."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from meshgym.fields import settings_among
from meshgym.simulator.outcomes import to_range, to_target
from meshgym.traces.outcomes import FIRST, outcomes_in
from meshgym.traces.quality import group_by_setting, pure_error
from meshgym.types import SETTING_NAMES

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
Rows = NDArray[np.int64]

#: Share of a set that tests, and that of a set of fewer than ``_FEW`` runs: there, each is dear.
TEST_SHARE, _TEST_SHARE_OF_FEW, _FEW = 0.2, 0.1, 500
#: An outcome that fewer runs have isn't learned.
_LEAST_KNOWN = 20


@dataclass(frozen=True)
class TraceArrays:
    """A trace set as arrays.

    Attributes:
        settings: shape (n, columns): rules that vary, then the load.
        targets: outcomes as models learn them, shape (n, targets); NaN where a run has none.
        groups: number of the group that each row belongs to, shape (n,); groups are never split.
        names: columns of the settings.
        outcomes: names of the targets.
        constant: further outcomes, which are the same in all rows.
        covers: which rows an adaptive plan drew to cover the ranges, shape (n,); None if all of them were. The others
            lie where its goal wanted them, so they can't tell how good predictions are on the whole.
    """

    settings: FloatArray
    targets: FloatArray
    groups: Rows
    names: tuple[str, ...] = SETTING_NAMES
    outcomes: tuple[str, ...] = FIRST
    constant: Mapping[str, float] = field(default_factory=dict)
    covers: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, frame: pd.DataFrame, blocks: int | None = None) -> TraceArrays:
        """Make arrays of a trace set.

        Args:
            frame: a checked trace set.
            blocks: cut the set into so many blocks of successive rows, which are the groups; None: all runs of a
                setting are a group.
        """
        names = settings_among(frame)
        settings = frame[list(names)].to_numpy(np.float64)
        groups = group_by_setting(settings) if blocks is None else np.arange(len(frame)) * blocks // len(frame)
        found = outcomes_in(frame)
        known = {name: values[~np.isnan(values)] for name, values in found.items()}
        constant = {name: own[0] for name, own in known.items() if name not in FIRST and len(own) and not np.ptp(own)}
        enough = {name for name, own in known.items() if len(own) >= _LEAST_KNOWN} - constant.keys()
        outcomes = tuple(name for name in found if name in FIRST or name in enough)
        targets = np.column_stack([to_target(name, found[name]) for name in outcomes])
        covers = frame["asked"].to_numpy() == 0 if "asked" in frame and (frame["asked"] == 0).any() else None
        return cls(settings, targets, groups, names, outcomes, constant, covers)

    def measured(self) -> dict[str, FloatArray]:
        """Return what was measured of each outcome, in its unit, shape (n,); NaN where a run has none."""
        return {name: to_range(name, self.targets[:, number]) for number, name in enumerate(self.outcomes)}

    def part(self, rows: Any) -> TraceArrays:
        """Return some of the rows."""
        covers = None if self.covers is None else self.covers[rows]
        return replace(
            self, settings=self.settings[rows], targets=self.targets[rows], groups=self.groups[rows], covers=covers
        )

    def split(self, seed: int) -> tuple[Rows, Rows]:
        """Return the rows of the training and of the test part; all rows of a group stay together.

        Test rows are drawn from those that cover the ranges.

        Args:
            seed: seed of the draw.
        """
        count = len(self.groups)
        wanted = count * (TEST_SHARE if count >= _FEW else _TEST_SHARE_OF_FEW)
        drawn = self.groups if self.covers is None else self.groups[self.covers]
        test = np.isin(self.groups, drawn[folds(drawn, max(round(len(drawn) / wanted), 2), seed) == 0])
        return np.flatnonzero(~test), np.flatnonzero(test)


def folds(groups: Rows, count: int, seed: int) -> Rows:
    """Draw folds of about equal size that keep groups together; return each row's, 0..count-1, shape (n,)."""
    names, inverse = np.unique(groups, return_inverse=True)
    fold_of_group = np.random.default_rng(seed).permutation(len(names)) % count
    chosen: Rows = fold_of_group[inverse]
    return chosen


def noise_floor(measured: TraceArrays) -> FloatArray:
    """Return the lowest error that a model can have: the standardised variance between runs of one setting.

    Returns:
        Shape (targets,); NaN if no setting was run twice.
    """
    within = pure_error(measured.targets, group_by_setting(measured.settings))
    variance = np.nanvar(measured.targets, axis=0)
    floor: FloatArray = np.divide(within, variance, out=0 * within, where=variance > 0)
    return floor
