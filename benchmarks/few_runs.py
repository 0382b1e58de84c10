"""How good a decision is after few runs: an adaptive plan beside plans that cover the ranges, and a direct search.

    python benchmarks/few_runs.py S3 S4 --seeds 5 --out few-runs

The truth is a simulator with its noise: the bundled one, or with ``--truths FOLDER`` one of the layout before (see
``truths.py``). The decision is the load that breaks the service, under 400 rules that were drawn before; its value is
the share of the reward that the best loads get. Each method sees the same number of runs:

- adaptive: ``meshgym.adaptive.search``, as in ``meshgym collect --plan adaptive``;
- covering: runs that cover the ranges, and the same surrogate;
- chosen: the same runs, and what ``meshgym fit`` chooses;
- perceptrons: the same runs, and perceptrons alone;
- edge: another question, which rules hold under which load, and the share of settings for which the answer is right;
- botorch: the adaptive plan's batches by BoTorch's Gaussian process (``pip install botorch``), fitted to the reward;
- direct: for each of the rules on its own, Optuna's TPE (``pip install optuna``). It has so many runs for one of them.

Writes one row per set, method, runs and seed, and a figure; prints means with 95 % intervals.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import threadpoolctl
from matplotlib.figure import Figure
from scipy import stats
from truths import Truth

from meshgym.adaptive.search import EDGE, Search
from meshgym.rewards import worst_case
from meshgym.simulator.arrays import TraceArrays
from meshgym.simulator.features import Features
from meshgym.simulator.selection import choose, select
from meshgym.types import Response

CHECKS = (60, 120, 160, 240)
DIRECT = (5, 10, 20)
RULES = 400


class Task:
    """A truth, rules to decide under, and what decisions are worth."""

    def __init__(self, name, folder, seed=12345):
        self.truth = Truth(name, folder)
        self.scenario = self.truth.scenario
        generator = np.random.default_rng(seed)
        spans = [span.values for span in self.scenario.rules.values()]
        self.rules = np.column_stack([generator.choice(span, RULES) for span in spans])
        self.loads = np.array(list(itertools.product(*self.scenario.actions.values())), dtype=np.float64)
        qps, p503 = self.truth.expected(self.under(self.rules))
        self.rewards = worst_case(qps, 1 - p503, p503).reshape(RULES, -1)

    def under(self, rules):
        loads = np.tile(self.loads, (len(rules), 1))
        return np.column_stack([np.repeat(rules, len(self.loads), axis=0), loads])

    def share(self, chosen):
        """Return the share of the best reward that loads get, given by number, shape (400,)."""
        return self.rewards[np.arange(RULES), chosen].mean() / self.rewards.max(axis=1).mean()

    def run(self, settings, generator):
        qps, p503 = self.truth.drawn(settings, generator)
        return Response(qps, 1 - p503, p503)


def searching(task, goal, seed):
    """Yield the runs so far and the share after each batch of a search, and the search."""
    generator = np.random.default_rng([seed, 7])
    search = Search(task.scenario, goal, max(CHECKS), seed)
    judge = search if goal == "worst-load" else Search(task.scenario, "worst-load", max(CHECKS), seed)
    while len((batch := search.ask()).settings):
        response = task.run(batch.settings, generator)
        for one in {search, judge}:
            one.tell(batch.settings, response)
        if search.asked in CHECKS:
            loads = judge.decide(task.rules)
            numbers = (loads[:, None] == task.loads).all(axis=2).argmax(axis=1)
            yield search.asked, task.share(numbers), judge.regret(), judge


def bordering(task, goal, seed):
    """Yield the runs so far and the share of settings for which it is known whether half of the requests fail."""
    generator = np.random.default_rng([seed, 7])
    search, judge = (Search(task.scenario, name, max(CHECKS), seed) for name in (goal, "rules"))
    settings = task.under(task.rules)
    fails = task.truth.expected(settings)[1] > EDGE
    while len((batch := search.ask()).settings):
        response = task.run(batch.settings, generator)
        for one in (search, judge):
            one.tell(batch.settings, response)
        if search.asked in CHECKS:
            yield search.asked, ((judge.p503(settings) > EDGE) == fails).mean(), judge.regret()


def learning(task, seed, how):
    """Yield the runs so far and the share after perceptrons, or what is chosen, learned from runs that cover."""
    for runs, *_, judge in searching(task, "map", seed):
        settings, response = judge.told()
        targets = np.column_stack([response.qps, response.p503])
        arrays = TraceArrays(settings, targets, np.arange(runs), task.scenario.setting_names)
        model = how(arrays, seed, None, Features.of(task.scenario))
        qps, p503 = model.predict(task.under(task.rules)).T
        rewards = worst_case(qps.clip(0), 1 - p503, p503.clip(0, 1)).reshape(RULES, -1)
        yield runs, task.share(rewards.argmax(axis=1))


def botorch(task, seed):
    """Yield the runs so far and the share of BoTorch's process: drawn from under random rules, decided by its mean."""
    import torch
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms import Normalize, Standardize
    from gpytorch.mlls import ExactMarginalLogLikelihood

    torch.manual_seed(seed)
    generator = np.random.default_rng([seed, 7])
    features, plan = Features.of(task.scenario), Search(task.scenario, "map", 40, seed)
    settings = plan.ask().settings
    rewards = worst_case(*task.run(settings, generator)[:3])
    as_tensor = lambda own: torch.from_numpy(features.derive(own))  # noqa: E731
    while True:
        derived, values = as_tensor(settings), torch.from_numpy(rewards)[:, None]
        normal, scaled = Normalize(derived.shape[1]), Standardize(1)
        model = SingleTaskGP(derived, values, input_transform=normal, outcome_transform=scaled)
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        model.eval()
        with torch.no_grad():
            if len(settings) in CHECKS:
                mean = model.posterior(as_tensor(task.under(task.rules))).mean.numpy().reshape(RULES, -1)
                yield len(settings), task.share(mean.argmax(axis=1))
            if len(settings) >= max(CHECKS):
                return
            rules = np.column_stack([generator.choice(span.values, 20) for span in task.scenario.rules.values()])
            chosen = []
            for own in rules:
                under = task.under(own[None])
                drawn = model.posterior(as_tensor(under)).rsample(torch.Size([1]))
                chosen.append(under[int(drawn.argmax())])
        settings = np.concatenate([settings, chosen])
        rewards = np.concatenate([rewards, worst_case(*task.run(np.array(chosen), generator)[:3])])


def direct(task, seed):
    """Yield the runs for one of the rules and the share of Optuna's TPE, by 20 of the rules."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    generator = np.random.default_rng([seed, 7])
    some = generator.choice(RULES, 20, replace=False)
    best = {runs: [] for runs in DIRECT}
    for row in some:
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        names = dict(zip(task.scenario.load_names, task.scenario.actions.values(), strict=True))
        for run in range(1, max(DIRECT) + 1):
            trial = study.ask()
            load = [values[trial.suggest_int(name, 0, len(values) - 1)] for name, values in names.items()]
            response = task.run(np.array([[*task.rules[row], *load]]), generator)
            study.tell(trial, float(worst_case(*response[:3])[0]))
            if run in DIRECT:
                chosen = [values[study.best_params[name]] for name, values in names.items()]
                best[run].append(task.rewards[row, (task.loads == chosen).all(axis=1).argmax()])
    for runs, rewards in best.items():
        yield runs, np.mean(rewards) / task.rewards[some].max(axis=1).mean()


METHODS = {
    "adaptive": lambda task, seed: searching(task, "worst-load", seed),
    "covering": lambda task, seed: searching(task, "map", seed),
    "chosen": lambda task, seed: learning(task, seed, choose),
    "perceptrons": lambda task, seed: learning(task, seed, select),
    "botorch": botorch,
    "direct": direct,
    "edge, adaptive": lambda task, seed: bordering(task, "rules", seed),
    "edge, covering": lambda task, seed: bordering(task, "map", seed),
}


def measure(name, folder, method, seed):
    """Return the rows of one set, method and seed."""
    with threadpoolctl.threadpool_limits(1):
        task = Task(name, folder)
        fixed = task.rewards.mean(axis=0).max() / task.rewards.max(axis=1).mean()
        about = {"set": name, "method": method, "seed": seed, "fixed": np.nan if "edge" in method else fixed}
        found = ((runs, share, *(rest or [np.nan])) for runs, share, *rest in METHODS[method](task, seed))
        return [about | {"runs": runs, "share": share, "bound": bound} for runs, share, bound, *_ in found]


def interval(shares):
    """Return the mean, and half of its 95 % interval (Student's t)."""
    count = len(shares)
    half = stats.t.ppf(0.975, count - 1) * shares.std() / np.sqrt(count) if count > 1 else np.nan
    return pd.Series({"mean": shares.mean(), "half": half})


def summary(rows):
    """Return means with 95 % intervals as text."""
    lines = [f"{'set':<5}{'method':<16}{'runs':>4}{'share of the best':>20}{'one fixed load':>16}"]
    for (name, method, runs), own in rows.groupby(["set", "method", "runs"], sort=False):
        mean, half = interval(own["share"])
        fixed = own["fixed"].iloc[0]
        last = "-" if np.isnan(fixed) else f"{fixed:.3f}"
        lines.append(f"{name:<5}{method:<16}{runs:>4}{mean:>12.3f} ± {half:.3f}{last:>16}")
    return "\n".join(lines)


def draw(rows):
    """Return a figure: the share over runs, with the same intervals, a panel for each set."""
    sets = list(rows["set"].unique())
    figure = Figure(figsize=(3 * len(sets), 3), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(sets), sharey=True, squeeze=False)[0], sets, strict=True):
        own = rows[rows["set"] == name]
        for method, values in own.groupby("method", sort=False):
            table = values.groupby("runs")["share"].apply(interval).unstack()
            (line,) = axes.plot(table.index, table["mean"], marker=".", label=method)
            low, high = table["mean"] - table["half"], table["mean"] + table["half"]
            axes.fill_between(table.index, low, high, alpha=0.2, color=line.get_color())
        axes.axhline(own["fixed"].iloc[0], color="gray", linestyle=":", label="one fixed load")
        axes.set(title=name, xlabel="runs", ylim=(0.8, 1.01))
    figure.axes[0].set_ylabel("share of the best reward")
    figure.axes[0].legend(loc="lower right")
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=["S1", "S2", "S3", "S4", "S5"])
    parser.add_argument("--methods", nargs="+", default=["adaptive", "covering", "chosen", "perceptrons"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--truths", help="folder of simulators of the layout before")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("few-runs"))
    options = parser.parse_args()
    tasks = itertools.product(options.sets, options.methods, range(options.seeds))
    calls = (joblib.delayed(measure)(name, options.truths, method, seed) for name, method, seed in tasks)
    rows = pd.DataFrame(itertools.chain.from_iterable(joblib.Parallel(n_jobs=options.jobs)(calls)))
    options.out.mkdir(parents=True, exist_ok=True)
    rows.to_csv(options.out / "few_runs.csv", index=False)
    text = summary(rows)
    (options.out / "few_runs.txt").write_text(text + "\n")
    draw(rows).savefig(options.out / "few_runs.png", dpi=100)
    print(text)


if __name__ == "__main__":
    main()
