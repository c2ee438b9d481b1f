"""The runners that are compared: how each is given a graph, and how it is asked to run it.

Every one starts a bash per task, because that is what zf does. Only zf and the floor keep a proof.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.shapes import Shape, script

FLOOR, ZF, GO_TASK = "C floor", "zf", "go-task"
# zf with the shield, where it can be had; the one above goes without.
ZF_SHIELDED = "zf, shield"
RUN_ID = "run"


@dataclass(frozen=True, slots=True)
class Runner:
    """`write` puts a graph into a fresh folder, `command` runs it there; `program` is absolute."""

    name: str
    program: str
    version: str
    proves: bool
    write: Callable[[Shape, str], None]
    command: Callable[[str, int], list[str]]

    def run_command(self, jobs: int) -> list[str]:
        """The whole command line."""
        return self.command(self.program, jobs)


def zf_program() -> list[str]:
    """The `zf` of this very Python, started as users start it where it is installed."""
    beside = os.path.join(os.path.dirname(sys.executable), "zf")
    return [beside] if os.access(beside, os.X_OK) else [sys.executable, "-m", "zf"]


def installed(floor: str | None) -> tuple[list[Runner], list[str]]:
    """The runners found here, and for each that was not found a line that says so."""
    zf = zf_program()
    version = _version([*zf, "--version"])
    there = [Runner(ZF, zf[0], version, True, write_zf, _zf)]
    missing = []
    if reason := _why_no_shield():
        missing.append(f"{ZF_SHIELDED}: left out, {reason}")
    else:
        there.append(Runner(ZF_SHIELDED, zf[0], version, True, write_zf, _zf_shielded))
    if floor is None:
        missing.append(f"{FLOOR}: left out, there is no C compiler")
    else:
        there.insert(0, Runner(FLOOR, floor, "", True, _write_floor, _floor))
    for name, program, asking, write, command in _PEERS:
        path = _find(program, asking)
        if path is None:
            missing.append(f"{name}: left out, `{program}` is not installed")
        else:
            there.append(Runner(name, path, _version([path, *asking]), False, write, command))
    return there, missing


def compile_floor(folder: str) -> str | None:
    """The floor program, made of floor.c with the system's compiler; None without one."""
    compiler = next((c for c in (os.environ.get("CC"), "cc", "gcc", "clang") if _which(c)), None)
    if compiler is None:
        return None
    source = os.path.join(os.path.dirname(__file__), "floor.c")
    program = os.path.join(folder, "floor")
    subprocess.run([compiler, "-O2", "-o", program, source], check=True)
    return program


def _which(name: str | None) -> str | None:
    return shutil.which(name) if name else None


def _find(program: str, asking: tuple[str, ...]) -> str | None:
    """The first program of that name that is the right one: `task` is Taskwarrior's name too."""
    for folder in os.get_exec_path():
        path = os.path.join(folder, program)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            said = subprocess.run([path, *asking], capture_output=True, text=True, check=False)
            if said.returncode == 0 and said.stdout.strip():
                return path
    return None


def _version(command: Sequence[str]) -> str:
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    words = said.split("\n", maxsplit=1)[0].split()
    return next((word for word in words if word[:1].isdigit()), words[-1])


def _write(folder: str, name: str, text: str) -> None:
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write(text)


def write_zf(shape: Shape, folder: str) -> None:
    for task, needs in shape.needs.items():
        os.makedirs(f"{folder}/tasks/{task}")
        _write(
            f"{folder}/tasks/{task}",
            "task.yaml",
            f"id: {task}\nphase: A\nneeds: [{', '.join(needs)}]\nparallel_safe: true\n"
            f"commands:\n  - name: say it\n    run: |\n      {script(task)}\n",
        )


def _zf(_program: str, jobs: int, shield: str = "never") -> list[str]:
    words = ["run-phase", "A", "-j", str(jobs), "--run-id", RUN_ID, "--shield", shield]
    return [*zf_program(), *words]


def _zf_shielded(program: str, jobs: int) -> list[str]:
    return _zf(program, jobs, "auto")


def _why_no_shield() -> str:
    """Why `shield: auto` would do nothing here; asked elsewhere, so that zf is not loaded here."""
    asking = (
        "from zf.work.walls.shield import Grounds, why_not\n"
        "print(why_not(Grounds('auto', '', '', '', '', list)))"
    )
    command = [sys.executable, "-c", asking]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _write_floor(shape: Shape, folder: str) -> None:
    lines = (f"{task}\t{' '.join(needs)}\t{script(task)}\n" for task, needs in shape.needs.items())
    _write(folder, "plan", "".join(lines))
    os.mkdir(f"{folder}/proofs")


def _floor(program: str, jobs: int) -> list[str]:
    return [program, str(jobs), "plan", "proofs"]


def _write_make(shape: Shape, folder: str) -> None:
    rules = (
        f"{task}: {' '.join(needs)}\n\t{script(task)}\n" for task, needs in shape.needs.items()
    )
    names = " ".join(shape.needs)
    head = f"SHELL := {shutil.which('bash')}\n.PHONY: all {names}\nall: {names}\n"
    _write(folder, "Makefile", head + "".join(rules))


def _make(program: str, jobs: int) -> list[str]:
    return [program, "-rRs", f"-j{jobs}", "all"]


def _write_ninja(shape: Shape, folder: str) -> None:
    edges = (
        f"build {task}: bash {' '.join(needs)}\n  run = {script(task)}\n"
        for task, needs in shape.needs.items()
    )
    # ninja starts sh for every command, which makes way for bash without a fork.
    _write(folder, "build.ninja", "rule bash\n  command = exec bash -c '$run'\n" + "".join(edges))


def _ninja(program: str, jobs: int) -> list[str]:
    return [program, f"-j{jobs}"]


def _write_just(shape: Shape, folder: str) -> None:
    recipes = (
        f"[parallel]\n{task}:{''.join(f' {need}' for need in needs)}\n    {script(task)}\n"
        for task, needs in shape.needs.items()
    )
    head = f'set shell := ["bash", "-c"]\n\n[parallel]\nall: {" ".join(shape.needs)}\n'
    _write(folder, "justfile", head + "".join(recipes))


def _just(program: str, jobs: int) -> list[str]:
    return [program, "--quiet", "--jobs", str(jobs), "all"]


def _write_go_task(shape: Shape, folder: str) -> None:
    # A command without `bash -c` would be run by a shell inside go-task, and start no process.
    tasks = (
        f"  {task}:\n    deps: [{', '.join(needs)}]\n    cmds:\n      - bash -c '{script(task)}'\n"
        for task, needs in shape.needs.items()
    )
    head = f"version: '3'\nrun: once\ntasks:\n  all:\n    deps: [{', '.join(shape.needs)}]\n"
    _write(folder, "Taskfile.yml", head + "".join(tasks))


def _go_task(program: str, jobs: int) -> list[str]:
    return [program, "--silent", "--concurrency", str(jobs), "all"]


def _write_doit(shape: Shape, folder: str) -> None:
    rows = {task: (script(task), list(needs)) for task, needs in shape.needs.items()}
    _write(
        folder,
        "dodo.py",
        f"ROWS = {rows!r}\n\n\ndef task_all():\n    for name, (run, needs) in ROWS.items():\n"
        "        yield {'basename': name, 'actions': [['bash', '-c', run]], 'task_dep': needs}\n",
    )


def _doit(program: str, jobs: int) -> list[str]:
    return [program, "-n", str(jobs), "-v", "0"]


_PEERS: tuple[
    tuple[
        str,
        str,
        tuple[str, ...],
        Callable[[Shape, str], None],
        Callable[[str, int], list[str]],
    ],
    ...,
] = (
    ("make", "make", ("--version",), _write_make, _make),
    ("ninja", "ninja", ("--version",), _write_ninja, _ninja),
    # Older versions of just know no limit on what runs at once; this asks for one that does.
    ("just", "just", ("--jobs", "2", "--version"), _write_just, _just),
    (GO_TASK, "task", ("--silent", "--version"), _write_go_task, _go_task),
    ("doit", "doit", ("--version",), _write_doit, _doit),
)
