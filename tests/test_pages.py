"""Run what the pages of the docs show, as it stands there; the tutorials are executed when the site is built."""

import os
import signal
from contextlib import suppress

import pytest
from pages import PAGES, ROOT, play


@pytest.mark.envoy
@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_a_page_does_what_it_says(page, tmp_path):
    try:
        play(page, tmp_path)
    finally:
        for file in tmp_path.glob("*.pid"):  # a server that the page would have ended
            with suppress(OSError, ValueError):
                os.kill(int(file.read_text()), signal.SIGTERM)
