"""Sets of sequences: runs that follow one another, as they are planned, taken and read.

Such a set is a collection, or a packed set, whose plan has one episode after the other: run ``n`` is interval
``n % intervals`` of episode ``n // intervals``. Its provenance says how many intervals an episode has (``control``).
"""

from __future__ import annotations

from collections import deque
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from meshgym.errors import MeshError, TraceError
from meshgym.mesh.embedded.sequences import EmbeddedSequences
from meshgym.mesh.sequences import control_of
from meshgym.processes import PROCESSES, draw_rates
from meshgym.scenarios import Control, Scenario
from meshgym.traces.collect import open_collection
from meshgym.traces.plan import Plan
from meshgym.traces.store import check_scenario, load_traces
from meshgym.types import Progress, Response

if TYPE_CHECKING:
    import pandas as pd

#: How likely other rules are drawn for the next interval; an episode has one of these shares.
_CHANGES = (0.0, 0.1, 0.3)
_ATTEMPTS = 3
#: If so many episodes in a row fail, the mesh is broken, not the episodes.
_GIVE_UP = 5


def plan_sequences(scenario: Scenario, episodes: int, seed: int) -> Plan:
    """Draw the rules and loads of episodes: loads by all processes, and rules that change never, seldom or often.

    Args:
        scenario: with a section ``[control]``.
        episodes: at least 1.
        seed: of the draw.

    Raises:
        InvalidValueError: the scenario has no such section.
    """
    control, span = control_of(scenario), scenario.load["rate_per_s"]
    grid, parts = scenario.rule_grid(), []
    for generator in np.random.default_rng(seed).spawn(episodes):
        rates = draw_rates(PROCESSES["mixed"], generator, control.intervals, span)
        changes = generator.random(control.intervals) < generator.choice(_CHANGES)
        rows = generator.integers(len(grid), size=control.intervals)[np.maximum.accumulate(_where(changes))]
        parts.append(np.column_stack([grid[rows], rates, np.rint(rates * control.interval_s)]))
    settings = np.concatenate(parts)
    return Plan(settings, np.zeros(len(settings), np.int64), scenario.setting_names)


def _where(changes: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the number of each interval with a change, else 0."""
    return np.where(changes, np.arange(len(changes)), 0)


def collect_sequences(
    scenario: Scenario,
    folder: Path,
    episodes: int,
    *,
    seed: int = 0,
    lanes: int = 8,
    progress: Progress = lambda done, total: None,
) -> Path:
    """Take sequences on the embedded mesh, or the rest of them, and return the path of ``collection.db``.

    Episodes are taken side by side, on the clock. One that was disturbed is taken again, up to twice. Each is kept as a
    whole, so a process may be killed at any time.

    Args:
        scenario: with a section ``[control]``.
        folder: a collection begun in it with the same arguments is continued.
        episodes: in the plan.
        seed: of the plan.
        lanes: episodes that are taken side by side, 1..64.
        progress: called with the episodes that are done, after each batch.

    Raises:
        FolderError, TraceError: see :func:`meshgym.traces.collect.open_collection`.
        MeshGymError: the mesh did not start, or episode after episode failed; what was taken is kept.
    """
    control = control_of(scenario)
    plan = plan_sequences(scenario, episodes, seed)
    with open_collection(folder, scenario, plan, seed, control=control) as collection:
        missing = sorted({run // control.intervals for run in collection.missing()})
        queue = deque((episode, 1) for episode in missing)
        failed = 0
        progress(episodes - len(missing), episodes)
        with EmbeddedSequences(scenario, min(lanes, len(missing))) if missing else nullcontext() as sequences:
            while queue:
                assert sequences is not None
                batch = [queue.popleft() for _ in range(min(len(queue), sequences.copies))]
                found = _take(sequences, plan, [episode for episode, _ in batch])
                for lane, ((episode, attempt), result) in enumerate(zip(batch, found, strict=True)):
                    first = episode * control.intervals
                    failed = failed + 1 if isinstance(result, MeshError) else 0
                    if not isinstance(result, MeshError):
                        told = {first + number: response.to_dict() for number, response in enumerate(result)}
                        collection.add_together(told, lane, attempt)
                    elif failed == _GIVE_UP:
                        raise MeshError(f"{_GIVE_UP} episodes in a row failed, the last with: {result}")
                    elif attempt < _ATTEMPTS:
                        queue.append((episode, attempt + 1))
                    else:
                        collection.give_up(first, str(result))
                progress(episodes - len(queue), episodes)
        return collection.path


def _take(sequences: EmbeddedSequences, plan: Plan, episodes: list[int]) -> list[list[Response] | MeshError]:
    """Take episodes side by side; return the responses of each, or what went wrong first."""
    intervals = sequences.control.intervals
    found: list[list[Response] | MeshError] = [[] for _ in episodes]
    sequences.begin()
    for interval in range(intervals):
        settings = plan.settings[[episode * intervals + interval for episode in episodes]]
        for lane, response in enumerate(sequences.measure_each(settings)):
            so_far = found[lane]
            if isinstance(so_far, list):
                if isinstance(response, MeshError):
                    found[lane] = response
                else:
                    so_far.append(response)
    return found


def load_sequences(traces: str | Path, scenario: Scenario) -> pd.DataFrame:
    """Read a set of sequences and check it.

    Args:
        traces: ``"C1"`` for the bundled set, or a file as for :func:`meshgym.traces.store.load_traces`.
        scenario: what it must be of.

    Returns:
        One row per interval, episode by episode, with the columns ``episode`` and ``interval`` besides those of a set.
        Episodes that aren't whole are left out.

    Raises:
        TraceError: as of :func:`load_traces`, another scenario's set, one of single runs, or one without a whole
            episode.
    """
    frame = load_traces(traces)
    check_scenario(frame, scenario)
    about = frame.attrs["control"]
    if about is None or not {"run", "ejected", "connected"} <= set(frame):
        raise TraceError(f"{traces} holds single runs, not sequences; take some with: meshgym sequences")
    control = Control(**about)
    if control != scenario.control:
        raise TraceError(f"{traces} was taken with {control}; the scenario has {scenario.control}. Take it again")
    frame = frame.sort_values("run", ignore_index=True)
    frame["episode"], frame["interval"] = frame["run"] // control.intervals, frame["run"] % control.intervals
    whole = frame.groupby("episode")["run"].transform("size") == control.intervals
    if not whole.any():
        raise TraceError(f"{traces} holds no whole episode of {control.intervals} intervals; take more")
    return frame[whole].reset_index(drop=True)
