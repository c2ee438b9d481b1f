"""The steps of a job of GitHub Actions -> steps of its task."""

from __future__ import annotations

import os
import re
import shlex
from typing import Any

from zf.adopt.importers.github import conditions, uses
from zf.adopt.importers.github.expressions import TEMPLATE
from zf.adopt.importers.github.values import Around, known, of_env, script
from zf.adopt.importers.model import Import, Job, Step
from zf.adopt.importers.names import is_variable
from zf.adopt.importers.reading import Map, Seq, as_map, as_text
from zf.adopt.importers.scripts import Unsayable
from zf.model import RESERVED_ENV
from zf.plan.files.patterns import INSIDE

_SHELLS = {"bash": "bash", "sh": "sh", "python": "python"}
_HANDS_ON = re.compile(r"\bGITHUB_(ENV|PATH)\b")
_STEP = {
    "continue-on-error",
    "env",
    "id",
    "if",
    "name",
    "run",
    "shell",
    "timeout-minutes",
    "uses",
    "with",
    "working-directory",
}


class Steps:
    """Adds the steps of one job."""

    def __init__(
        self, source: Import, job: Job, around: Around, defaults: Map, uploads: dict[str, str]
    ) -> None:
        self._source, self._job, self._around = source, job, around
        self._defaults, self._uploads = defaults, uploads

    def add(self, listed: Any) -> None:
        """All of them, in order."""
        if not isinstance(listed, Seq):
            return
        for number, (said, line) in enumerate(listed.with_lines()):
            if isinstance(said, Map):
                self._one(said, line, number)

    def _one(self, said: Map, line: int, number: int) -> None:
        name = as_text(said.get("name")) or ""
        before = len(self._job.steps)
        if "run" in said:
            self._run(said, line, name or f"step {number + 1}")
        elif isinstance(said.get("uses"), str):
            self._uses(said, line)
        added = self._job.steps[before:]
        if "if" in said and added:
            self._if(said, line, added)
        for key in sorted({*said} - _STEP):
            remedy = "zf import does not know this key: do what it says"
            self._source.manual(f"{key}: {said[key]}", remedy, line=line, job=self._job)

    def _uses(self, said: Map, line: int) -> None:
        action = str(said["uses"])
        used = uses.Used(
            self._source,
            self._job,
            self._around,
            action,
            as_map(said.get("with")),
            line,
            f"uses {action}",
            self._uploads,
        )
        uses.take(used)

    def _run(self, said: Map, line: int, name: str) -> None:
        text = as_text(said.get("run")) or ""
        if not text.strip():
            self._source.dropped(f"run of {name}", "it is empty", line=line, job=self._job)
            return
        step = Step("", self._name(said))
        construct = f"run of {name}"
        try:
            self._where(said, step)
            step.run = script(self._rewritten(text), self._around)
        except Unsayable as error:
            remedy = f"write it as a step that zf can run (only GitHub knows {error})"
            self._source.manual(construct, remedy, line=line, job=self._job)
            return
        self._limits(said, step, line)
        self._environment(said, step, line)
        if _HANDS_ON.search(text):
            remedy = (
                "zf hands no variables from step to step: set them in `env`, or have the steps"
                " source a file"
            )
            self._source.manual(f"{construct}: $GITHUB_ENV", remedy, line=line, job=self._job)
        self._job.steps.append(step)
        self._source.exact(construct, line=line, job=self._job)

    def _rewritten(self, text: str) -> str:
        """The script with zf's file for outputs, and a file for what GitHub shows of a job."""
        if "GITHUB_STEP_SUMMARY" in text:
            env = self._job.keys.setdefault("env", {})
            env["GITHUB_STEP_SUMMARY"] = "${ARTIFACTS_DIR}/summary.md"
        return text.replace("GITHUB_OUTPUT", "ZF_OUTPUT")

    def _name(self, said: Map) -> str:
        name = as_text(said.get("name")) or ""
        return " ".join(TEMPLATE.sub(lambda m: m[1].strip(), name).split())

    def _where(self, said: Map, step: Step) -> None:
        """Its shell and its folder. Raises Unsayable."""
        shell = as_text(said.get("shell")) or as_text(self._defaults.get("shell")) or ""
        if shell in _SHELLS:
            if shell != "bash":
                step.keys["shell"] = shell
        elif shell in {"pwsh", "powershell", "cmd"}:
            raise Unsayable(f"{shell}, whose scripts have names of their own")
        elif shell:
            step.keys["shell"] = shlex.split(known(shell, self._around))
        folder = as_text(said.get("working-directory"))
        folder = folder or as_text(self._defaults.get("working-directory")) or ""
        if folder:
            path = os.path.normpath(known(folder, self._around))
            if not re.search(INSIDE, path):
                raise Unsayable(f"the folder {folder}")
            if path != ".":
                step.keys["workdir"] = path

    def _limits(self, said: Map, step: Step, line: int) -> None:
        if "timeout-minutes" in said:
            seconds = minutes(said["timeout-minutes"])
            if seconds:
                step.keys["timeout_sec"] = seconds
                self._source.exact("timeout-minutes", line=line, job=self._job)
            else:
                what = "left out, as it is known when GitHub runs"
                self._source.changed("timeout-minutes", what, line=line, job=self._job)
        if "continue-on-error" in said:
            if said["continue-on-error"] is True:
                step.keys["continue_on_error"] = True
                self._source.exact("continue-on-error", line=line, job=self._job)
            elif said["continue-on-error"] is not False:
                what = "left out: a failure counts"
                self._source.changed("continue-on-error", what, line=line, job=self._job)

    def _environment(self, said: Map, step: Step, line: int) -> None:
        env = environment(self._source, self._job, as_map(said.get("env")), self._around, line)
        if env:
            step.keys["env"] = env

    def _if(self, said: Map, line: int, added: list[Step]) -> None:
        text = as_text(said["if"]) or ""
        construct = f"if: {text}"
        try:
            made = conditions.said(text, self._around, of_step=True)
        except Unsayable as error:
            at = len(self._job.steps) - len(added)
            remedy = f"write it as the `if` of the step below (only GitHub knows {error})"
            self._source.manual(construct, remedy, line=line, job=self._job)
            self._job.steps.insert(at, self._job.steps.pop())
            return
        for step in added:
            step.keys["if"] = made
        if made != text.strip():
            self._source.changed(construct, f"`{made}`", line=line, job=self._job)
        else:
            self._source.exact(construct, line=line, job=self._job)


def environment(source: Import, job: Job, said: Map, around: Around, line: int) -> dict[str, Any]:
    """Variables as zf has them; a secret under its own name is only let through."""
    found: dict[str, Any] = {}
    for name, value in said.items():
        text = as_text(value)
        at = said.line_of(name) or line
        construct = f"env {name}: {text}"
        if text is None or not is_variable(name) or name in RESERVED_ENV:
            source.manual(construct, "zf sets no such variable: rename it", line=at, job=job)
            continue
        own = re.fullmatch(r"\$\{\{\s*(secrets|vars)\.(\w+)\s*\}\}", text.strip())
        try:
            if own and own[2] == name:
                around.passes(name, secret=own[1] == "secrets")
                source.changed(construct, "`pass_env`: set it before zf starts", line=at, job=job)
                continue
            found[name] = of_env(text, around)
            source.exact(construct, line=at, job=job)
        except Unsayable as error:
            remedy = f"set it in `env` to what it is meant to be (only GitHub knows {error})"
            source.manual(construct, remedy, line=at, job=job)
    return found


def minutes(value: Any) -> float | int:
    """Minutes as seconds; 0 for what is no number."""
    text = as_text(value) or ""
    if not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", text):
        return 0
    seconds = float(text) * 60
    return int(seconds) if seconds == int(seconds) else seconds
