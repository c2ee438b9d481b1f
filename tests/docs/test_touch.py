"""The changes that people make most touch as few files as CONTRIBUTING says, and work."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "zf"
TASK = "id: a\nphase: A\nartifacts: [made]\ncommands: [{run: echo hello > made}]\n"

# A row of the table -> for each file, what stands there and what is put after it. The empty text
# stands for a new file.
CHANGES = {
    "a key of a task": {
        "model/task.py": (
            "    max_log_bytes: int = DEFAULT_MAX_LOG_BYTES\n",
            "    polite: int = 0\n",
        ),
        "plan/schema.py": (
            "TASK: Mapping[str, Key] = {\n",
            '    "polite": Key(whole(0, 19), "How polite the steps are."),\n',
        ),
    },
    "a field of an event": {
        "events/attempts.py": ("    attempt: int\n    slot: int\n", "    polite: int = 0\n"),
        "run/engine.py": ("AttemptStarted(task, attempt, slot", ", 10"),
    },
    "a verb": {
        "cli/verbs/runs.py": (
            "    app.command()(logs)\n",
            (
                '    app.command()(greet)\n\n\ndef greet() -> int:\n    """Say hello."""\n'
                '    print("hello")\n    return 0\n'
            ),
        ),
    },
    "an option of the verbs that run something": {
        "settings.py": (
            '    """Every option of the verbs that run something."""\n\n    __slots__ = ()\n',
            '\n    polite: Option[bool] = Option("--polite", verbs=(PHASE,), help="Be polite.")\n',
        ),
    },
    "a format of `zf export`": {
        "audit/exporting/__init__.py": (
            "FORMATS = {\n",
            '    "names": Format("the names of its files", "names", is_archive=True),\n',
        ),
        "audit/exporting/names.py": (
            "",
            (
                "from hashlib import sha256\nfrom zf.proof.files import whole_file\n\n\n"
                "def contents(sealed):\n    return list(sealed.files)\n\n\n"
                "def write(output, top, files, ended):\n"
                '    data = "\\n".join(file.path for file in files).encode()\n'
                "    with whole_file(output) as stream:\n        stream.write(data)\n"
                "    return sha256(data).hexdigest()\n"
            ),
        ),
    },
    "a format of `zf report`": {
        "report/formats/__init__.py": (
            "FORMATS = (\n",
            '    Format("--statuses", "what became of each task", "statuses"),\n',
        ),
        "report/formats/statuses.py": (
            "",
            (
                "def render(run):\n"
                "    for task in run.facts.tasks.values():\n"
                '        yield f"{task.id} {task.word}\\n".encode()\n'
            ),
        ),
    },
    "a way to sign": {
        "audit/signing/signers.py": (
            "SCHEMES = (\n",
            '    Scheme("seals", "Require a wax seal of these.", "wax"),\n',
        ),
        "audit/signing/wax.py": ("", "def takes(key, head):\n    return head == b'wax'\n"),
    },
}


class Changed:
    """zf with a change, and a project to run it on."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        (self.root / "tasks" / "a").mkdir(parents=True)
        self.write(TASK)
        self.source = folder / "source" / "zf"
        shutil.copytree(SOURCE, self.source, ignore=shutil.ignore_patterns("__pycache__"))

    def write(self, task: str) -> None:
        (self.root / "tasks/a/task.yaml").write_text(task)

    def zf(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "zf", *words],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(self.source.parent)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def proof(self, name: str) -> str:
        return (self.root / "proofs" / "r" / name).read_text()


def rows() -> dict[str, set[str]]:
    """The table in CONTRIBUTING: what is added, and the files it names."""
    table = re.findall(r"(?m)^\| (an? .*?) \| (.*) \|$", (ROOT / "CONTRIBUTING.md").read_text())
    return {what: set(re.findall(r"`([\w/]+\.py)`", files)) for what, files in table}


def test_the_table_names_files_that_are_there():
    assert CHANGES.keys() <= rows().keys()
    for files in rows().values():
        assert files
        assert all((SOURCE / name).is_file() for name in files)


@pytest.fixture
def changed(request, tmp_path) -> Changed:
    what = request.param
    here = Changed(tmp_path)
    new = {name for name, (place, _) in CHANGES[what].items() if not place}
    # A new module lies beside one that the table names.
    assert CHANGES[what].keys() - new <= rows()[what]
    assert {os.path.dirname(name) for name in new} <= set(map(os.path.dirname, rows()[what]))
    for name, (place, added) in CHANGES[what].items():
        text = (here.source / name).read_text() if place else ""
        assert text.count(place) == 1 or not place, name
        (here.source / name).write_text(text.replace(place, place + added, 1) if place else added)
    return here


def on(what: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("changed", [what], indirect=True)


@on("a key of a task")
def test_a_key_of_a_task(changed):
    changed.write(TASK + "polite: 10\n")
    changed.zf("run-phase", "A", "--run-id", "r")
    assert json.loads(changed.proof("a/00-meta/task.json"))["polite"] == 10
    changed.zf("verify", "r")


@on("a field of an event")
def test_a_field_of_an_event(changed):
    changed.zf("run-phase", "A", "--run-id", "r")
    assert '"polite":10' in changed.proof("events.jsonl")
    changed.zf("verify", "r")


@on("a verb")
def test_a_verb(changed):
    assert changed.zf("greet") == "hello\n"


@on("an option of the verbs that run something")
def test_an_option(changed):
    changed.zf("run-phase", "A", "--polite", "--run-id", "r")
    assert "Be polite." in changed.zf("run-phase", "--help")


@on("a format of `zf export`")
def test_an_export_format(changed):
    changed.zf("run-phase", "A", "--run-id", "r")
    changed.zf("export", "r", "--format", "names", "-o", "names.txt")
    assert "run.json" in (changed.root / "names.txt").read_text()


@on("a format of `zf report`")
def test_a_report_format(changed):
    changed.zf("run-phase", "A", "--run-id", "r", "--statuses", "out/then.txt")
    assert (changed.root / "out" / "then.txt").read_text() == "a success\n"
    assert changed.zf("report", "r", "--statuses", "now.txt") == "now.txt\n"
    assert (changed.root / "now.txt").read_text() == "a success\n"


@on("a way to sign")
def test_a_way_to_sign(changed):
    assert "Require a wax seal" in changed.zf("verify", "--help")
