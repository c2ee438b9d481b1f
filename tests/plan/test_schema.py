"""The form of the files: what editors are told is what zf checks, and what the pages say."""

import json
import re
from pathlib import Path

import hypothesis.strategies as st
import jsonschema
import pytest
import yaml
from hypothesis import given

from tests.support.plan_files import good, loaded
from zf.lean.records import replace
from zf.model import LATER, RESERVED_ENV, Step, Task, definition_sha256, recalled, recorded
from zf.plan import schema
from zf.plan.caching.keys import CACHE
from zf.plan.files import forms, patterns, project_keys
from zf.plan.gates.approval import APPROVAL, APPROVERS
from zf.plan.matrix import keys as matrix_keys
from zf.plan.services.keys import SERVICE
from zf.plan.steps import keys as step_keys
from zf.plan.walls.keys import CONTAINER, SANDBOX

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
FORMS = {
    "task": forms.task_form(),
    "tasks": forms.file_form(),
    "project": forms.project_form(),
}
WHOLE_TASK = {
    "id": "40-seed",
    "title": "Seed",
    "phase": "E",
    "use": ["python"],
    "tags": ["slow", "db"],
    "skip_exit_codes": [77],
    "required_env": ["SLACK_HOOK"],
    "needs": ["30-migrate", {"task": "20-lint", "optional": True, "require": "done"}],
    "matrix": {
        "py": ["3.11", 3.12],
        "shard": {"count": 2},
        "include": [{"py": "3.11", "slow": True}],
        "exclude": [{"py": 3.12, "shard": 2}],
        "max_parallel": 2,
        "fail_fast": True,
    },
    "condition": "${CI:-} == 'true' || status('20-lint') == 'failure'",
    "silence_timeout_sec": 60,
    "queue_timeout_sec": 60,
    "deadline_sec": 600,
    "start_after": 0.5,
    "allow_failure": {"exit_codes": [42]},
    "allow_timeout": True,
    "max_retries": 3,
    "retry_delay_sec": 1,
    "retry_max_delay_sec": 10,
    "retry_on": ["failure"],
    "resources": {"cpu": 2, "db": 1},
    "priority": -1,
    "concurrency": "db",
    "secrets": ["*_KEY"],
    "allow_secrets_in": ["certs/*"],
    "cleanup": [{"run": "make clean", "if": "cancelled()", "shell": "sh"}],
    "cleanup_timeout_sec": 10,
    "leave_running": False,
    "max_log_bytes": 1000,
    "log_tail": 30,
    "parallel_safe": True,
    "timeout_sec": 300,
    "workdir": "backend",
    "env": {"A": "b", "B": {"from": "30-migrate.version"}},
    "outputs": ["version"],
    "pass_env": ["AWS_*"],
    "commands": [
        {"name": "Seed", "run": "make"},
        {
            "run": "print(1)",
            "shell": ["python3", "-c"],
            "env": {"PORT": 8080},
            "workdir": "backend",
            "timeout_sec": 1.5,
            "if": "failure()",
            "continue_on_error": True,
        },
    ],
    "shell": ["zsh", "-e"],
    "run": "make",
    **{f"{name}+": [] for name in ("needs", "pass_env", "artifacts", "secrets")},
    "artifacts": ["out/*.xml"],
    "reports": {"junit": ["out/junit.xml"]},
    "budget": {"llm_cost_usd": 2},
    "budget_required": True,
    "metrics_strict": True,
    "executor": "far",
    "labels": ["gpu"],
    "sources": ["src/**", "!src/*.md"],
    "generates": ["out/**", ".venv"],
    "cache": {"env": ["AWS_*"], "tools": ["make --version"], "check": "content"},
    "approval": {"by": ["ann"], "prompt": "Now?", "min": 1, "timeout_sec": 60, "four_eyes": True},
    "sandbox": {"network": True, "write": ["out"], "read": ["src/**"], "hide": ["~/.ssh"]},
    "container": {
        "image": "debian:12",
        "pull": "never",
        "user": "1000:1000",
        "volumes": ["./data:/data:ro"],
        "env": {"MODE": "ci"},
        "network": "host",
        "memory": "512m",
        "cpus": 1.5,
    },
    "nice": 5,
    "memory_mb": 512,
    "cpus": 1.5,
    "pids_max": 100,
    "open_files": 256,
    "repeat": {
        "until": "outputs.state == 'up'",
        "interval_sec": 5,
        "limit": 3,
        "for_sec": 9,
        "fail_after": 2,
        "inconclusive": [75],
        "inconclusive_limit": 2,
        "probe_timeout_sec": 3,
    },
    "services": [
        {
            "name": "db",
            "run": "postgres",
            "ready": "pg_isready",
            "ready_timeout_sec": 20,
            "ports": [5432, "admin"],
        },
    ],
}
# What is told by the keys that it is short for, or comes from elsewhere.
SHORT = {"shell", "run", "use", "needs+", "pass_env+", "artifacts+", "secrets+"}
WHOLE_FILE = {
    "include": ["ci/tasks.yaml"],
    "defaults": {"timeout_sec": 60, "env": {"A": "b"}},
    "templates": {"python": {"run": "make", "pass_env+": ["CI"]}},
    "tasks": {"a": "make", "b": ["make", {"run": "make"}], "c": {"use": "python"}},
}
WHOLE_ITEM = {
    "phases": ["E"],
    "inputs": {"env": "dev"},
    "priority": 1,
    "ttl_sec": 60,
    "deadline_sec": 600,
    "group": "deploy",
    "limit": 2,
    "key": "k",
    "scope": "for_sec",
    "for_sec": 60,
    "on_newer": "replace_queued",
    "start_when": {"load_below": 2, "idle_sec": 60, "on_ac_power": True},
}
WHOLE_PROJECT = {
    "approvers": {"allowed_signers": "ci/allowed_signers", "tokens": ["bot"]},
    **WHOLE_FILE,
    "shell": "sh",
    "pass_env": ["A"],
    "required_env": ["B"],
    "secrets": ["*_TOKEN"],
    "secrets_in_artifacts": "warn",
    "max_jobs": 4,
    "grace_sec": 5,
    "sign": True,
    "shield": "always",
    "container_engine": "podman --runtime runc",
    "cached": True,
    "resources": {"db": 1},
    "throttle": {"cpu_percent": 80, "min_free_mem": 500},
    "executors": {
        "far": {
            "start": ["srun", "-c{cpus}", "zf", "agent"],
            "slots": 2,
            "labels": ["gpu"],
            "lease_sec": 30,
            "start_timeout_sec": 600,
        }
    },
    "budget": {"llm_tokens": 300000},
    "inputs": {
        "env": {"type": "choice", "options": ["dev", "prod"], "default": "dev"},
        "jobs": {"min": 1, "max": 9, "default": 4, "description": "How many"},
        "name": {"required": True, "pattern": "[a-z]+"},
        "token": {"secret": True},
        "quick": False,
    },
    "on_end": [{"when": ["failure", "timeout"], "required": True, "run": "./tell"}],
    "phases": {
        "E": {
            "title": "End",
            "timeout_sec": 60,
            "budget": {"calls_total": 9},
            "inputs": {"files": []},
            "on_end": [{"when": "always", "run": "./tidy-up"}],
            "protected": True,
        }
    },
    "schedules": {"nightly": {"cron": "0 2 * * *", "tz": "Europe/Berlin", **WHOLE_ITEM}},
    "webhooks": {
        "push": {
            "verify": "github",
            "secret_env": "HOOK_SECRET",
            "if": "payload.ref == 'refs/heads/main'",
            **WHOLE_ITEM,
            "inputs": {"commit": {"from": "payload.after"}},
        }
    },
    "reconcile": {"main": {"every_min": 5, "git_ref": "main", "input": "name", "phases": ["E"]}},
    "queue": {"max_runs": 2},
    "notify": {
        "ops": {
            "type": "webhook",
            "url_env": "HOOK",
            "secret_env": "SECRET",
            "on": ["failure", "waiting"],
            "every": True,
            "phases": ["E"],
            "log_lines": 5,
            "link": "https://example.org/{run}",
            "timeout_sec": 5,
        },
    },
    "server": {
        "host": "127.0.0.1",
        "port": 8181,
        "hosts": ["ci.example.org"],
        "behind_proxy": True,
        "trusted_proxies": ["10.0.0.0/8"],
        "trusted_user_header": "X-Remote-User",
        "trusted_user_from": ["127.0.0.1"],
        "trusted_user_role": "operator",
    },
}


def test_a_cleanup_command_has_the_keys_of_a_step():
    assert step_keys.CLEANUP.keys() == step_keys.STEP.keys()


@pytest.mark.parametrize("which", FORMS)
def test_the_committed_schemas_are_the_models(which):
    committed = (REFERENCE / "schemas" / f"{which}.schema.json").read_text()
    # To write it anew: zf schema task > docs/reference/schemas/task.schema.json
    assert committed == json.dumps(forms.json_schema(which), indent=2) + "\n"


@pytest.mark.parametrize("which", FORMS)
def test_the_schemas_are_sound_and_say_what_every_key_means(which):
    found = forms.json_schema(which)
    jsonschema.Draft7Validator.check_schema(found)
    assert set(found["properties"]) == set(FORMS[which].keys)
    assert all(key["description"] for key in found["properties"].values())


@pytest.mark.parametrize(
    ("which", "whole"),
    [("task", WHOLE_TASK), ("tasks", WHOLE_FILE), ("project", WHOLE_PROJECT)],
    ids=["task", "tasks", "project"],
)
def test_a_form_with_every_key_is_valid(which, whole):
    assert set(whole) == set(FORMS[which].keys)
    assert FORMS[which].errors(whole) == []
    jsonschema.validate(whole, forms.json_schema(which))


def test_a_proof_records_every_key_and_a_task_can_be_made_of_it_again(tmp_path):
    """A key that a proof does not tell is one that an auditor cannot see."""
    needed = {name: good(name, phase="E") for name in ("20-lint", "30-migrate")}
    needed["30-migrate"] += "outputs: [version]\n"
    said = {key: value for key, value in WHOLE_TASK.items() if key not in SHORT}
    needed["zf.yaml"] = "approvers: {tokens: [ann]}\n"
    needed["zf.yaml"] += "executors: {far: {start: [zf, agent], labels: [gpu]}}\n"
    # What cannot be beside the others has a task of its own.
    apart = good("b") + json.dumps({"repeat": said.pop("repeat")})[1:-1]
    boxed = {"phase": "E", "run": "make", "container": said.pop("container")}
    files = {"40-seed": json.dumps(said), "a": good("a"), "b": apart, "boxed": json.dumps(boxed)}
    found = loaded(tmp_path, needed | files)
    assert found.flow is not None, found.problems
    form = json.loads((REFERENCE / "schemas/recorded-task.schema.json").read_text())
    later = {key for _, key, _ in LATER}
    whole = recorded(found.flow.tasks["40-seed@py=3.12,shard=1"])
    whole["container"] = recorded(found.flow.tasks["boxed"])["container"]
    plain = recorded(found.flow.tasks["a"])
    for task in found.flow.tasks.values():
        said = json.loads(json.dumps(recorded(task)))
        assert set(said) <= set(form["properties"])
        assert recalled(said) == task
    made = {
        "file",
        "line",
        "required_artifacts",
        "base",
        "max_parallel",
        "matrix_fail_fast",
        "env_from",
    }
    made |= {"generates_check", "cache_env", "cache_tools"}
    assert set(schema.TASK) - SHORT - {"repeat"} | made == set(whole)
    assert "repeat" in recorded(found.flow.tasks["b"])
    assert set(whole) - later == set(plain)
    same = {name for name in plain if name in schema.TASK and whole[name] == plain[name]}
    assert same == {"leave_running", "timeout_sec"}  # as when they are not written


texts = st.sampled_from(
    ["", " ", "a", "10-x", "A b", "x/y", "/x", "..", "../x", "x/..", "x/../y", "...", ".", "./x",
     "a//b", "x/", ".hidden", "..x", "AWS_*", "A=b", "[A-Z]", "1A", "RUN_ID", "é", "true", "3", "-"]
)  # fmt: skip
numbers = st.sampled_from([-1, 0, 0.5, 1, 3, 300, 3600, 3601, 10_000, 10_001, 315_360_000, 4e8])
scalars = texts | numbers | st.booleans() | st.none()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)


def variants(whole: dict, known_values):
    """The whole form with some keys left out, some replaced, and perhaps one too many."""
    keys = st.sampled_from([*whole, "surplus"])
    return st.builds(
        lambda gone, new: {k: v for k, v in whole.items() if k not in gone} | new,
        st.sets(keys, max_size=2),
        st.dictionaries(keys, known_values, max_size=3),
    )


nested = (
    values
    | st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                **dict.fromkeys(("name", "run", "x", "workdir", "timeout_sec", "if"), scalars),
                "shell": values | st.sampled_from(["sh", "python"]),
                "env": values,
                "continue_on_error": scalars,
            },
        )
    )
    | st.dictionaries(
        texts, st.fixed_dictionaries({}, optional={"title": texts, "timeout_sec": numbers})
    )
)
JSON_SCHEMAS = {which: jsonschema.Draft7Validator(forms.json_schema(which)) for which in FORMS}


@given(variants(WHOLE_TASK, nested))
def test_editors_and_zf_agree_about_tasks(form):
    # The language of conditions is not one that an editor knows.
    errors = [one for one in forms.task_form().errors(form) if one["type"] != "condition"]
    assert JSON_SCHEMAS["task"].is_valid(form) == (errors == [])


@given(variants(WHOLE_PROJECT, nested))
def test_editors_and_zf_agree_about_projects(form):
    assert JSON_SCHEMAS["project"].is_valid(form) == (forms.project_form().errors(form) == [])


@pytest.mark.parametrize(
    "inside", ["a", "a/b", "a//b", "./a", ".", "a/", ".a", "..a", "...", "a/..b"]
)
def test_paths_inside(inside):
    assert re.fullmatch(patterns.INSIDE, inside)


@pytest.mark.parametrize(
    "outside", ["", "/", "/a", "..", "../a", "a/..", "a/../b", "./..", "a//.."]
)
def test_paths_outside(outside):
    assert not re.fullmatch(patterns.INSIDE, outside)


# The pages


def tables(page: str) -> list[list[list[str]]]:
    """The cells of every table of a page, without its heading."""
    found = re.findall(r"(?m)^\|[^\n]*\|\n\|[-|]+\|\n((?:\|[^\n]*\|\n)+)", page)
    return [
        [[cell.strip() for cell in row[1:-1].split(" | ")] for row in t.splitlines()] for t in found
    ]


PAGE = (REFERENCE / "task-file.md").read_text()


@pytest.mark.parametrize(
    ("index", "keys"),
    list(
        enumerate(
            [
                forms.with_defaults(schema.TASK),
                step_keys.STEP,
                schema.NEED,
                matrix_keys.MATRIX,
                matrix_keys.COUNTED,
                matrix_keys.TAKEN,
                schema.FROM,
                schema.EXIT_CODES,
                schema.CONCURRENCY,
                schema.ARTIFACT,
                schema.REPORTS,
                CACHE,
                SANDBOX,
                CONTAINER,
                SERVICE,
                APPROVAL,
                project_keys.PROJECT,
                APPROVERS,
                project_keys.THROTTLE,
                project_keys.PHASE,
                forms.file_keys(),
            ]
        )
    ),
    ids=[
        "task",
        "step",
        "need",
        "matrix",
        "counted",
        "taken",
        "from",
        "exit-codes",
        "concurrency",
        "artifact",
        "reports",
        "cache",
        "sandbox",
        "container",
        "service",
        "approval",
        "project",
        "approvers",
        "throttle",
        "phase",
        "file",
    ],
)
def test_the_page_lists_every_key(index, keys):
    rows = tables(PAGE)[index]
    assert [row[0] for row in rows] == [f"`{name}`" for name in keys]
    for (_, _, default, meaning), key in zip(rows, keys.values(), strict=True):
        assert meaning == key.means
        assert (default == "required") == key.required
        if key.default is not None:
            shown = key.default if isinstance(key.default, str) else json.dumps(key.default)
            assert default == f"`{shown}`"


def test_the_page_names_the_variables_zf_sets():
    assert set(re.findall(r"`([A-Z][A-Z_]+)`", PAGE)) == RESERVED_ENV


def test_the_examples_of_the_page_are_valid(tmp_path):
    task, project, shared = re.findall(r"(?ms)^```yaml\n(.*?)^```", PAGE)
    files = {
        "tasks/more.yaml": f"defaults: {{phase: E}}\n{shared}",
        "40-seed-database": task,
        "30-migrate": good("30-migrate", phase="E"),
        "zf.yaml": project,
    }
    assert loaded(tmp_path, files).problems == ()


def test_what_the_page_says_of_yaml_is_so(tmp_path):
    said = {
        problem.message.split("'")[1]: problem.hint
        for problem in loaded(
            tmp_path,
            {
                "x": "id: x\nphase: A\nparallel_safe: on\ntimeout_sec: 1:30\n"
                "commands: [{run: make}]\ntitle: 8080\n"
            },
        ).problems
    }
    assert list(said) == ["parallel_safe", "timeout_sec", "title"]
    for hint in said.values():
        assert hint.removesuffix(", in quotes") in PAGE


def test_every_code_is_on_the_page_and_every_code_of_the_page_exists():
    source = "\n".join(path.read_text() for path in ROOT.glob("src/zf/**/*.py"))
    listed = [row[0] for table in tables((REFERENCE / "problems.md").read_text()) for row in table]
    assert listed == sorted(set(listed))
    assert set(listed) == set(re.findall(r"ZF\d{3}", source))


def test_every_code_of_a_bad_file_has_a_test_of_its_whole_message():
    tests = "\n".join(
        path.read_text()
        for path in Path(__file__).parent.rglob("*")
        if path.suffix in {".py", ".md"}
    )
    codes = set(re.findall(r"ZF2\d\d", (REFERENCE / "problems.md").read_text()))
    assert codes == set(re.findall(r"(?:error|warning)\[(ZF2\d\d)\]", tests))


def test_task_files_of_this_project_fit_their_schema():
    for path in ROOT.glob("tasks/*/task.yaml"):
        jsonschema.validate(yaml.safe_load(path.read_text()), forms.json_schema("task"))


def test_a_task_which_does_not_use_a_later_key_has_the_digest_it_always_had():
    task = Task("a", "A", (Step("x", "y", 1),))
    as_ever = "e590b45b46a05188054e676aa02532aed35cdc253c053db97fbc7b922bc5dd92"
    assert definition_sha256(task) == as_ever
    assert definition_sha256(replace(task, tags=("slow",))) != as_ever
