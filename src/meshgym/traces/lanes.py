"""Lanes measure several settings at once: in processes with a mesh each, or in one mesh that they share."""

from __future__ import annotations

import multiprocessing
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Self

from meshgym.errors import MeshError, MeshGymError
from meshgym.mesh.base import Mesh
from meshgym.mesh.embedded.mesh import EmbeddedMesh
from meshgym.mesh.load.client import no_collection
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
    """Lanes that measure one setting each; a context manager.

    Args:
        count: number of lanes.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._runs: dict[int, int] = {}  # by busy lane

    @property
    def free(self) -> int:
        """How many lanes wait for a setting."""
        return self._count - len(self._runs)

    def submit(self, run: int, setting: Setting) -> None:
        """Give a setting to a free lane; :attr:`free` must be above 0."""
        lane = next(lane for lane in range(self._count) if lane not in self._runs)
        self._runs[lane] = run
        self._begin(lane, setting)

    def completed(self) -> Iterator[Outcome]:
        """Wait for at least one busy lane, then yield the outcomes there are."""
        for lane, result in self._ended():
            yield Outcome(self._runs.pop(lane), lane, result)

    @abstractmethod
    def _begin(self, lane: int, setting: Setting) -> None: ...

    @abstractmethod
    def _ended(self) -> Iterable[tuple[int, Response | MeshError]]: ...

    def close(self) -> None:
        """End what the pool started."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class _Process:
    """A lane's process, and when its run must have ended."""

    process: BaseProcess
    channel: Connection
    deadline: float = 0.0


class Lanes(Pool):
    """Lanes in processes, each with a mesh of its own.

    A lane that dies or hangs is replaced; its run comes back as a ``MeshError``. Any other error ends all lanes,
    because another attempt wouldn't help.

    Args:
        makers: each makes a lane's mesh in its process (picklable).
        run_s: seconds that a run may take.
        end_s: seconds that a lane in the middle of a run may take to put things in order when it is asked to end.

    Raises:
        MeshGymError: a mesh did not start.
    """

    def __init__(self, makers: Sequence[MeshFactory], run_s: float = 120.0, end_s: float = 5.0) -> None:
        super().__init__(len(makers))
        self._makers, self._run_s, self._end_s = makers, run_s, end_s
        self._processes: list[_Process] = []
        try:
            for lane in range(len(makers)):
                self._processes.append(self._start(lane))
            for lane in range(len(makers)):
                self._await_ready(lane)
        except BaseException:
            self.close()
            raise

    def _start(self, lane: int) -> _Process:
        spawning = multiprocessing.get_context("spawn")
        ours, theirs = spawning.Pipe()
        process = spawning.Process(target=_serve, args=(theirs, self._makers[lane]), daemon=True)
        process.start()
        theirs.close()
        return _Process(process, ours)

    def _await_ready(self, lane: int) -> None:
        channel = self._processes[lane].channel
        problem: MeshGymError | None = MeshError(f"a lane's mesh was not ready after {_START_S:g} s")
        if channel.poll(_START_S):
            try:
                problem = channel.recv()
            except EOFError:
                problem = MeshError("a lane's process ended while its mesh was starting")
        if problem is not None:
            raise problem

    def _begin(self, lane: int, setting: Setting) -> None:
        self._processes[lane].deadline = time.monotonic() + self._run_s
        with suppress(BrokenPipeError):  # _ended() finds a dead lane
            self._processes[lane].channel.send(setting)

    def _ended(self) -> Iterator[tuple[int, Response | MeshError]]:
        busy = {lane: self._processes[lane] for lane in self._runs}
        left = min(process.deadline for process in busy.values()) - time.monotonic()
        ready = wait([process.channel for process in busy.values()], max(left, 0))
        for lane, process in busy.items():
            if process.channel in ready:
                try:
                    result = process.channel.recv()
                except (EOFError, OSError):
                    result = self._replace(lane, "the lane's process ended")
                if not isinstance(result, Response | MeshError):
                    raise result
                yield lane, result
            elif time.monotonic() > process.deadline:
                yield lane, self._replace(lane, f"no response from the lane after {self._run_s:g} s")

    def _replace(self, lane: int, reason: str) -> MeshError:
        self._end(lane)
        self._processes[lane] = self._start(lane)
        self._await_ready(lane)
        return MeshError(reason)

    def _end(self, *lanes: int) -> None:
        """End lanes together: each may have to put things in order."""
        for lane in lanes:
            self._processes[lane].channel.close()
            if lane in self._runs:
                self._processes[lane].process.terminate()
        for lane in lanes:
            self._await_end(self._processes[lane].process)

    def _await_end(self, process: BaseProcess) -> None:
        process.join(self._end_s)
        if process.is_alive():
            process.kill()
        process.join()

    def close(self) -> None:
        """End all lanes and their meshes."""
        self._end(*range(len(self._processes)))
        self._processes.clear()


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
        super().__init__(self._mesh.lanes)

    def _begin(self, lane: int, setting: Setting) -> None:
        with suppress(MeshError):  # _ended() finds a broken mesh
            self._mesh.begin_setting(lane, setting)

    def _ended(self) -> list[tuple[int, Response | MeshError]]:
        try:
            with no_collection():
                while not (ended := self._mesh.completed()):
                    pass
            return ended
        except MeshError as error:
            self._mesh.close()
            self._mesh = self._make_mesh()
            return [(lane, error) for lane in self._runs]

    def close(self) -> None:
        """End the mesh."""
        self._mesh.close()


class OneLane(Pool):
    """A single mesh that is already open, in this process; closing it is up to the caller.

    Errors other than ``MeshError`` are raised, because another attempt wouldn't help.
    """

    def __init__(self, mesh: Mesh) -> None:
        super().__init__(1)
        self._mesh = mesh

    def _begin(self, lane: int, setting: Setting) -> None:
        self._setting = setting

    def _ended(self) -> list[tuple[int, Response | MeshError]]:
        try:
            return [(0, self._mesh.measure(self._setting.rules, self._setting.load))]
        except MeshError as error:
            return [(0, error)]
