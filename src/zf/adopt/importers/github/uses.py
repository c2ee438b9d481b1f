"""Actions that workflows use: what stands in their place, or why nothing has to."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping

from zf.adopt.importers.github.values import Around, known, script
from zf.adopt.importers.model import Import, Job, Step
from zf.adopt.importers.reading import Map, as_text
from zf.adopt.importers.scripts import Unsayable
from zf.lean.records import Struct
from zf.plan.files.patterns import INSIDE


class Used(Struct):
    """A step that uses an action, and where it stands."""

    source: Import
    job: Job
    around: Around
    action: str
    given: Map
    line: int
    construct: str
    # What uploads of other jobs are called -> their paths.
    uploads: dict[str, str]

    def changed(self, said: str) -> None:
        """Note what stands in its place."""
        self.source.changed(self.construct, said, line=self.line, job=self.job)

    def dropped(self, why: str) -> None:
        """Note why nothing has to."""
        self.source.dropped(self.construct, why, line=self.line, job=self.job)

    def manual(self, remedy: str) -> None:
        """Put a guard in its place."""
        self.source.manual(self.construct, remedy, line=self.line, job=self.job)


class Tool(Struct, frozen=True):
    """A program that an action installs: the key of its version, and what shows which there is."""

    program: str
    key: str = ""
    shows: str = "--version"
    before: str = " "


_TOOLS: Mapping[str, Tool] = {
    "actions/setup-dotnet": Tool("dotnet", "dotnet-version", before=""),
    "actions/setup-go": Tool("go", "go-version", "version", "go"),
    "actions/setup-java": Tool("java", "java-version", "-version", '"'),
    "actions/setup-node": Tool("node", "node-version", before="v"),
    "actions/setup-python": Tool("python", "python-version"),
    "actions-rs/toolchain": Tool("rustc"),
    "actions-rust-lang/setup-rust-toolchain": Tool("rustc"),
    "arduino/setup-task": Tool("task"),
    "astral-sh/setup-uv": Tool("uv", "version"),
    "azure/setup-helm": Tool("helm", "version", "version", "v"),
    "azure/setup-kubectl": Tool("kubectl", "", "version --client"),
    "denoland/setup-deno": Tool("deno"),
    "docker/setup-buildx-action": Tool("docker", "", "buildx version"),
    "docker/setup-docker-action": Tool("docker"),
    "dtolnay/rust-toolchain": Tool("rustc"),
    "erlef/setup-beam": Tool("erl", "", "-version"),
    "extractions/setup-just": Tool("just"),
    "gradle/actions/setup-gradle": Tool("java", "", "-version"),
    "hashicorp/setup-terraform": Tool("terraform", "terraform_version", "version", "v"),
    "moonrepo/setup-rust": Tool("rustc"),
    "oven-sh/setup-bun": Tool("bun", "bun-version", before=""),
    "pdm-project/setup-pdm": Tool("pdm"),
    "pnpm/action-setup": Tool("pnpm", "version", before=""),
    "ruby/setup-ruby": Tool("ruby", "ruby-version"),
    "shivammathur/setup-php": Tool("php", "php-version"),
    "snok/install-poetry": Tool("poetry"),
}
_DROPPED: Mapping[str, str] = {
    "Swatinem/rust-cache": "what is built stays where it is",
    "actions/cache": "what is there stays there; see `cache` of tasks",
    "actions/cache/restore": "what is there stays there",
    "actions/cache/save": "what is there stays there",
    "easimon/maximize-build-space": "it makes room on GitHub's runner",
    "jlumbroso/free-disk-space": "it makes room on GitHub's runner",
    "mozilla-actions/sccache-action": "what is built stays where it is",
    "step-security/harden-runner": "it is about GitHub's runner",
    "styfle/cancel-workflow-action": "runs of a workflow are GitHub's: see `concurrency`",
}
_NUMBER = re.compile(r"\d+(\.\d+)*")


def take(used: Used) -> None:
    """Say what becomes of a step that uses an action."""
    name = used.action.partition("@")[0]
    known_to_us = _KNOWN.get(name)
    try:
        if name in _TOOLS:
            _tool(used, _TOOLS[name])
        elif name in _DROPPED:
            used.dropped(_DROPPED[name])
        elif known_to_us is not None:
            known_to_us(used)
        elif name.startswith("./"):
            used.manual("write the steps of the action here")
        elif name.startswith("docker://"):
            used.manual("call it with `docker run`")
        else:
            used.manual("write a step that does the same")
    except Unsayable as error:
        used.manual(f"write a step that does the same (only GitHub knows {error})")


def _tool(used: Used, tool: Tool) -> None:
    """Zf installs nothing: a step looks whether the program is there, in the version meant."""
    said = (as_text(used.given.get(tool.key)) or "") if tool.key else ""
    shows = f"{tool.program} {tool.shows}"
    version = said.strip().removeprefix("v")
    if "${{" in version:
        values = _values(used, version)
        is_sure = values is not None and all(map(_NUMBER.fullmatch, values))
        if is_sure:
            shows += f' 2>&1 | grep -F "{tool.before.replace(chr(34), chr(92) + chr(34))}'
            shows += f'{script(version, used.around)}"'
    elif _NUMBER.fullmatch(version):
        shows += f" 2>&1 | grep -F {shlex.quote(tool.before + version)}"
    used.job.steps.append(Step(shows))
    which = f"{tool.program} {version}".strip() if "grep" in shows else tool.program
    used.changed(f"zf installs nothing: the step looks whether {which} is there")


def _values(used: Used, version: str) -> list[str] | None:
    """The values of the axis that a version is of."""
    match = re.fullmatch(r"\$\{\{\s*matrix\.([\w-]+)\s*\}\}", version)
    listed = used.job.keys.get("matrix", {}).get(match[1]) if match else None
    return listed if isinstance(listed, list) else None


def _checkout(used: Used) -> None:
    given = used.given
    other = [key for key in ("repository", "ref", "path") if as_text(given.get(key))]
    if other:
        used.manual(
            f"zf runs in the checkout that is there ({', '.join(other)}): write what git does"
        )
    elif as_text(given.get("submodules")) in {"true", "recursive"}:
        used.job.steps.append(Step("git submodule update --init --recursive"))
        used.changed("zf runs in the checkout that is there")
    else:
        used.dropped("zf runs in the checkout that is there")


def _upload(used: Used) -> None:
    paths = [known(line.strip(), used.around) for line in _lines(used.given.get("path"))]
    if not paths:
        raise Unsayable("its path")
    globs = []
    for written in paths:
        path = written.removeprefix("!").removeprefix("./").rstrip("/")
        if written.startswith("!"):
            used.changed(f"`{path}` is kept as well: artifacts of zf leave nothing out")
            continue
        if not re.search(INSIDE, path) or "{" in path.replace("${", ""):
            raise Unsayable(path)
        globs.append(path)
    needs = as_text(used.given.get("if-no-files-found")) == "error"
    listed = used.job.keys.setdefault("artifacts", [])
    listed += [{"path": one, "required": True} if needs else one for one in globs]
    used.changed("`artifacts`, collected when the task ends")


def _download(used: Used) -> None:
    name = as_text(used.given.get("name")) or ""
    path = (as_text(used.given.get("path")) or ".").removeprefix("./").rstrip("/") or "."
    there = used.uploads.get(name, "").removeprefix("./").rstrip("/")
    if (there and path in {there, "."}) or (there and there.startswith(f"{path}/")):
        used.dropped("all tasks run in one folder: what the other left is where it left it")
    else:
        used.manual(f"copy what is meant from $NEEDS_DIR/TASK to {path}")


def _lines(value: object) -> list[str]:
    return [line for line in (as_text(value) or "").split("\n") if line.strip()]


def _pre_commit(used: Used) -> None:
    extra = as_text(used.given.get("extra_args")) or "--all-files"
    command = f"pre-commit run --show-diff-on-failure {script(extra, used.around)}"
    used.job.steps.append(Step(command))
    used.changed("pre-commit itself, which has to be there")


def _golangci(used: Used) -> None:
    given = as_text(used.given.get("args")) or ""
    used.job.steps.append(Step(f"golangci-lint run {script(given, used.around)}".strip()))
    used.changed("golangci-lint itself, which has to be there")


def _cargo(used: Used) -> None:
    words = [as_text(used.given.get(key)) or "" for key in ("command", "args")]
    used.job.steps.append(Step(f"cargo {script(' '.join(words), used.around)}".strip()))
    used.changed("cargo itself")


def _install(used: Used) -> None:
    """taiki-e/install-action and its like: programs by their names."""
    said = as_text(used.given.get("tool")) or used.action.partition("@")[2]
    names = [one.strip().partition("@")[0] for one in said.split(",") if one.strip()]
    if not names or not all(re.fullmatch(r"[A-Za-z0-9_-]+", name) for name in names):
        raise Unsayable(said)
    used.job.steps.append(Step("\n".join(f"command -v {name}" for name in names)))
    used.changed("zf installs nothing: the step looks whether they are there")


_KNOWN: Mapping[str, Callable[[Used], None]] = {
    "actions-rs/cargo": _cargo,
    "actions/checkout": _checkout,
    "actions/download-artifact": _download,
    "actions/upload-artifact": _upload,
    "golangci/golangci-lint-action": _golangci,
    "pre-commit/action": _pre_commit,
    "taiki-e/install-action": _install,
}
