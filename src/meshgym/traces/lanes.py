"""Lanes that measure side by side: in processes that each own a mesh, or in one mesh they share."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from meshgym.errors import MeshError, MeshGymError
from meshgym.mesh.base import Mesh
from meshgym.mesh.destination_rule import traffic_policy
from meshgym.mesh.embedded.mesh import EmbeddedMesh
from meshgym.mesh.load.closed_loop import no_collection
from meshgym.types import Response, Setting

MeshFactory = Callable[[], Mesh]

_START_S = 60.0


def _serve(channel: Connection, make_mesh: MeshFactory) -> None:
    """In the lane's process: answer settings with responses or errors until the channel closes."""
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
                        mesh = None  # a mesh that failed once is not trusted again
                    channel.send(error)
        except MeshGymError as error:
            channel.send(error)
        finally:
            if mesh is not None:
                mesh.close()


@dataclass
class Outcome:
    """What came of one run: a response, or why there is none."""

    run: int
    lane: int
    result: Response | MeshError


@dataclass
class _Lane:
    process: BaseProcess
    channel: Connection
    run: int | None = None
    deadline: float = field(default=0.0)


class Lanes:
    """Runs settings on ``count`` meshes at once; a context manager.

    A lane that dies or hangs is ended and replaced; its run comes back as a ``MeshError``.

    Args:
        make_mesh: makes a lane's mesh in its own process (picklable).
        count: how many.
        run_s: seconds a run may take.

    Raises:
        MeshGymError: a mesh did not come up.
    """

    def __init__(self, make_mesh: MeshFactory, count: int, run_s: float = 120.0) -> None:
        self._make_mesh, self._run_s = make_mesh, run_s
        self._context = multiprocessing.get_context("spawn")
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
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._make_mesh), daemon=True)
        process.start()
        theirs.close()
        return _Lane(process, ours)

    def _await_ready(self, lane: _Lane) -> None:
        problem: MeshGymError | None = MeshError(f"a lane's mesh was not ready after {_START_S:g} s")
        if lane.channel.poll(_START_S):
            try:
                problem = lane.channel.recv()
            except EOFError:
                problem = MeshError("a lane's process ended while its mesh was starting")
        if problem is not None:
            raise problem

    def submit(self, run: int, setting: Setting) -> None:
        """Give ``setting`` to a free lane; :attr:`free` must be above 0."""
        lane = next(lane for lane in self._lanes if lane.run is None)
        lane.run, lane.deadline = run, time.monotonic() + self._run_s
        with suppress(BrokenPipeError):  # a dead lane shows itself in completed()
            lane.channel.send(setting)

    @property
    def free(self) -> int:
        """How many lanes wait for a setting."""
        return sum(lane.run is None for lane in self._lanes)

    def completed(self) -> Iterator[Outcome]:
        """Wait for at least one busy lane; yield what has come."""
        busy = {lane.channel: number for number, lane in enumerate(self._lanes) if lane.run is not None}
        left = min(self._lanes[number].deadline for number in busy.values()) - time.monotonic()
        ready = wait(list(busy), max(left, 0))
        for channel, number in busy.items():
            lane = self._lanes[number]
            run, overdue = lane.run, time.monotonic() > lane.deadline
            assert run is not None
            if channel in ready:
                lane.run = None
                try:
                    yield Outcome(run, number, lane.channel.recv())
                except (EOFError, OSError):
                    yield self._replace(number, run, "the lane's process ended")
            elif overdue:
                yield self._replace(number, run, f"no answer from the lane after {self._run_s:g} s")

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

    def __enter__(self) -> Lanes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SharedLanes:
    """:class:`Lanes` of one embedded mesh, which measures in all of them at once; a context manager.

    A mesh that broke is replaced, and the runs it was at come back as ``MeshError``.

    Args:
        make_mesh: makes the mesh; its ``lanes`` are filled.

    Raises:
        MeshGymError: the mesh did not come up.
    """

    def __init__(self, make_mesh: Callable[[], EmbeddedMesh]) -> None:
        self._make_mesh = make_mesh
        self._mesh = make_mesh()
        self._runs: dict[int, int] = {}  # by lane

    def submit(self, run: int, setting: Setting) -> None:
        """See :meth:`Lanes.submit`."""
        lane = next(lane for lane in range(self._mesh.lanes) if lane not in self._runs)
        self._runs[lane] = run
        with suppress(MeshError):  # a broken mesh shows itself in completed()
            self._mesh.begin(lane, traffic_policy(setting.rules), setting.load)

    @property
    def free(self) -> int:
        """See :attr:`Lanes.free`."""
        return self._mesh.lanes - len(self._runs)

    def completed(self) -> Iterator[Outcome]:
        """See :meth:`Lanes.completed`."""
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

    def __enter__(self) -> SharedLanes:
        return self

    def __exit__(self, *_: object) -> None:
        self._mesh.close()


class OneLane:
    """:class:`Lanes` of a single mesh that is open already, in this process; it stays the caller's to close.

    An error that is no ``MeshError`` comes out as it is: no further attempt would mend it.
    """

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._waiting: list[tuple[int, Setting]] = []

    def submit(self, run: int, setting: Setting) -> None:
        """See :meth:`Lanes.submit`."""
        self._waiting.append((run, setting))

    @property
    def free(self) -> int:
        """See :attr:`Lanes.free`."""
        return 1 - len(self._waiting)

    def completed(self) -> Iterator[Outcome]:
        """See :meth:`Lanes.completed`; here the setting is measured."""
        run, setting = self._waiting.pop()
        result: Response | MeshError
        try:
            result = self._mesh.measure(setting.rules, setting.load)
        except MeshError as error:
            result = error
        yield Outcome(run, 0, result)

    def __enter__(self) -> OneLane:
        return self

    def __exit__(self, *_: object) -> None: ...
