"""Signals that ask a program to end: it ends in order, and what must not be cut short is finished first.

The first SIGINT, SIGTERM or SIGHUP ends the program by an exception, so that everything is closed on the way. Inside
:func:`finishing` a signal waits, and a line says for what. The third signal ends the program wherever it is.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE = 3
_STDERR = 2


class Stopped(SystemExit):
    """SIGTERM or SIGHUP ended the program; its status is 128 and the signal's number, as in shells."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


@dataclass
class _State:
    """Of this process: signals belong to all of it.

    Attributes:
        heeding: whether signals are heeded here.
        patient: whether everything that follows the first signal counts as a task.
        received: how many have come.
        waiting: the signal that ends the program once all tasks are finished.
        tasks: what must be finished first; the innermost stands last.
    """

    heeding: bool = False
    patient: bool = False
    received: int = 0
    waiting: int | None = None
    tasks: list[str] = field(default_factory=list)


_state = _State()


@contextmanager
def heeding_signals(patient: bool = False) -> Iterator[None]:
    """Meanwhile, heed signals as above. Do nothing outside the main thread, or if the program handles them itself.

    Args:
        patient: whether the second signal waits, too, for whatever the program does on its way to the end.
    """
    if threading.current_thread() is not threading.main_thread() or _state.heeding:
        yield
        return
    ours = [number for number in _SIGNALS if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)]
    _state.heeding, _state.patient, _state.received, _state.waiting = True, patient, 0, None
    before = {number: signal.signal(number, _receive) for number in ours}
    try:
        yield
    finally:
        _state.heeding = False
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def finishing(task: str) -> Iterator[None]:
    """Let signals wait until this is done; the third one doesn't.

    Args:
        task: what is being done, for the line that says what the signal waits for; such as ``"stopping Fortio"``.

    Raises:
        KeyboardInterrupt, Stopped: at the end, if a signal came meanwhile.
    """
    _state.tasks.append(task)
    waiting = None
    try:
        yield
    finally:
        _state.tasks.pop()
        if not _state.tasks:
            waiting, _state.waiting = _state.waiting, None
    if waiting is not None:
        raise _ending(waiting)


def _receive(number: int, frame: FrameType | None) -> None:
    goes_on = not _state.tasks and not _state.patient  # after Ctrl-C a notebook does
    _state.received = 1 if goes_on else _state.received + 1
    first, last = _state.received == 1, _state.received >= _PATIENCE
    if last or (first and not _state.tasks):
        raise _ending(number)
    if first:
        _state.waiting = number
    task = _state.tasks[-1] if _state.tasks else "putting things in order"
    end = "" if first else "; once more ends it at once"
    os.write(_STDERR, f"still {task}{end}\n".encode())  # print may be under way


def _ending(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else Stopped(number)
