"""Attacks of a step on the proof of its own run, and a project in which they are tried."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.program import ZF, Project

NO_TRUST = 65534
AS_NOBODY = ("setpriv", f"--reuid={NO_TRUST}", f"--regid={NO_TRUST}", "--clear-groups")


class Place(Project):
    """A project whose zf can be started as another user."""

    prefix: tuple[str, ...] = ()

    def popen(self, *words, **keys):
        env = {**self.env, **keys.pop("env", {})}
        return subprocess.Popen(
            [*self.prefix, *ZF, *words],
            cwd=self.root,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            **keys,
        )

    def shield(self, task="attack", run="r"):
        return self.status(run, task)["shield"]

    def hand_over(self):
        """The files of the project to its user, where that is another."""
        if self.prefix == AS_NOBODY:
            owner = f"{NO_TRUST}:{NO_TRUST}"
            subprocess.run(["chown", "-R", owner, str(self.root.parent)], check=True)


@contextmanager
def of_nobody() -> Iterator[Place]:
    """A project of a user who is not root, where that user can get at it. It takes root and setpriv;
    skips where zf itself is what that user cannot read.
    """
    tried = subprocess.run([*AS_NOBODY, *ZF, "--version"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"zf is installed where another user cannot read it: {tried.stderr.decode()}")
    with tempfile.TemporaryDirectory() as top:
        place = Place(Path(top) / "project")
        place.prefix = AS_NOBODY
        place.env |= {"HOME": top, "PYTHONDONTWRITEBYTECODE": "1"}
        place.hand_over()
        yield place


RUN = "$PROOF_DIR/.."
# The real path: a folder cannot be moved by a name that ends in `..`, shield or not.
RUN_DIR = "$(dirname $PROOF_DIR)"
# By a shell of its own, which has none that bash keeps for itself.
INHERITED = "sh -c 'for n in 4 5 6 7 8 9; do ( : >&$n ) 2> /dev/null && exit 0; done; exit 1'"
# What comes of it without the shield: zf finds it (`FOUND`), puts its own in the place of it
# (`UNDONE`), tells it as the run's result (`TOLD`), or it stays what the table in SECURITY.md calls
# not stopped (`OPEN`).
FOUND, UNDONE, TOLD, OPEN = "found", "undone", "told", "open"
AGAINST_FILES = {
    "another task's outcome": (f"echo forged > {RUN}/other/99-summary/status.json", FOUND),
    "another task's log": (f"echo forged >> {RUN}/other/20-logs/step-0.log", FOUND),
    "another task's tree": (f"mv {RUN}/other {RUN}/gone", FOUND),
    "a tree for a task to come": (f"mkdir -p {RUN}/later/99-summary", UNDONE),
    "a link for a task to come": (f"ln -s /tmp {RUN}/later", UNDONE),
    "its own outcome": ("echo forged > $PROOF_DIR/99-summary/status.json", FOUND),
    "its own record": ("echo forged > $PROOF_DIR/10-commands/step-0.json", FOUND),
    "its own commands": ("echo forged > $PROOF_DIR/10-commands/commands.json", FOUND),
    "its own log": ("printf %99s x > $PROOF_DIR/20-logs/step-0.log", FOUND),
    "an earlier attempt": ("mkdir $PROOF_DIR/attempts && touch $PROOF_DIR/attempts/x", FOUND),
    "the journal": (f"echo forged >> {RUN}/events.jsonl", FOUND),
    "another journal": (
        f"cp {RUN}/events.jsonl $ARTIFACTS_DIR/x; mv -f $ARTIFACTS_DIR/x {RUN}/events.jsonl",
        FOUND,
    ),
    "run.json": (f"echo {{}} > {RUN}/run.json", FOUND),
    "plan.json": (f"rm {RUN}/plan.json", FOUND),
    "a new file": (f"touch {RUN}/more", FOUND),
    "a manifest": (f"touch {RUN}/MANIFEST.sha256", FOUND),
    "the run's folder": (f"mv {RUN_DIR} {RUN_DIR}.gone", FOUND),
    "the proofs folder": (f"mv $(dirname {RUN_DIR}) {RUN_DIR}/../../gone", FOUND),
    "the lock": (f"rm -f {RUN}/../.locks/r.lock", TOLD),
    "the locks folder": (f"mv {RUN}/../.locks {RUN}/../moved", TOLD),
    "the way to a need": ("mkdir -p $NEEDS_DIR && touch $NEEDS_DIR/other", OPEN),
    "the lock's name": (f"echo forged > {RUN}/../.locks/r.lock", OPEN),
    "the fifo": (f"rm -f {RUN}/../.locks/r.orders", OPEN),
    "prepared trees": (f"touch {RUN}/../.locks/r.next/forged", UNDONE),
    "the mode of it all": (f"chmod -R u+w {RUN}", OPEN),
    "a hard link into it": (f"ln {RUN}/run.json $ARTIFACTS_DIR/linked", OPEN),
}


def attack(place, lines, *words, **keys):
    """Run the lines, by name, in a step beside a task that has ended; what it could do."""
    place.task("other", "echo other")
    tries = [
        f'if {{ {line}; }} 2> /dev/null; then echo "{name}: done"; else echo "{name}: stopped"; fi'
        for name, line in lines.items()
    ]
    place.task("attack", "\n".join(tries), needs=["other"], **keys)
    place.task("later", "echo later", needs=["attack"])
    return place.zf("run-phase", "A", "--run-id", "r", *words)


def told(place, task="attack"):
    lines = place.log("r", task, 0).decode().splitlines()
    return dict(line.split(": ") for line in lines if ": " in line)
