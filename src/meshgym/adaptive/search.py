"""Ask which runs to make next, tell what came of them: a good decision from few runs.

::

    search = Search(scenario, runs=120)
    while len((batch := search.ask()).settings):
        search.tell(batch.settings, mesh.measure_many(batch.settings, scenario.setting_names))
    search.decide(rules)
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import qmc

from meshgym.adaptive.caution import CAREFUL_BATCH, Caution
from meshgym.adaptive.surrogate import Surrogate
from meshgym.errors import InvalidValueError, UnknownNameError
from meshgym.rewards import apply_reward, load_reward
from meshgym.scenarios import Scenario
from meshgym.simulator.features import Features
from meshgym.types import RESPONSE_NAMES, Response, check_settings

FloatArray = NDArray[np.float64]

#: Why a run is made: to cover the ranges, for the goal, or because an earlier run of it contradicts the others.
COVER, FOR_GOAL, AGAIN = 0, 1, 2
#: The first runs cover the ranges, and of the later ones one in so many; and one in so many is a repeat.
_START, _COVER_ONE_IN, _AGAIN_ONE_IN = 40, 10, 10
#: A run that lies so many standard deviations from what the others say may be noise or a cliff: another one tells.
_CONTRADICTS = 2.0
#: Runs that are asked for together, later on.
BATCH = 20
_MOST_RUNS = 2000
#: Functions that are drawn to tell how much a decision may lose, and rules that they are drawn for.
_DRAWS, _RULES = 200, 40
#: Settings, and loads under one rules, of which functions are drawn: the time grows with their cube.
_MOST_SETTINGS, _MOST_LOADS = 2400, 400
#: Settings that are drawn for each one that is taken.
_CANDIDATES = 50
#: From so many runs something is learned.
LEAST = 20
#: Share of 503s that rules must stay below to hold.
EDGE = 0.5


class Batch(NamedTuple):
    """Runs to make next.

    Attributes:
        settings: shape (n, columns), columns as ``scenario.setting_names``.
        asked: why, shape (n,): 0 to cover the ranges, 1 for the goal, 2 to repeat a run that contradicts the others.
    """

    settings: FloatArray
    asked: NDArray[np.int64]


class Search:
    """A plan that grows with what is known.

    What it asks next depends only on its arguments, on how many runs it has asked for, and on what it was told; so a
    search that was stopped goes on in another process if it is told the same again.

    Args:
        scenario: ranges of rules and load, and the loads to choose from.
        goal: ``"worst-load"`` (under each rules, the load that breaks the service), ``"rules"`` (where half of the
            requests get a 503: which rules hold under which load), or ``"map"`` (all settings alike).
        runs: the most runs to ask for, 1..2000.
        seed: of all draws.
        regret: end earlier, once :meth:`regret` is below this share; None to make all runs.
        caution: what runs may do to the service; None if nobody minds.

    Raises:
        UnknownNameError: no such goal.
        InvalidValueError: another number out of range, a regret for the goal ``"map"``, which has none, or actions
            that all lie outside the ranges of the load.
    """

    def __init__(
        self,
        scenario: Scenario,
        goal: str = "worst-load",
        runs: int = 150,
        seed: int = 0,
        regret: float | None = None,
        caution: Caution | None = None,
    ) -> None:
        if goal not in GOALS:
            raise UnknownNameError("goal", goal, GOALS)
        if not 1 <= runs <= _MOST_RUNS:
            raise InvalidValueError("runs", runs, f"a whole number 1..{_MOST_RUNS}")
        if regret is not None and (goal == "map" or not 0 < regret < 1):
            raise InvalidValueError("regret", regret, "a share between 0 and 1, and a goal other than map")
        self.scenario, self.goal, self.runs, self.seed, self.bound = scenario, goal, runs, seed, regret
        self.caution, self.asked = caution, 0
        self._reward = load_reward("worst_case")
        self._features = Features.of(scenario)
        within = {
            name: [value for value in values if scenario.load[name].low <= value <= scenario.load[name].high]
            for name, values in scenario.actions.items()
        }
        self._loads = np.array(list(itertools.product(*within.values())), dtype=np.float64)
        if caution and "rate_per_s" in scenario.load:
            self._loads = self._loads[self._loads[:, 0] <= caution.most_rate]
        if not len(self._loads):
            raise InvalidValueError("actions", dict(scenario.actions), "some within [load], and the limits")
        covered = scenario.load.values() if goal == "map" else ()
        self._spans = [span.values for span in (*scenario.rules.values(), *covered)]
        self._spans += [] if covered else [np.array(values, np.float64) for values in within.values()]
        self._settings = np.empty((0, len(scenario.setting_names)))
        self._response = np.empty((0, len(RESPONSE_NAMES)))
        self._surrogates: dict[str, Surrogate] = {}

    def ask(self) -> Batch:
        """Return the runs to make next; none if all are made, the regret is small enough, or caution allows no more."""
        left = self.runs - self.asked
        if not left or (self.bound is not None and self.asked and self.regret() <= self.bound):
            return Batch(np.empty((0, self._settings.shape[1])), np.empty(0, np.int64))
        generator = np.random.default_rng([self.seed, self.asked])
        count = min(CAREFUL_BATCH if self.caution else BATCH if self.asked else _START, left)
        parts = {COVER: self._cover(-(-count // _COVER_ONE_IN) if self._learned() else count, generator)}
        if self._learned():
            parts[AGAIN] = self._contradicting(count // _AGAIN_ONE_IN)
            parts[FOR_GOAL] = GOALS[self.goal](self, count - sum(map(len, parts.values())), generator)
        settings = np.concatenate(list(parts.values()))
        asked = np.repeat(list(parts), [len(own) for own in parts.values()])
        order = self._from_gentle_to_harsh(settings) if self.caution else np.arange(len(settings))
        self.asked += len(settings)
        return Batch(settings[order], asked[order])

    def tell(self, settings: FloatArray, response: Response) -> None:
        """Say what came of runs.

        Args:
            settings: shape (n, columns), columns as ``scenario.setting_names``.
            response: arrays of shape (n,).

        Raises:
            InvalidValueError: settings of another shape, or with a number that isn't finite.
        """
        settings = check_settings(settings, self.scenario.setting_names)
        columns = [np.asarray(getattr(response, name), np.float64) for name in RESPONSE_NAMES]
        told = np.column_stack([np.broadcast_to(one, len(settings)) for one in columns])
        self._settings = np.concatenate([self._settings, settings])
        self._response = np.concatenate([self._response, told])
        self._surrogates.clear()

    def told(self) -> tuple[FloatArray, Response]:
        """Return everything that :meth:`tell` was given."""
        return self._settings, Response(*self._response.T)

    def decide(self, rules: FloatArray) -> FloatArray:
        """Return the load that breaks a service under rules, as far as is known.

        Args:
            rules: shape (n, rules), columns as ``scenario.rule_names``.

        Returns:
            Shape (n, 2), columns as ``scenario.load_names``.
        """
        return self._loads[self._choose(rules, self._loads)]

    def p503(self, settings: FloatArray) -> FloatArray:
        """Return the expected share of 503s, shape (n,); below a half, the rules hold.

        Args:
            settings: shape (n, columns), columns as ``scenario.setting_names``.
        """
        return self._known("p503").mean(check_settings(settings, self.scenario.setting_names)).clip(0, 1)

    def regret(self) -> float:
        """Return what a decision may cost at most, with 95 % certainty, by what is known; 1 if nothing is.

        For the goal ``"worst-load"``, the share of the reward that the loads lose which :meth:`decide` returns, on
        average over rules. For ``"rules"``, the share of settings whose p503 lies on the other side of a half than
        expected.
        """
        if not self._learned():
            return 1.0
        generator = np.random.default_rng([self.seed, self.asked, 1])
        if self.goal == "rules":
            settings, p503 = self._cover(_RULES * 10, generator), self._known("p503")
            wrong = (p503.draw(settings, _DRAWS, generator) > EDGE) != (p503.mean(settings) > EDGE)
            return float(np.quantile(wrong.mean(axis=1), 0.95))
        loads = self._some_loads(generator)
        rules = self._draw_rules(min(_RULES, _MOST_SETTINGS // len(loads)), generator)
        drawn = self._known("reward").draw(_under(rules, loads), _DRAWS, generator)
        rewards = drawn.reshape(_DRAWS, len(rules), len(loads))
        chosen = rewards[:, np.arange(len(rules)), self._choose(rules, loads)]
        best = rewards.max(axis=2).mean(axis=1)
        lost = np.divide(best - chosen.mean(axis=1), best, out=np.ones_like(best), where=best > 0)
        return float(np.quantile(lost, 0.95))

    def _allowed(self, settings: FloatArray) -> FloatArray:
        """Return the settings that caution allows."""
        if not self.caution:
            return settings
        paces = settings[:, len(self.scenario.rules)]
        if self.scenario.load_names[0] == "rate_per_s":  # it is known beforehand
            settings, paces = settings[paces <= self.caution.most_rate], paces[paces <= self.caution.most_rate]
        if self._learned():
            return settings[self.caution.allows(self._known("p503"), self._known("qps"), settings)]
        return settings[self.caution.gentle(paces, self._loads[:, 0])]

    def _from_gentle_to_harsh(self, settings: FloatArray) -> NDArray[np.int64]:
        harsh = self._known("p503").mean(settings) if self._learned() else settings[:, len(self.scenario.rules)]
        return harsh.argsort(kind="stable")

    def _contradicting(self, most: int) -> FloatArray:
        """Return settings of which one run was made, and which the other runs don't explain; the oddest first."""
        found, first, runs = np.unique(self._settings, axis=0, return_index=True, return_counts=True)
        surprise = self._known("p503").surprise()[first] * (runs == 1)
        odd = surprise.argsort()[::-1][:most]
        again: FloatArray = found[odd[surprise[odd] > _CONTRADICTS]]
        return again

    def _learned(self) -> bool:
        return len(self._settings) >= LEAST

    def _known(self, name: str) -> Surrogate:
        """Return what is known of the reward or of an outcome, by name."""
        if not self._learned():
            raise InvalidValueError("runs told", len(self._settings), f"at least {LEAST}", "Ask and tell more.")
        if name not in self._surrogates:
            _, response = self.told()
            values = {**response._asdict(), "reward": apply_reward(self._reward, response)}[name]
            self._surrogates[name] = Surrogate(self._features, self._settings, np.asarray(values), self.seed)
        return self._surrogates[name]

    def _choose(self, rules: FloatArray, loads: FloatArray) -> NDArray[np.int64]:
        """Return the number of the load with the highest reward under each rules, shape (n,).

        The reward is learned as it is, and from qps and p503: the mean of both misses less than either.
        """
        settings = _under(rules, loads)
        qps, p503 = self._known("qps").mean(settings).clip(0), self._known("p503").mean(settings).clip(0, 1)
        reward = self._known("reward").mean(settings) + apply_reward(self._reward, Response(qps, 1 - p503, p503))
        chosen: NDArray[np.int64] = reward.reshape(len(rules), len(loads)).argmax(axis=1)
        return chosen

    def _draw_rules(self, count: int, generator: np.random.Generator) -> FloatArray:
        return np.column_stack([generator.choice(span.values, count) for span in self.scenario.rules.values()])

    def _some_loads(self, generator: np.random.Generator) -> FloatArray:
        """Return the loads to choose from; of very many, some that are drawn."""
        if len(self._loads) <= _MOST_LOADS:
            return self._loads
        return self._loads[np.sort(generator.choice(len(self._loads), _MOST_LOADS, replace=False))]

    def _cover(self, count: int, generator: np.random.Generator) -> FloatArray:
        """Draw settings that cover the rules and, unless a map is made, the loads to choose from evenly."""
        return self._allowed(self._drawn(count * (_CANDIDATES if self.caution else 1), generator))[:count]

    def _drawn(self, count: int, generator: np.random.Generator) -> FloatArray:
        shares = qmc.LatinHypercube(len(self._spans), rng=generator).random(count).T
        drawn = zip(self._spans, shares, strict=True)
        return np.column_stack([values[(own * len(values)).astype(int)] for values, own in drawn])


def _under(rules: FloatArray, loads: FloatArray) -> FloatArray:
    """Return every load under each rules, shape (rules * loads, columns)."""
    return np.column_stack([np.repeat(rules, len(loads), axis=0), np.tile(loads, (len(rules), 1))])


def _break(search: Search, count: int, generator: np.random.Generator) -> FloatArray:
    """Under random rules, take the load with the highest reward in one function that fits the runs (Thompson, 1933)."""
    rules = search._draw_rules(count, generator)
    known, loads = search._known("reward"), search._some_loads(generator)
    allowed = [own for rule in rules if len(own := search._allowed(_under(rule[None], loads)))]
    chosen = [own[known.draw(own, 1, generator).argmax()] for own in allowed]
    return np.array(chosen).reshape(-1, search._settings.shape[1])


def _straddle(search: Search, count: int, generator: np.random.Generator) -> FloatArray:
    """Draw settings by how likely their p503 lies on the other side of a half than expected (Bryan et al., 2005)."""
    candidates = search._allowed(search._drawn(_CANDIDATES * count, generator))
    count = min(count, len(candidates))
    mean, deviation = search._known("p503").moments(candidates)
    doubt = ndtr(-np.abs(mean - EDGE) / np.maximum(deviation, 1e-9)) + 1e-12
    return candidates[generator.choice(len(candidates), count, replace=False, p=doubt / doubt.sum())]


#: How to choose runs for a goal.
GOALS: dict[str, Callable[[Search, int, np.random.Generator], FloatArray]] = {
    "worst-load": _break,
    "rules": _straddle,
    "map": Search._cover,
}
