"""A run with an approval, a monitor and handlers whose runner dies at any line of its journal: no
one is asked twice, no handler runs twice, no probe counts twice, and the run comes to its end.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.support.faults import KILL, TEAR, Fault, struck
from tests.support.independent_verifier import verify as independently
from tests.support.program import Project
from zf.audit.conclusion import VERIFIED
from zf.audit.verify import verify
from zf.proof.layout import JOURNAL

FILE = """
on_end:
  - {when: always, id: tell, run: echo tell >> oracle}
phases:
  main: {on_end: [{when: [success, failure], id: tidy, run: echo tidy >> oracle}]}
tasks:
  build: {run: "true", phase: main}
  deploy: {run: echo deploy >> oracle, phase: main, needs: [build], approval: {by: [ann]}}
  watch:
    phase: main
    needs: [deploy]
    run: echo probe >> probes; test $(wc -l < probes) -ge 3
    repeat: {interval_sec: 0.02, limit: 50}
"""
# More writes than there are in a leg of this run.
MANY = 200
# As many lines as the run tells when it ends where it has to wait, and when it goes on to its end.
SHORT, LONG = 6, 26
ON = ("--on-approval", "exit")
# Of the campaign, each with a kill or more.
ROUNDS = 500
OVER = "over"
LEGS = ("until it waits", "once it is approved")


class Gates(Project):
    """A run of two legs, at any write of which its runner can be killed."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        (root / "zf.yaml").write_text(FILE)
        self.key = root.parent / "ann"
        words = ["-q", "-t", "ed25519", "-N", "", "-C", "ann", "-f", str(self.key)]
        subprocess.run(["ssh-keygen", *words], check=True)
        (root / "allowed_signers").write_text(f"ann {self.key.with_suffix('.pub').read_text()}")

    def oracle(self) -> Counter[str]:
        path = self.root / "oracle"
        return Counter(path.read_text().split()) if path.exists() else Counter()

    def leg(self, words: tuple[str, ...], fault: Fault | None) -> str:
        """One zf, killed by the fault, if any; the call at which it was."""
        log = self.root.parent / "calls"
        log.unlink(missing_ok=True)
        done = self.zf(*words, *ON, env=fault.env(log) if fault else {})
        assert "Traceback" not in done.err, done.err
        assert (done.code == -9) == bool(struck(log)), (done, struck(log))
        return struck(log)

    def approving(self) -> subprocess.Popen[str]:
        return self.popen("approve", "r", "deploy", "--key", str(self.key))

    def approve(self) -> None:
        self.approving().communicate()

    def anew(self) -> None:
        """Nothing is left of the run before."""
        for name in ("proofs", "oracle", "probes"):
            path = self.root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def killed(self, leg: str, fault: Fault) -> str:
        """The run with the fault in this leg of it, gone on with to its end; the call that was
        struck, "" when the leg had fewer of them.
        """
        self.anew()
        first = leg == LEGS[0]
        call = self.leg(("run", "--run-id", "r"), fault if first else None)
        if not first:
            self.approve()
            call = self.leg(("resume", "r"), fault)
        self.finish()
        return call

    def killed_at_moments(self, seed: int) -> list[str]:
        """The run, killed at up to three random moments and gone on with to its end; what it had
        told last at each of them.
        """
        rng = random.Random(seed)
        self.anew()
        told = [self.moment(rng) for _ in range(rng.randrange(1, 4))]
        self.finish()
        return [one for one in told if one != OVER]

    def moment(self, rng: random.Random) -> str:
        """One zf, killed a little after a line that it tells; the kind of that line, "" before the
        first. It ends where it has to wait for the approval, or waits, and is given it meanwhile.
        """
        begun, waits = self.proof("r").exists(), rng.random() < 0.5
        words = ("resume", "r") if begun else ("run", "--run-id", "r")
        process = self.popen(*words, "--progress", "json", *(() if waits else ON))
        last, approving = "", []
        lines = rng.randrange(1 + (LONG if begun or waits else SHORT))
        if begun and waits:
            approving.append(self.approving())  # it does not tell again what it has asked
        while lines and (line := process.stderr.readline()).startswith("{"):
            last, lines = json.loads(line)["type"], lines - 1
            if last == "approval_asked" and waits:
                # Nothing more is told until it is approved, so let it be, or kill it meanwhile.
                approving.append(self.approving())
                if rng.random() < 0.5:
                    break
        try:
            process.wait(timeout=rng.uniform(0, 0.02 if last else 0.3))
            last = OVER
        except subprocess.TimeoutExpired:
            process.kill()
        err = process.communicate()[1]
        assert "Traceback" not in err, err
        for one in approving:
            one.communicate()
        return last

    def finish(self) -> None:
        """Go on with it until it is over: it may be asked for anew, for another attempt."""
        for _ in range(5):
            words = ("resume", "r") if self.proof("r").exists() else ("run", "--run-id", "r")
            done = self.zf(*words, *ON)
            if done.code in {0, 5}:  # it passed, or was sealed already
                return
            assert done.code == 6, done
            self.approve()
        raise AssertionError("it has no end")

    def check(self, call: str) -> None:
        """What must hold of the run, whatever struck it."""
        events = self.events("r")
        asked = Counter(e["attempt"] for e in events if e["type"] == "approval_asked")
        assert set(asked.values()) == {1}, call
        begun = {
            e["attempt"] for e in events if e["type"] == "attempt_started" and e["task"] == "deploy"
        }
        assert begun <= set(asked), call
        probes = Counter((e["attempt"], e["number"]) for e in events if e["type"] == "probe")
        assert set(probes.values()) == {1}, call
        ran = self.oracle()
        assert ran["deploy"] <= len(begun), call
        lost = {e["task"] for e in events if e["type"] == "handler_ended" and e["status"] == "lost"}
        for handler in ("tidy", "tell"):
            assert ran[handler] <= 1, call
            assert ran[handler] or handler in lost, call
        assert verify(str(self.proof("r"))).exit_code == VERIFIED, call
        assert independently(self.proof("r")) == (True, True), call


@pytest.fixture
def gates(tmp_path):
    return Gates(tmp_path / "project")


def writes(what, number):
    return Fault("runner", what, number, names=("write",))


@pytest.mark.parametrize(("leg", "what", "number"), [(LEGS[0], KILL, 9), (LEGS[1], TEAR, 12)])
def test_a_runner_killed_at_a_line(gates, leg, what, number):
    call = gates.killed(leg, writes(what, number))
    assert call
    gates.check(call)


@pytest.mark.campaign
@pytest.mark.parametrize("what", [KILL, TEAR])
@pytest.mark.parametrize("leg", LEGS)
def test_campaign_of_runners_killed_at_every_line(gates, leg, what):
    lines = 0
    for number in range(1, MANY):
        call = gates.killed(leg, writes(what, number))
        gates.check(call)
        if not call:
            break
        lines += JOURNAL in call
    assert not call
    assert lines >= 3  # several lines may be written at once
    print(f"{leg}: {number - 1} writes ({what}), {lines} of them to the journal")


@pytest.mark.parametrize("seed", range(3))
def test_a_runner_killed_at_random_moments(gates, seed):
    gates.check(f"{seed}: {gates.killed_at_moments(seed)}")


@pytest.mark.campaign
def test_campaign_of_runners_killed_at_random_moments(gates):
    rounds, told = 0, Counter()
    for seed in range(100, 2000):
        told.update(moments := gates.killed_at_moments(seed))
        gates.check(f"{seed}: {moments}")
        rounds += bool(moments)
        if rounds == ROUNDS:
            break
    print(f"{rounds} rounds, killed after {dict(told)}")
    assert rounds == ROUNDS
    assert {"approval_asked", "approval_given", "probe", "handler_claimed", ""} <= told.keys()
