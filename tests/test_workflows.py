"""GitHub's files are what GitHub takes (its published schemas), and their scripts are valid Bash."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).parents[1] / ".github"
WORKFLOWS = [*sorted((FOLDER / "workflows").glob("*.yml")), FOLDER.parent / "examples" / "slo-gate.yml"]
SCHEMAS = [
    *((path, "vendor.github-workflows") for path in WORKFLOWS),
    *((FOLDER / "ISSUE_TEMPLATE" / f"{name}.yml", "vendor.github-issue-forms") for name in ("bug", "idea")),
    (FOLDER / "ISSUE_TEMPLATE" / "config.yml", "vendor.github-issue-config"),
    (FOLDER / "dependabot.yml", "vendor.dependabot"),
]


@pytest.mark.parametrize(("path", "schema"), SCHEMAS, ids=lambda value: getattr(value, "name", ""))
def test_a_file_fits_githubs_schema(path, schema):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_jobs_end_by_themselves_and_their_scripts_are_bash(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 60, name
        for step in job["steps"]:
            if "run" in step:
                script = step["run"].replace("${{", "'{").replace("}}", "}'")
                done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
                assert done.returncode == 0, done.stderr
            else:
                assert "@" in step["uses"], step
