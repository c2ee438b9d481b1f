"""The action for GitHub and the component for GitLab, as pipelines use them."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.ci_logs import GitHubJob, read_outputs, read_sections
from tests.support.sessions import blocks
from tests.support.tools import from_npm, program
from zf.options import PHASE
from zf.settings import OPTIONS

ROOT = Path(__file__).resolve().parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS = ACTION["runs"]["steps"]
TEMPLATE = ROOT / "templates" / "zf.yml"


@pytest.fixture
def pipeline(project):
    """A project whose phase A succeeds, and whose phase B, which needs it, does not."""
    project.task("10-build", "echo built | tee thing.txt", artifacts=["thing.txt"])
    project.task("20-test", "echo testing; test -e fixed", phase="B", needs=["10-build"])
    return project


# --- GitHub --------------------------------------------------------------------------------------


class Job:
    """A job of GitHub's that uses the action: its `run` steps are carried out, in a shell as the
    runner starts it, and what the others are given is kept.
    """

    def __init__(self, project, **inputs: str) -> None:
        self.project = project
        self.temp = project.root.parent / "temp"
        (self.temp / "zf" / "bin").mkdir(parents=True, exist_ok=True)
        zf = self.temp / "zf" / "bin" / "zf"
        zf.write_text(f'#!/bin/sh\nexec {sys.executable} -m zf "$@"\n')
        zf.chmod(0o755)
        defaults = {name: one.get("default", "") for name, one in ACTION["inputs"].items()}
        self.inputs = {**defaults, "name": "proof-job", **inputs}
        assert self.inputs.keys() == ACTION["inputs"].keys()
        self.outputs: dict[str, dict[str, str]] = {}
        self.log = ""
        self.used: dict[str, dict[str, str]] = {}
        self.failed = False
        for step in STEPS:
            self._step(step)

    def output(self, name: str) -> str:
        """What the caller of the action gets."""
        return self._filled(ACTION["outputs"][name]["value"])

    def _filled(self, text: str) -> str:
        def value(found: re.Match) -> str:
            words = found[1].split(".")
            if words[0] == "inputs":
                return self.inputs[words[1]]
            assert words[0] == "steps"
            return self.outputs.get(words[1], {}).get(words[3], "")

        return re.sub(r"\$\{\{ ([\w.-]+) \}\}", value, text)

    def _applies(self, condition: str | None) -> bool:
        """Conditions are words joined by `&&`."""
        if condition is None:
            return not self.failed
        parts = condition.split(" && ")
        if "always()" not in parts and self.failed:
            return False
        for part in parts:
            if part == "always()":
                continue
            name, operator, literal = re.fullmatch(r"([\w.-]+) (==|!=) '(.*)'", part).groups()
            if (self._filled(f"${{{{ {name} }}}}") == literal) != (operator == "=="):
                return False
        return True

    def _step(self, step) -> None:
        if not self._applies(step.get("if")):
            return
        if "uses" in step:
            values = {name: self._filled(str(value)) for name, value in step["with"].items()}
            self.used.setdefault(step["uses"].split("@")[0], {})[step["name"]] = values
            return
        output = self.temp / "output"
        output.write_text("")
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]],
            cwd=self.project.root / self._filled(step.get("working-directory", ".")),
            env=self.project.env
            | {name: self._filled(value) for name, value in step.get("env", {}).items()}
            | {
                "CI": "true",
                "GITHUB_ACTIONS": "true",
                "GITHUB_ACTION_PATH": str(ROOT),
                "GITHUB_OUTPUT": str(output),
                "RUNNER_TEMP": str(self.temp),
            },
            capture_output=True,
            text=True,
        )
        self.log += done.stderr + done.stdout
        self.failed = self.failed or done.returncode != 0
        if "id" in step:
            self.outputs[step["id"]] = read_outputs(output.read_text())


def test_a_job_that_passes(pipeline):
    job = Job(pipeline, phases="A")
    assert not job.failed, job.log
    assert job.output("result") == "passed"
    assert job.output("proof") == str(job.temp / "proof-job.tar")
    assert pipeline.zf("verify", job.output("proof"), "--head", job.output("head")).code == 0
    assert Path(job.output("report")).is_file()
    uploaded = job.used["actions/upload-artifact"]
    assert {one["path"] for one in uploaded.values()} == {
        job.output("proof"),
        job.output("report"),
    }
    # As one file, which a browser shows, and not in an archive of their own.
    assert all(ACTION_STEP["with"]["archive"] is False for ACTION_STEP in UPLOADS)
    assert "actions/attest" not in job.used


UPLOADS = [step for step in STEPS if step.get("uses", "").startswith("actions/upload-artifact@")]


def test_a_job_that_fails_keeps_its_proof_and_builds_on_another(pipeline):
    built = Job(pipeline, phases="A", name="proof-build")
    shutil.rmtree(pipeline.root / "proofs")
    options = f"--upstream={built.output('proof')}\n\n--max-jobs=1\n"
    job = Job(pipeline, phases="B", options=options, attest="true", upload="false")
    assert job.failed
    assert (job.output("result"), job.output("exit-code")) == ("failed", "1")
    assert json.loads(job.output("failed")) == ["20-test"]
    assert job.used["actions/attest"]["Attest the proof"]["subject-path"] == job.output("proof")
    assert "actions/upload-artifact" not in job.used
    assert [one.name for one in GitHubJob().take(job.log).named("error")] == ["error"]
    settings = json.loads((pipeline.root / "proofs" / job.output("run") / "run.json").read_text())
    assert settings["limits"]["max_jobs"] == 1


def test_a_job_that_cannot_begin_uploads_nothing(pipeline):
    job = Job(pipeline, phases="NOPE")
    assert job.failed
    assert "unknown phase" in job.log
    assert "actions/upload-artifact" not in job.used


def test_inputs_are_words_and_never_code(pipeline):
    job = Job(
        pipeline, phases="A * $(touch evil) `touch evil`; touch evil", options="$(touch evil)"
    )
    assert job.failed
    assert not list(pipeline.root.rglob("evil"))
    # A pattern is not made into names of files either.
    assert "'*'" in job.log


def test_what_others_wrote_is_pinned_and_inputs_come_through_the_environment():
    text = (ROOT / "action.yml").read_text()
    used = re.findall(r"uses: (\S+)(.*)", text)
    assert used
    for name, comment in used:
        assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", name)
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment)
    for step in STEPS:
        assert "${{" not in step.get("run", "")


# --- GitLab --------------------------------------------------------------------------------------

PIPELINE = """
stages: [build, test, tell]
include:
  - local: templates/zf.yml
    inputs: {job: build, stage: build, phases: A, package: ""}
  - local: templates/zf.yml
    inputs: {job: check, phases: B, package: "", upstream: build, needs: [build, away]}
# Jobs are in one folder here, and elsewhere each is in its own.
away:
  needs: [build]
  script:
    - rm -r proofs/ci-*
tell:
  stage: tell
  when: always
  needs: [build]
  script:
    - echo "build came to $ZF_RESULT with $ZF_RUN"
"""


@pytest.fixture
def gitlab(pipeline, tmp_path):
    """What gitlab-ci-local makes of a pipeline of the project."""
    if not shutil.which("rsync"):
        pytest.skip("gitlab-ci-local needs rsync")
    entry = from_npm(".bin/gitlab-ci-local")
    (pipeline.root / "templates").mkdir()
    shutil.copy(TEMPLATE, pipeline.root / "templates")
    (pipeline.root / ".gitlab-ci.yml").write_text(PIPELINE)
    (pipeline.root / ".gitignore").write_text("proofs/\n.gitlab-ci-local/\n")
    (tmp_path / "bin").mkdir()
    zf = tmp_path / "bin" / "zf"
    zf.write_text(f'#!/bin/sh\nexec {sys.executable} -m zf "$@"\n')
    zf.chmod(0o755)
    for words in (
        ("init", "-q", "-b", "main"),
        ("remote", "add", "origin", "git@gitlab.example.org:group/name.git"),
        ("add", "."),
        ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"),
    ):
        subprocess.run(["git", *words], cwd=pipeline.root, check=True, env=pipeline.env)
    done = subprocess.run(
        [str(entry), "--force-shell-executor"],
        cwd=pipeline.root,
        env=pipeline.env | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        timeout=240,
    )
    return pipeline.root / ".gitlab-ci-local", done.stdout.decode() + done.stderr.decode()


def test_a_real_pipeline(gitlab, pipeline):
    made, told = gitlab
    assert "json schema validated" in told
    log = (made / "output" / "build.log").read_bytes().decode()
    [section], _ = read_sections(log)
    assert section.collapsed
    assert section.ended is not None
    [section], loose = read_sections((made / "output" / "check.log").read_bytes().decode())
    assert not section.collapsed
    assert "testing" in section.lines
    # The proof came from the other job, and was verified.
    assert re.search(
        r"proofs/build\.tar is intact: run ci-\d+ of commit \w+ is in", "\n".join(loose)
    )
    # What the first job came to is known to a later one.
    assert re.search(r"build came to passed with ci-\d+", told)
    kept = {path.name for path in made.glob("artifacts/*/proofs/*")}
    assert {"build.tar", "build.html", "check.tar", "check.html"} <= kept
    for name in ("build", "check"):
        [archive] = made.glob(f"artifacts/{name}/proofs/{name}.tar")
        assert pipeline.zf("verify", str(archive)).code == 0


def test_the_component_declares_what_it_uses():
    spec, body = TEMPLATE.read_text().split("\n---\n")
    declared = yaml.safe_load(spec)["spec"]["inputs"].keys()
    assert set(re.findall(r"\$\[\[ inputs\.(\w+) \]\]", body)) == declared
    # No script has an input in it.
    [job] = yaml.safe_load(body.replace("$[[ inputs.needs ]]", "[]")).values()
    assert "$[[" not in "".join((*job["script"], *job["after_script"]))


@pytest.mark.parametrize("file", ["action.yml", "templates/zf.yml"])
def test_every_option_of_theirs_is_one_of_zf(file):
    found = re.findall(r"(?<=\s)(--[a-z][a-z-]+)(?=[ =\n])", (ROOT / file).read_text())
    known = {flag for one in OPTIONS.values() if PHASE in one.verbs for flag in one.flags}
    assert set(found) - {"--quiet", "--max-jobs", "--upstream"} <= known
    assert "--ci" in found


def accepted(schema: str, *paths: Path) -> None:
    """Held against the schema that comes with check-jsonschema."""
    check = program("check-jsonschema")
    words = [check, "--builtin-schema", f"vendor.{schema}", *map(str, paths)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_schema_of_an_action():
    accepted("github-actions", ROOT / "action.yml")


def test_the_schema_of_a_pipeline(tmp_path):
    body = TEMPLATE.read_text().split("\n---\n")[1]
    names = {"job": "zf", "needs": "[]", "folder": "proofs"}
    filled = re.sub(r"\$\[\[ inputs\.(\w+) \]\]", lambda one: names.get(one[1], "x"), body)
    (tmp_path / "job.yml").write_text(filled)
    accepted("gitlab-ci", tmp_path / "job.yml")


# --- What the documentation says -----------------------------------------------------------------


def examples(page: str) -> list[str]:
    """The pipelines on a page."""
    text = (ROOT / "docs" / "how-to" / page).read_text()
    return ["\n".join(one.lines) for one in blocks(text) if one.kind == "yaml other"]


def test_the_workflow_in_the_documentation_is_sound(tmp_path):
    [workflow] = [text for text in examples("run-on-github.md") if "jobs:" in text]
    # Any commit of any repository: that one is the reader's to fill in.
    path = tmp_path / "workflow.yml"
    path.write_text(workflow.replace("OWNER/zf@COMMIT", f"owner/zf@{'0' * 40} # v1.0.0"))
    accepted("github-workflows", path)
    done = subprocess.run(
        [program("zizmor"), "--offline", "--quiet", str(path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    given = [
        step["with"]
        for job in yaml.safe_load(workflow)["jobs"].values()
        for step in job["steps"]
        if "OWNER" in step["uses"]
    ]
    assert given
    assert all(one.keys() <= ACTION["inputs"].keys() for one in given)


def test_the_pipelines_in_the_documentation_are_sound(tmp_path):
    inputs = yaml.safe_load(TEMPLATE.read_text().split("\n---\n")[0])["spec"]["inputs"]
    pages = examples("run-on-gitlab.md")
    assert len(pages) == 2
    for number, text in enumerate(pages):
        path = tmp_path / f"{number}.yml"
        path.write_text(text)
        accepted("gitlab-ci", path)
        for one in yaml.safe_load(text).get("include", ()):
            assert one["inputs"].keys() <= inputs.keys()


def table(heading: str, first: str) -> dict[str, str]:
    """A table of the reference: what stands in its last column, by the names in its first."""
    page = (ROOT / "docs" / "reference" / "ci.md").read_text()
    part = page.split(f"\n### {heading}\n")[1].split("\n## ")[0]
    rows = part.split(f"| {first} |")[1].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {name: row[-1] for row in cells for name in re.findall(r"`([\w-]+)`", row[0])}


def test_the_reference_has_every_input_and_output():
    inputs = table("The action", "input")
    assert inputs.keys() == ACTION["inputs"].keys()
    for name, one in ACTION["inputs"].items():
        default = str(one.get("default", ""))
        assert name == "name" or inputs[name].strip("`") == default
    assert table("The action", "output").keys() == ACTION["outputs"].keys()
    spec = yaml.safe_load(TEMPLATE.read_text().split("\n---\n")[0])["spec"]["inputs"]
    told = table("The component", "input")
    assert told.keys() == spec.keys()
    for name, one in spec.items():
        assert told[name].strip("`") == str(one.get("default", ""))
