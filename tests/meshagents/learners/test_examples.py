"""Each learner runs as the example at the top of its file shows."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest


@pytest.mark.learning
@pytest.mark.parametrize("name", ["dqn", "pairs", "collaborative"])
def test_learners_run_as_documented(name):
    module = import_module(f"meshagents.learners.{name}")
    result = doctest.testmod(module)
    assert result.attempted >= 5
    assert result.failed == 0
