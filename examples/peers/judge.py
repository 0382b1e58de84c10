"""What all examples here end with: a row of Table 5 beside our own, and decisions measured on a real Envoy."""

import tempfile
from pathlib import Path

from meshagents.experiments import table5
from meshagents.experiments.outsiders import Outsider
from meshagents.learners.hyperparameters import Hyperparameters
from meshagents.report.text import table5_tables
from meshagents.statistics import markdown
from meshagents.training.tasks import Task
from meshagents.training.trained import evaluate_trained
from meshagents.validation.measure import Validation
from meshagents.validation.validate import Validator, summary


def judge(choose, name, scenario="S3", control="both", normalised=True, epochs=25, contexts=8, lanes=4):
    """Judge ``choose``, from observations of shape (n, inputs) to actions; return its share of the oracle's reward."""
    outsider = Outsider(name, choose, control, normalised)
    own = "Thread&Call" if control == "both" else "Call"
    hyperparameters = Hyperparameters(epochs=epochs)
    experiment = table5.Table5((Task(scenario),), 1, hyperparameters, rows=(own, name), outsiders=(outsider,))
    with tempfile.TemporaryDirectory() as folder:
        tables = table5.tables(table5.run(experiment, Path(folder) / "trainings"))
        for caption, table in list(table5_tables(tables).items())[1:2]:
            print(f"{caption}\n\n{markdown(table)}\n")
        outside = outsider.at(Task(scenario), 0)
        evaluations = evaluate_trained(outside)
        if contexts:
            validator = Validator(Path(folder) / "measured", Validation(contexts, repeats=1, lanes=lanes))
            (found,) = validator.validate_agent(outside, evaluations)
            print(summary(found.replayed).to_string())
    return evaluations[0].share
