"""What is frozen in a version of the benchmark: seeds, and what a method may spend.

Numbers of different versions don't compare. Whoever changes something here, or a task, raises :data:`VERSION`.
"""

from __future__ import annotations

VERSION = "2"
#: Seeds of every method on every task.
SEEDS = (0, 1, 2, 3, 4)
#: Interactions with the simulator that a learner may have in a task of environments, pairs or control.
INTERACTIONS = 75_000
#: Rounds of a game.
ROUNDS = 1000
#: Runs that a search under one set of rules may have.
RUNS = 40
#: Runs that may be learned from to decide under all rules, and those of a new service where another one is known.
FEW_RUNS, TRANSFER_RUNS = 120, 30
BUDGETS = {
    "interactions": INTERACTIONS,
    "rounds": ROUNDS,
    "runs": RUNS,
    "few_runs": FEW_RUNS,
    "transfer_runs": TRANSFER_RUNS,
}
#: A fast form has a budget this many times smaller.
FAST = 10
