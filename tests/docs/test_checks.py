"""CI runs what the README tells people to run, and zf's own task files miss no test."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml

import zf

ROOT = Path(__file__).resolve().parents[2]
TASKS = {
    path.parent.name: yaml.safe_load(path.read_text())
    for path in sorted(ROOT.glob("tasks/*/task.yaml"))
}


def scripts(phase: str) -> str:
    return "\n".join(
        step["run"]
        for task in TASKS.values()
        if task["phase"] == phase
        for step in task["commands"]
    )


def readme_lines() -> list[str]:
    """The two lines to paste, without their comments."""
    block = re.search(r"(?ms)^```sh\n(.*?)^```$", (ROOT / "README.md").read_text())
    return [line.split("#")[0].strip() for line in block[1].splitlines()]


def test_the_readmes_two_lines_are_what_ci_runs():
    ci = (ROOT / ".ci" / "run").read_text()
    run, test = readme_lines()
    assert (run, test) == ("./dev zf run-phase A", "./dev pytest")
    for line in (run, test):
        assert re.search(rf"(?m)^check {re.escape(line)}( *#.*)?$", ci)


def test_the_hosted_ci_runs_the_same_script():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert {"run": ".ci/run"} in workflow["jobs"]["check"]["steps"]


def test_phase_a_holds_the_five_checks():
    for check in ("ruff format --check", "ruff check", "mypy", "lint-imports", "zizmor"):
        assert f"./dev {check}" in scripts("A")


def test_phases_b_and_c_run_every_test_file_once():
    found: list[Path] = []
    for name in re.findall(r"tests/\S+", scripts("B") + scripts("C")):
        for place in ROOT.glob(name):
            found += [place] if place.is_file() else place.rglob("test_*.py")
    assert sorted(found) == sorted(ROOT.glob("tests/**/test_*.py"))


def test_no_test_file_imports_another():
    """What two of them need is in `tests/support`."""
    wrong = re.compile(r"^ *(?:from|import) tests\.(?!support\b)", re.MULTILINE)
    files = ROOT.glob("tests/**/*.py")
    found = {str(path.relative_to(ROOT)) for path in files if wrong.search(path.read_text())}
    assert found <= {"tests/proof/test_journal.py"}  # itself, in a process that is killed


def test_every_step_finds_its_tools_in_the_checkouts_environment():
    for tool in ("pytest", "ruff", "mypy", "lint-imports", "zizmor"):
        for task in TASKS.values():
            for step in task["commands"]:
                bare = re.search(rf"(?m)(?<!/dev )\b{tool} ", step["run"])
                assert not bare, task["id"]


def test_coverage_is_added_up_from_every_test_task():
    combine = (ROOT / "tasks" / "61-coverage" / "combine.py").read_text()
    told = re.search(r"TASKS = \((.*?)\)", combine, re.DOTALL)[1]
    measured = [task for task in TASKS if "--cov " in TASKS[task]["commands"][0]["run"]]
    assert re.findall(r'"([\w-]+)"', told) == measured


def test_the_changelog_knows_this_version():
    assert f"\n## {zf.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def calls_itself_pure(path: Path) -> bool:
    said = ast.get_docstring(ast.parse(path.read_text())) or ""
    return re.search(r"\bPure[.,:;]|\bof it pure\b", said) is not None


CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
[PURE] = [one for one in CONTRACTS["contracts"] if one["name"].startswith("The pure parts")]


@pytest.mark.parametrize(
    "module",
    [
        ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((ROOT / "src").rglob("*.py"))
        if calls_itself_pure(path)
    ],
)
def test_a_module_that_calls_itself_pure_is_held_to_it(module):
    held = PURE["source_modules"]
    assert any(f"{module}.".startswith(f"{one}.") for one in held)
