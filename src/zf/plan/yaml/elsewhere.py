"""Words of other systems in files of zf: for each what it is called here, with the form to write.

A row a word, of GitHub Actions, GitLab CI, Azure Pipelines, CircleCI, Compose, Task, just, npm, nox
and tox. Asked only for keys that zf does not know, so a word that is right here is never told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from yaml.nodes import SequenceNode

from zf.plan.caching.keys import CACHE
from zf.plan.files.project_keys import PHASE, PROJECT
from zf.plan.schema import ARTIFACT, CONCURRENCY, NEED
from zf.plan.steps.keys import CLEANUP, STEP
from zf.plan.yaml.rewritten import (
    Here,
    boolean,
    counted,
    in_order,
    listed,
    minutes,
    nothing,
    one,
    seconds,
    variables,
    whole,
)

if TYPE_CHECKING:
    from yaml.nodes import Node

    from zf.plan.form import Key

_RUN = Here("run", "make test", one)
_COMMANDS = Here("commands", "[make, make test]", listed)
_NEEDS = Here("needs", "[build]", listed)
_CONDITION = Here("condition", "run.branch == 'main'", nothing)
_WORKDIR = Here("workdir", "path/from/the/root", one)
_ENV = Here("env", "{NAME: value}", variables)
_SECONDS = Here("timeout_sec", "300", seconds)
_MINUTES = Here("timeout_sec", "300", minutes)
_TRIES = Here("max_retries", "2", whole)
_TOLERATED = Here("allow_failure", "true", boolean)
_TITLE = Here("title", "Build the book", one)
_NAME = Here("name", "Build", one)
_MATRIX = Here("matrix", "{python: ['3.12', '3.13']}", nothing)
_PARTS = Here("matrix", "{part: {count: 4}}", counted)
_JOBS = Here("max_jobs", "4", whole)
_CLEANUP = Here("cleanup", "[docker compose down]", listed)
_PHASES = Here("phases", "{build: {}, test: {needs: [build]}}", in_order)
_USE = Here("use", "[template]", listed)
_PASSED = Here("pass_env", "[NAME, 'AWS_*']", listed)
_SOURCES = Here("sources", "[src, pyproject.toml]", listed)
_GENERATES = Here("generates", "[build]", listed)
_GROUP = Here("concurrency", "deploy", one)
_IF = Here("if", "run.branch == 'main'", nothing)
_CONTAINER = Here("container", "debian:12", one)
_STEP_TOLERATED = Here("continue_on_error", "true", boolean)

# What there is no key for, and what to do instead.
_OF_ALL = "the steps of a task share a container: `container: IMAGE` stands beside `commands`"
_OF_A_TASK = "every task has a container from `defaults: {container: IMAGE}`"
_SETUP = "write it as the first of `commands`, or as a task which this one needs"
_RUNNER = "tasks run where zf runs: leave it out"
_ACTION = "zf runs no actions: write what it does as `run`"
_INPUTS = "values reach a script by `env: {NAME: value}`"
_DOTENV = "write `set -a; . ./.env; set +a` at the start of `run`, or name variables in `pass_env`"
_TEST_FIRST = "write `commands: [test -e FILE, ...]`: the first step that fails ends the task"
_UP_TO_DATE = "`sources`, `generates` and `cache: true` keep a task from running again"
_PLATFORM = 'write `[ "$(uname)" = Linux ] || exit 77` at the start, with `skip_exit_codes: [77]`'
_TRIGGER = "what starts a run is not zf's: CI, cron or a hook runs `zf run`"
_MANUAL = "leave the task out of `zf run` by a phase of its own: `phase: release`"
_NO_VERSION = "zf.yaml has no version: leave it out"
_QUIET = "`zf run -q` prints less: leave it out"

_Answer = Here | str

_OF_TASKS: Mapping[str, _Answer] = {
    "script": _RUN,
    "cmd": _RUN,
    "command": _RUN,
    "exec": _RUN,
    "bash": _RUN,
    "sh": _RUN,
    "cmds": _COMMANDS,
    "scripts": _COMMANDS,
    "steps": _COMMANDS,
    "commands_pre": _COMMANDS,
    "recipe": _COMMANDS,
    "jobs": "one task is one file: several stand below `tasks:` of zf.yaml or tasks/NAME.yaml",
    "deps": _NEEDS,
    "depends_on": _NEEDS,
    "depends-on": _NEEDS,
    "dependsOn": _NEEDS,
    "depends": _NEEDS,
    "dependencies": _NEEDS,
    "requires": _NEEDS,
    "prerequisites": _NEEDS,
    "after": _NEEDS,
    "need": _NEEDS,
    "stage": Here("phase", "build", one),
    "stages": "`phases:` of zf.yaml describes them, and `phase: build` puts a task into one",
    "if": _CONDITION,
    "when": _CONDITION,
    "only": _CONDITION,
    "except": _CONDITION,
    "rules": _CONDITION,
    "unless": _CONDITION,
    "filters": _CONDITION,
    "manual": _MANUAL,
    "dir": _WORKDIR,
    "cwd": _WORKDIR,
    "working-directory": _WORKDIR,
    "working_directory": _WORKDIR,
    "working_dir": _WORKDIR,
    "workingDirectory": _WORKDIR,
    "changedir": _WORKDIR,
    "change_dir": _WORKDIR,
    "chdir": _WORKDIR,
    "variables": _ENV,
    "vars": _ENV,
    "environment": _ENV,
    "setenv": _ENV,
    "set_env": _ENV,
    "envs": _ENV,
    "passenv": _PASSED,
    "env_file": _DOTENV,
    "env-file": _DOTENV,
    "dotenv": _DOTENV,
    "timeout": _SECONDS,
    "timeout_seconds": _SECONDS,
    "timeout-minutes": _MINUTES,
    "timeout_minutes": _MINUTES,
    "timeoutInMinutes": _MINUTES,
    "retry": _TRIES,
    "retries": _TRIES,
    "attempts": _TRIES,
    "allow-failure": _TOLERATED,
    "continue-on-error": _TOLERATED,
    "continue_on_error": _TOLERATED,
    "continueOnError": _TOLERATED,
    "ignore_error": _TOLERATED,
    "ignore-error": _TOLERATED,
    "ignore_errors": _TOLERATED,
    "desc": _TITLE,
    "description": _TITLE,
    "name": _TITLE,
    "label": _TITLE,
    "summary": _TITLE,
    "help": _TITLE,
    "displayName": _TITLE,
    "parallel": Here("parallel_safe", "true", boolean),
    "parallelism": _PARTS,
    "strategy": _MATRIX,
    "for": _MATRIX,
    "parametrize": _MATRIX,
    "before_script": _SETUP,
    "before-script": _SETUP,
    "setup": _SETUP,
    "install": _SETUP,
    "after_script": _CLEANUP,
    "after-script": _CLEANUP,
    "commands_post": _CLEANUP,
    "post": _CLEANUP,
    "finally": _CLEANUP,
    "defer": _CLEANUP,
    "teardown": _CLEANUP,
    "extends": _USE,
    "image": _CONTAINER,
    "docker": _CONTAINER,
    "runs-on": _RUNNER,
    "runs_on": _RUNNER,
    "runner": _RUNNER,
    "pool": _RUNNER,
    "agent": _RUNNER,
    "permissions": _RUNNER,
    "interruptible": _RUNNER,
    "uses": _ACTION,
    "with": _INPUTS,
    "args": _INPUTS,
    "params": _INPUTS,
    "parameters": _INPUTS,
    "inputs": "`inputs:` of zf.yaml declares them, and a script has one as `$INPUT_NAME`",
    "preconditions": _TEST_FIRST,
    "status": _UP_TO_DATE,
    "method": _UP_TO_DATE,
    "files": _SOURCES,
    "targets": _GENERATES,
    "target": _GENERATES,
    "creates": _GENERATES,
    "platforms": _PLATFORM,
    "resource_group": _GROUP,
    "resource-group": _GROUP,
    "secret": Here("secrets", "[TOKEN]", listed),
    "trigger": _TRIGGER,
    "on": _TRIGGER,
    "prompt": _MANUAL,
    "silent": _QUIET,
    "quiet": _QUIET,
    "internal": "a task is run for what needs it in any case: leave it out",
    "aliases": "a task has one name; `tags: [word]` finds it with `zf run --only tag:word`",
    "alias": "a task has one name; `tags: [word]` finds it with `zf run --only tag:word`",
    "allowlist_externals": "a script may run any program: leave it out",
    "fail-fast": "`zf run --fail-fast` ends a run at its first failure: leave it out",
}
_OF_STEPS: Mapping[str, _Answer] = {
    "script": _RUN,
    "cmd": _RUN,
    "cmds": _RUN,
    "command": _RUN,
    "commands": _RUN,
    "exec": _RUN,
    "bash": _RUN,
    "sh": _RUN,
    "desc": _NAME,
    "description": _NAME,
    "label": _NAME,
    "title": _NAME,
    "displayName": _NAME,
    "id": _NAME,
    "when": _IF,
    "condition": _IF,
    "only": _IF,
    "unless": _IF,
    **{word: answer for word, answer in _OF_TASKS.items() if answer in (_WORKDIR, _ENV)},
    **{word: answer for word, answer in _OF_TASKS.items() if answer in (_SECONDS, _MINUTES)},
    "allow-failure": _STEP_TOLERATED,
    "continue-on-error": _STEP_TOLERATED,
    "continueOnError": _STEP_TOLERATED,
    "ignore_error": _STEP_TOLERATED,
    "ignore-error": _STEP_TOLERATED,
    "ignore_errors": _STEP_TOLERATED,
    "allow_failure": _STEP_TOLERATED,
    "uses": _ACTION,
    "with": _INPUTS,
    "env_file": _DOTENV,
    "dotenv": _DOTENV,
    "image": _OF_ALL,
    "container": _OF_ALL,
    "silent": _QUIET,
    "retry": "a task is tried again as a whole: `max_retries: 2` stands beside `commands`",
    "retries": "a task is tried again as a whole: `max_retries: 2` stands beside `commands`",
    "max_retries": "a task is tried again as a whole: it stands beside `commands`",
    "task": "a task runs no other: name it in `needs` beside `commands`",
    "needs": "tasks need each other, steps run in order: it stands beside `commands`",
    "defer": "write it in `cleanup`, beside `commands`",
    "for": _MATRIX,
}
_OF_PROJECTS: Mapping[str, _Answer] = {
    "jobs": "`tasks` is the name here: tasks: {test: make test}",
    "targets": "`tasks` is the name here: tasks: {test: make test}",
    "scripts": "`tasks` is the name here: tasks: {test: make test}",
    "recipes": "`tasks` is the name here: tasks: {test: make test}",
    "steps": "`tasks` is the name here: tasks: {test: make test}",
    "stages": _PHASES,
    "stage": _PHASES,
    "default": Here("defaults", "{timeout_sec: 300}", nothing),
    **{
        word: f"every task has it from `defaults: {{{answer.key}: {answer.example}}}`"
        for word, answer in _OF_TASKS.items()
        if answer in (_ENV, _SECONDS, _MINUTES, _TRIES, _WORKDIR)
    },
    "env": "every task has it from `defaults: {env: {NAME: value}}`",
    "env_file": _DOTENV,
    "dotenv": _DOTENV,
    "before_script": "write it as a task, and let the others need it",
    "after_script": "every task has it from `defaults: {cleanup: [docker compose down]}`",
    "extends": Here("include", "[path/to/file.yaml]", listed),
    "includes": Here("include", "[path/to/file.yaml]", nothing),
    "import": Here("include", "[path/to/file.yaml]", listed),
    "imports": Here("include", "[path/to/file.yaml]", listed),
    "image": _OF_A_TASK,
    "services": "a task, or all of them by `defaults`, says it: {services: [{name: db, run: ...}]}",
    "on": _TRIGGER,
    "workflow": _TRIGGER,
    "trigger": _TRIGGER,
    "version": _NO_VERSION,
    "name": "a project is called as its folder: leave it out",
    "description": "a comment says it, `# What this project does`: leave the key out",
    "permissions": _RUNNER,
    "parallel": _JOBS,
    "max-parallel": _JOBS,
    "silent": _QUIET,
    "output": "`zf run --output group` says how output is shown: leave it out",
    "envlist": "`zf run` runs every task: leave it out",
}
_OF_PHASES: Mapping[str, _Answer] = {
    **{word: answer for word, answer in _OF_TASKS.items() if answer is _NEEDS},
    **{word: answer for word, answer in _OF_TASKS.items() if answer in (_SECONDS, _MINUTES)},
    **{word: answer for word, answer in _OF_TASKS.items() if answer is _TITLE},
    "parallel": _JOBS,
    "tasks": "a task says its phase: `phase: build`",
    "jobs": "a task says its phase: `phase: build`",
}
_OF_NEEDS: Mapping[str, _Answer] = {
    "job": Here("task", "build", one),
    "name": Here("task", "build", one),
    "id": Here("task", "build", one),
    "artifacts": "a need's artifacts are in `$NEEDS_DIR`: leave it out",
}
_OF_CACHES: Mapping[str, _Answer] = {
    "paths": "`generates` is the name here, beside `cache`: generates: [.venv]",
    "path": "`generates` is the name here, beside `cache`: generates: [.venv]",
    "key": "`sources` is the name here, beside `cache`: sources: [package-lock.json]",
    "restore-keys": "`sources` is the name here, beside `cache`: sources: [package-lock.json]",
    "policy": "`zf run --cached` uses earlier results, and each run leaves its own: leave it out",
    "when": "only a success counts: leave it out",
}
_OF_ARTIFACTS: Mapping[str, _Answer] = {
    "paths": Here("path", "report/*.xml", one),
    "name": Here("path", "report/*.xml", nothing),
}
_OF_GROUPS: Mapping[str, _Answer] = {
    "cancel-in-progress": Here("on_newer", "cancel_running", nothing),
}


def answer(word: str, known: Mapping[str, Key], node: Node) -> str | None:
    """What to write in place of a word that is none of the `known` keys, `node` being its value."""
    found = _words(known).get(word)
    if whole(node):
        found = _of_number(word, known) or found
    if isinstance(found, str) or found is None:
        return found
    if found is _RUN and isinstance(node, SequenceNode) and "commands" in known:
        found = _COMMANDS
    return f"`{found.key}` is the name here: {found.form(node)}"


def anywhere(word: str) -> str | None:
    """What to write in place of a word, wherever it may stand; None if it is of no other system."""
    for words in (_OF_TASKS, _OF_STEPS, _OF_PROJECTS, _OF_PHASES):
        if found := words.get(word):
            return found if isinstance(found, str) else f"`{found.key}` is the name here"
    return None


def _of_number(word: str, known: Mapping[str, Key]) -> Here | None:
    """What a word is where it has a number: jobs of make, parallel of GitLab."""
    if word == "jobs" and "max_jobs" in known:
        return _JOBS
    return _PARTS if word == "parallel" and "matrix" in known else None


def stands_for(word: str, known: Mapping[str, Key], key: str) -> bool:
    """Whether this is what another system calls the key, which is then not told to be missing."""
    found = _words(known).get(word)
    return isinstance(found, Here) and found.key == key


def _words(known: Mapping[str, Key]) -> Mapping[str, _Answer]:
    """The words of the files, or parts of files, that have these keys."""
    for keys, words in (
        (STEP, _OF_STEPS),
        (CLEANUP, _OF_STEPS),
        (PHASE, _OF_PHASES),
        (NEED, _OF_NEEDS),
        (CACHE, _OF_CACHES),
        (ARTIFACT, _OF_ARTIFACTS),
        (CONCURRENCY, _OF_GROUPS),
    ):
        if known is keys:
            return words
    if "commands" in known:
        return _OF_TASKS
    return _OF_PROJECTS if "tasks" in known or known is PROJECT else {}
