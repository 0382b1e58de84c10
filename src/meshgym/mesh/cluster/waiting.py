"""Wait while a part of the cluster is away."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from meshgym.errors import AwayError

T = TypeVar("T")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
_log = logging.getLogger(__name__)


def patiently(call: Callable[[], T], wait_s: float) -> T:
    """Repeat a call while something that it needs is away, with growing pauses; one line says what is waited for.

    Args:
        call: may be repeated at any time.
        wait_s: seconds that it may be away.

    Raises:
        AwayError: it is still away.
    """
    deadline: float | None = None
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return call()
        except AwayError as error:
            if deadline is None:
                deadline = time.monotonic() + wait_s
                if wait_s:
                    _log.warning("waiting up to %.0f s: %s", wait_s, error)
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise
            time.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
