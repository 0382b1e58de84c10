"""Run commands, and end them when the parent is gone, even after a ``kill -9`` of the parent.

    python -I -S guard.py FOLDER JSON

JSON lists commands, each ``[name, argument, ...]``. When standard input closes, which the kernel does for a dead
parent, every command is killed and FOLDER is removed. If a command ends by itself, ``name status`` is written to
standard output. On Linux the commands also die with the guard; elsewhere a killed guard would leave them running. It
uses the standard library only, because it is started as a file, in a few milliseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import shutil
import signal
import sys

_PR_SET_PDEATHSIG = 1
#: Bytes of a log; an Envoy that floods it loses its messages, not the disk.
_LOG_BYTES = 2**24


def _start(arguments: list[str], log: str) -> tuple[int, int]:
    """Start a process; return its id, and a pipe that closes when it has ended."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (_LOG_BYTES, _LOG_BYTES))  # Python ignores SIGXFSZ, and so will it
        os.set_inheritable(write, True)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        try:
            os.execv(arguments[0], arguments)
        except OSError as error:
            os.write(2, f"{arguments[0]}: {error}\n".encode())
            os._exit(127)
    os.close(write)
    return child, read


def main(folder: str, commands: list[list[str]]) -> None:
    """Start the commands, watch them, end them."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):  # an Envoy needs two descriptors for each connection
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    running = {}
    for name, *arguments in commands:
        child, pipe = _start(arguments, os.path.join(folder, f"{name}.log"))  # noqa: PTH118
        running[pipe] = name, child
    parent_alive = True
    while parent_alive:
        ready, _, _ = select.select([0, *running], [], [])
        for pipe in ready:
            if pipe == 0:
                parent_alive = bool(os.read(0, 4096))
            else:
                name, child = running.pop(pipe)
                status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                with contextlib.suppress(BrokenPipeError):
                    os.write(1, f"{name} {status}\n".encode())
    for _, child in running.values():
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
