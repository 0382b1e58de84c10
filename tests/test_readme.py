"""Run what the README shows, as it stands there."""

import re
import subprocess
import sys

import pytest
from pages import README, ROOT, play


@pytest.mark.envoy
@pytest.mark.slow
def test_the_readme_does_what_it_says(tmp_path):
    options = ["--runs", "60", "--contexts", "4", "--epochs", "5"]
    command = [sys.executable, "-m", "meshagents", "quickstart", *options]
    subprocess.run(command, cwd=tmp_path, check=True, stderr=subprocess.DEVNULL, timeout=280)
    play(README, tmp_path)


def test_links_of_the_readme_lead_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README.read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
