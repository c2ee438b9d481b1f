"""Harm of every kind is found, and a verifier written from the page alone finds the same."""

import os
import random
import re
import shutil
import signal
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.support import independent_verifier, proof_bundles, proof_mutations
from tests.support.forged_seal import seal
from tests.support.program import Project
from tests.support.proof_bundles import BEGAN
from tests.support.proof_keys import make_keys
from tests.support.proof_mutations import Mutation
from zf.audit.authentic import NO_TRUST, Trust
from zf.audit.expected import Expectations
from zf.audit.findings import State
from zf.audit.signing.attest import attest, signer_for
from zf.audit.verify import verify

RANDOM_MUTATIONS = 100_000


class Subject:
    """A good run, and a copy of it to harm and to mend."""

    def __init__(self, good: Path, trust: Trust = NO_TRUST) -> None:
        self.good = good
        self.trust = trust
        self.copy = good.parent / f"{good.name}.copy"
        self.expected = Expectations(head=self.look(good).result["head"])
        self.code = self.look(good).exit_code
        self.mend()

    def look(self, run: Path):
        expected = getattr(self, "expected", Expectations())
        return verify(str(run), expected, self.trust, now=BEGAN + 100)

    def mend(self) -> None:
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self.good, self.copy)

    def examine(self, mutation: Mutation, *, both: bool = True) -> None:
        """Do it, look at it, undo it; with the other verifier too when `both`."""
        name = mutation.where.split(":")[0]
        simple = mutation.kind in {"flip", "truncate", "insert", "cut out", "copy over"}
        mutation.do(self.copy)
        try:
            self._judge(mutation, both)
        finally:
            if simple:
                shutil.copyfile(self.good / name, self.copy / name)
            else:
                self.mend()

    def _judge(self, mutation: Mutation, both: bool) -> None:
        found = self.look(self.copy)
        told = f"{mutation.kind} {mutation.where}"
        if mutation.harmless:
            assert found.exit_code == self.code, f"{told}: {found.render()}"
        else:
            assert found.exit_code != 0, told
        if not both:
            return
        # What is stated and signed is the one thing that the other verifier leaves out.
        intact = all(f.verdict != "INTACT" or f.kind == "statement" for f in found.findings)
        complete = found.verdicts[1].state == State.PASSED
        theirs = independent_verifier.verify(str(self.copy))
        assert theirs[0] == intact, f"{told}: {theirs}\n{found.render()}"
        assert not intact or theirs[1] == complete, f"{told}: {theirs}\n{found.render()}"


def test_the_other_verifier_is_short_and_knows_nothing_of_zf():
    text = Path(independent_verifier.__file__).read_text()
    # Of these, 130 hold what several files say alike against each other: a pair each; another 120
    # are for services, approvals, probes and handlers.
    assert len([line for line in text.splitlines() if line.strip()]) < 640
    imported = re.findall(r"(?m)^(?:from|import) (\w+)", text)
    assert set(imported) < set(sys.stdlib_module_names)


@pytest.mark.parametrize("kind", ["flips", "truncations"])
def test_every_changed_byte_and_every_truncation_of_a_small_run_is_found(tmp_path, kind, request):
    subject = Subject(proof_bundles.tiny(tmp_path).path)
    # Outside the campaign some of them, spread over all files, and fewer for the other verifier,
    # which takes its time.
    step, spread = (1, 1) if request.config.getoption("--campaign") else (5, 25)
    count = 0
    for mutation in getattr(proof_mutations, kind)(subject.good):
        if count % step == 0:
            subject.examine(mutation, both=count % spread == 0)
        count += 1
    assert count == sum(path.stat().st_size for path in subject.good.rglob("*") if path.is_file())


@pytest.mark.parametrize("which", ["small", "full", "killed", "killed and sealed"])
def test_every_structural_harm_is_found(tmp_path, which, request):
    made = getattr(proof_bundles, which.split()[0])(tmp_path)
    if which == "killed and sealed":
        seal(str(made.path))
    other = getattr(proof_bundles, which.split()[0])(tmp_path, "r2")
    subject = Subject(made.path)
    mutations = list(proof_mutations.structural(subject.good, other.path))
    if not request.config.getoption("--campaign"):
        # All kinds, but of each only a few: a prime step meets files of every sort.
        mutations = mutations[:: 61 if which == "full" else 7]
    for mutation in mutations:
        subject.examine(mutation)
    assert len({mutation.kind for mutation in mutations}) > (8 if which == "full" else 20)


def test_a_forger_who_makes_everything_anew_is_found_by_the_head_alone(tmp_path):
    """As SECURITY.md says: in an unsigned run, nothing else can find it."""
    made = proof_bundles.full(tmp_path)
    (made.path / "good/30-artifacts/report/a b.txt").write_bytes(b"forged\n")
    proof_mutations.repair_lists(made.path)
    proof_mutations.repair_journal(made.path)
    seal(str(made.path))
    assert verify(str(made.path), now=BEGAN).exit_code == 0
    assert verify(str(made.path), Expectations(head=made.head), now=BEGAN).exit_code == 4


def test_an_older_run_of_the_same_plan_is_found_by_what_is_expected(tmp_path):
    old, new = proof_bundles.full(tmp_path, "old"), proof_bundles.full(tmp_path, "new")
    assert verify(str(old.path), Expectations(run="new"), now=BEGAN).exit_code == 4
    assert verify(str(old.path), Expectations(head=new.head), now=BEGAN).exit_code == 4
    assert verify(str(old.path), Expectations(max_age_s=60.0), now=BEGAN + 86_400).exit_code == 4


@pytest.fixture(scope="module")
def subjects(tmp_path_factory) -> list[Subject]:
    """Runs of every outcome, signed and not."""
    folder = tmp_path_factory.mktemp("subjects")
    keys = make_keys(tmp_path_factory.mktemp("keys"))
    both = Trust(
        {"allowed_signers": str(keys / "allowed"), "public_key": str(keys / "key.pub.pem")}
    )
    found = []
    for name in ("small", "full", "killed"):
        found.append(Subject(getattr(proof_bundles, name)(folder, f"{name}-unsigned").path))
        made = getattr(proof_bundles, name)(folder, f"{name}-signed").path
        if name == "killed":
            seal(str(made))
        with ExitStack() as opened:
            signers = [signer_for(str(keys / key), opened) for key in ("alice", "key.pem")]
            attest(str(made), signers)
        found.append(Subject(made, both))
    alice = Trust({"allowed_signers": str(keys / "allowed")})
    for name, tasks, make in (
        ("whole", OUTCOMES, real),
        ("dead", OUTCOMES, real_killed),
        ("gates", GATES, partial(real_approved, keys / "alice")),
    ):
        project = Project(folder / name)
        for task, (script, more) in tasks.items():
            project.task(task, script, **more)
        for run, trust, signs in (
            (f"{name}-unsigned", NO_TRUST, ()),
            (f"{name}-signed", alice, ("--sign", "--key", str(keys / "alice"))),
        ):
            make(project, run, signs)
            found.append(Subject(project.proof(run), trust))
    return found


OUTCOMES: dict[str, tuple[str, dict]] = {
    "good": (
        'echo made > "$ARTIFACTS_DIR/file"; echo a=1 >> "$ZF_OUTPUT"',
        {"outputs": ["a"]},
    ),
    "bad": ("echo broken; exit 3", {}),
    "flaky": (
        'echo "a=$ATTEMPT" >> "$ZF_OUTPUT"; test "$ATTEMPT" = 2',
        {"max_retries": 1, "outputs": ["a"]},
    ),
    "held": ("true", {"needs": ["bad"]}),
    "slow": ("echo slow; exec sleep 60", {"timeout_sec": 1}),
}


# One that is approved, one that is rejected, a monitor, and what they keep from running.
GATES: dict[str, tuple[str, dict]] = {
    "build": ('echo made > "$ARTIFACTS_DIR/file"', {}),
    "up": ("echo ok", {"needs": ["build"], "approval": {"by": ["alice"], "prompt": "Up?"}}),
    "watch": ("echo good", {"needs": ["up"], "repeat": {"limit": 2}}),
    "down": ("echo no", {"needs": ["build"], "approval": {"by": ["alice"], "min": 1}}),
    "after": ("echo never", {"needs": ["down"]}),
}


def real_approved(key: Path, project: Project, run: str, signs: tuple[str, ...]) -> None:
    """A run of these, which waited for its approvals and went on."""
    public = key.with_suffix(".pub").read_text()
    (project.root / "allowed_signers").write_text(f"alice {public}")
    wait = ("--on-approval", "exit", "--run-id", run)
    assert project.zf("run-phase", "A", *wait).code == 6
    for verb, task in (("approve", "up"), ("reject", "down")):
        assert project.zf(verb, run, task, "--key", str(key)).code == 0
    assert project.zf("resume", run).code == 1
    statuses = {task: project.status(run, task)["status"] for task in GATES}
    assert sorted(statuses.values()) == ["blocked", "blocked", "success", "success", "success"]
    if signs:
        assert project.zf("seal", run, *signs).code == 0


def real(project: Project, run: str, signs: tuple[str, ...]) -> None:
    """A run by zf itself, of every outcome that a task can have."""
    assert project.zf("run-phase", "A", "--run-id", run, *signs).code == 1
    statuses = {task: project.status(run, task)["status"] for task in OUTCOMES}
    assert sorted(statuses.values()) == ["blocked", "failure", "success", "success", "timeout"]


def real_killed(project: Project, run: str, signs: tuple[str, ...]) -> None:
    """The same, killed as its last task runs; sealed, and perhaps signed, as it was left."""
    zf = project.popen("run-phase", "A", "--run-id", run, "--progress", "json")
    assert zf.stderr is not None
    while '"attempt_started"' not in (line := zf.stderr.readline()) or '"slow"' not in line:
        assert line
    os.kill(zf.pid, signal.SIGKILL)
    zf.communicate()
    assert project.zf("seal", run, *signs).code == 0


def random_mutations(subjects: list[Subject], count: int, seed: int) -> None:
    rng = random.Random(seed)
    structures = {}
    for subject in subjects:
        other = next(
            s for s in subjects if s is not subject and s.good.name[:4] == subject.good.name[:4]
        )
        structures[subject.good] = list(proof_mutations.structural(subject.good, other.good))
    for _ in range(count):
        subject = rng.choice(subjects)
        subject.examine(proof_mutations.any_of(subject.good, rng, structures[subject.good]))


def test_some_random_harm_to_runs_of_every_outcome_is_found(subjects):
    random_mutations(subjects, 150, seed=1)


def test_every_harm_to_the_files_of_approvals_is_found(subjects, request):
    [subject] = [one for one in subjects if one.good.name == "gates-unsigned"]
    [other] = [one for one in subjects if one.good.name == "gates-signed"]
    theirs = tuple(f"{task}/99-summary/approval" for task in ("up", "down"))
    harms = proof_mutations.structural(subject.good, other.good)
    found = [one for one in harms if one.where.startswith(theirs)]
    assert len(found) > 20
    for mutation in found if request.config.getoption("--campaign") else found[::5]:
        subject.examine(mutation)


@pytest.mark.campaign
def test_a_hundred_thousand_random_harms_are_found(subjects):
    seed = int(os.environ.get("SEED", "2"))
    random_mutations(subjects, RANDOM_MUTATIONS, seed)
