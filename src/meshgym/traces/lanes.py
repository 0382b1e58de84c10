"""Lanes measure several settings at once: in processes with a mesh each, or in one mesh that they share."""

from __future__ import annotations

import multiprocessing
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Self

from meshgym.errors import MeshError, MeshGymError
from meshgym.mesh.base import Mesh
from meshgym.mesh.destination_rule import traffic_policy
from meshgym.mesh.embedded.mesh import EmbeddedMesh
from meshgym.mesh.load.closed_loop import no_collection
from meshgym.types import Response, Setting

MeshFactory = Callable[[], Mesh]

_START_S = 60.0


@dataclass
class Outcome:
    """What came of one run: a response, or why there is none."""

    run: int
    lane: int
    result: Response | MeshError


class Pool(ABC):
    """Lanes that take one setting each; a context manager."""

    @property
    @abstractmethod
    def free(self) -> int:
        """How many lanes wait for a setting."""

    @abstractmethod
    def submit(self, run: int, setting: Setting) -> None:
        """Give a setting to a free lane; :attr:`free` must be above 0."""

    @abstractmethod
    def completed(self) -> Iterator[Outcome]:
        """Wait for at least one busy lane, then yield the outcomes there are."""

    def close(self) -> None:
        """End what the pool started."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class _Lane:
    process: BaseProcess
    channel: Connection
    run: int | None = None
    deadline: float = 0.0


class Lanes(Pool):
    """Lanes in processes, each with a mesh of its own.

    A lane that dies or hangs is replaced; its run comes back as a ``MeshError``.

    Args:
        make_mesh: makes a lane's mesh in its process (picklable).
        count: number of lanes.
        run_s: seconds that a run may take.

    Raises:
        MeshGymError: a mesh did not start.
    """

    def __init__(self, make_mesh: MeshFactory, count: int, run_s: float = 120.0) -> None:
        self._make_mesh, self._run_s = make_mesh, run_s
        self._processes = multiprocessing.get_context("spawn")
        self._lanes: list[_Lane] = []
        try:
            for _ in range(count):
                self._lanes.append(self._start())
            for lane in self._lanes:
                self._await_ready(lane)
        except BaseException:
            self.close()
            raise

    def _start(self) -> _Lane:
        ours, theirs = self._processes.Pipe()
        process = self._processes.Process(target=_serve, args=(theirs, self._make_mesh), daemon=True)
        process.start()
        theirs.close()
        return _Lane(process, ours)

    @staticmethod
    def _await_ready(lane: _Lane) -> None:
        problem: MeshGymError | None = MeshError(f"a lane's mesh was not ready after {_START_S:g} s")
        if lane.channel.poll(_START_S):
            try:
                problem = lane.channel.recv()
            except EOFError:
                problem = MeshError("a lane's process ended while its mesh was starting")
        if problem is not None:
            raise problem

    @property
    def free(self) -> int:
        return sum(lane.run is None for lane in self._lanes)

    def submit(self, run: int, setting: Setting) -> None:
        lane = next(lane for lane in self._lanes if lane.run is None)
        lane.run, lane.deadline = run, time.monotonic() + self._run_s
        with suppress(BrokenPipeError):  # completed() finds a dead lane
            lane.channel.send(setting)

    def completed(self) -> Iterator[Outcome]:
        busy = {number: lane for number, lane in enumerate(self._lanes) if lane.run is not None}
        left = min(lane.deadline for lane in busy.values()) - time.monotonic()
        ready = wait([lane.channel for lane in busy.values()], max(left, 0))
        for number, lane in busy.items():
            run, overdue = lane.run, time.monotonic() > lane.deadline
            assert run is not None
            if lane.channel in ready:
                lane.run = None
                try:
                    yield Outcome(run, number, lane.channel.recv())
                except (EOFError, OSError):
                    yield self._replace(number, run, "the lane's process ended")
            elif overdue:
                yield self._replace(number, run, f"no response from the lane after {self._run_s:g} s")

    def _replace(self, number: int, run: int, reason: str) -> Outcome:
        self._end(self._lanes[number])
        self._lanes[number] = self._start()
        self._await_ready(self._lanes[number])
        return Outcome(run, number, MeshError(reason))

    @staticmethod
    def _end(lane: _Lane) -> None:
        lane.channel.close()
        lane.process.join(timeout=0.01 if lane.run is not None else 5)
        if lane.process.is_alive():
            lane.process.kill()
        lane.process.join()

    def close(self) -> None:
        """End all lanes and their meshes."""
        for lane in self._lanes:
            self._end(lane)
        self._lanes.clear()


def _serve(channel: Connection, make_mesh: MeshFactory) -> None:
    """Measure in a lane's process: return a response or an error per setting, until the channel closes."""
    mesh: Mesh | None = None
    with suppress(EOFError, KeyboardInterrupt):
        try:
            mesh = make_mesh()
            channel.send(None)
            while True:
                setting: Setting = channel.recv()
                try:
                    mesh = mesh or make_mesh()
                    channel.send(mesh.measure(setting.rules, setting.load))
                except MeshError as error:
                    if mesh is not None:
                        mesh.close()
                        mesh = None  # don't trust a mesh again that has failed
                    channel.send(error)
        except MeshGymError as error:
            channel.send(error)
        finally:
            if mesh is not None:
                mesh.close()


class SharedLanes(Pool):
    """The lanes of one embedded mesh, which measures in all of them at once.

    A mesh that breaks is replaced; the runs it was busy with come back as ``MeshError``.

    Args:
        make_mesh: makes the mesh; all of its ``lanes`` are used.

    Raises:
        MeshGymError: the mesh did not start.
    """

    def __init__(self, make_mesh: Callable[[], EmbeddedMesh]) -> None:
        self._make_mesh = make_mesh
        self._mesh = make_mesh()
        self._runs: dict[int, int] = {}  # by lane

    @property
    def free(self) -> int:
        return self._mesh.lanes - len(self._runs)

    def submit(self, run: int, setting: Setting) -> None:
        lane = next(lane for lane in range(self._mesh.lanes) if lane not in self._runs)
        self._runs[lane] = run
        with suppress(MeshError):  # completed() finds a broken mesh
            self._mesh.begin(lane, traffic_policy(setting.rules), setting.load)

    def completed(self) -> Iterator[Outcome]:
        ended: list[tuple[int, Response | MeshError]] = []
        try:
            with no_collection():
                while not ended:
                    ended = self._mesh.completed()
        except MeshError as error:
            self._mesh.close()
            self._mesh = self._make_mesh()
            ended = [(lane, error) for lane in self._runs]
        for lane, result in ended:
            yield Outcome(self._runs.pop(lane), lane, result)

    def close(self) -> None:
        """End the mesh."""
        self._mesh.close()


class OneLane(Pool):
    """A single mesh that is already open, in this process; closing it is up to the caller.

    Errors other than ``MeshError`` are raised, because another attempt wouldn't help.
    """

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._waiting: list[tuple[int, Setting]] = []

    @property
    def free(self) -> int:
        return 1 - len(self._waiting)

    def submit(self, run: int, setting: Setting) -> None:
        self._waiting.append((run, setting))

    def completed(self) -> Iterator[Outcome]:
        run, setting = self._waiting.pop()
        result: Response | MeshError
        try:
            result = self._mesh.measure(setting.rules, setting.load)
        except MeshError as error:
            result = error
        yield Outcome(run, 0, result)
