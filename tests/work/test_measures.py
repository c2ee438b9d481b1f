"""What an attempt used: held against GNU time on the same command where that can see it, and against
what processes say of themselves where it cannot.
"""

import json
import os
import resource
import sys
from pathlib import Path

import pytest

from tests.support import proof_schemas
from tests.support.attempts import Attempts, task
from zf.model import Step
from zf.work.supervise.cgroup import Cgroup

GNU_TIME = Path("/usr/bin/time")
MB = 1_000_000
# All CPUs are asked for a second of work: GNU time cuts to hundredths, bash takes some of its own.
BURN = "import time\nwhile time.process_time() < {}: pass\n"
SYSTEM = "import os, time\nwhile time.process_time() < {}: os.stat('/')\n"
# More than a worker has, by so much: it is forked by the process that runs all these tests, and
# memory below its own is not told. It is given back before a process says what it has used.
FILL = """block = bytearray($((OWN + {})))
for i in range(0, len(block), 4096): block[i] = 1
del block
"""

_FORKS = "import os, sys\nif os.fork(): os.wait(); sys.exit()\n"
_THREADS = """
import hashlib, threading, time
def work():
    while time.process_time() < 1: hashlib.sha256(b'x' * 100_000).digest()
threads = [threading.Thread(target=work) for _ in range(4)]
for one in threads: one.start()
for one in threads: one.join()
"""
# Says what it has used itself to whatever reads the fifo.
_TELLING = """
import json, resource, sys
used = resource.getrusage(resource.RUSAGE_SELF)
said = [used.ru_utime, used.ru_stime, used.ru_maxrss * 1024]
open(sys.argv[1], 'w').write(json.dumps(said))
"""
_DAEMON = """
import os, sys
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
"""

# Everything here waits for what it starts, so that GNU time sees all of it.
ZOO = {
    "one process": f'py "{BURN.format(1)}"',
    "in the kernel": f'py "{SYSTEM.format(1)}"',
    "one after the other": f'for i in 1 2 3; do py "{BURN.format(0.4)}"; done',
    "side by side": f'for i in 1 2; do py "{FILL.format(70 * MB)}{BURN.format(0.5)}" & done; wait',
    "double fork": f'py "{_FORKS}{_FORKS}{FILL.format(80 * MB)}{BURN.format(1)}"',
    "threads": f'py "{_THREADS}"',
    "a large grandchild": f'( ( py "{FILL.format(100 * MB)}" ); py "{BURN.format(1)}" )',
    "pipeline": f"py \"{BURN.format(1)}{FILL.format(90 * MB)}print('x' * 1000)\" | cat | wc -c",
    "exec": f'exec {sys.executable} -I -S -c "{FILL.format(60 * MB)}{BURN.format(1)}"',
    "it fails": f'py "{BURN.format(1)}"; exit 3',
}
# What has lost its parent: a daemon in a session of its own, an orphan, a grandchild of one.
ORPHANS = {
    "daemon": f'py "{_DAEMON}{FILL.format(80 * MB)}{BURN.format(1)}{_TELLING}" @@',
    "orphan": f'( py "{FILL.format(80 * MB)}{BURN.format(1)}{_TELLING}" @@ & )',
    "session": f"setsid -f {sys.executable} -I -S -c "
    f'"{FILL.format(80 * MB)}{BURN.format(1)}{_TELLING}" @@',
}


def prelude():
    """What scripts call: python as `py`, and as `OWN` the bytes that a worker may begin with, with
    room for what is taken for noise.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    own = int(1.1 * unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return f'OWN={own}\npy() {{ {sys.executable} -I -S -c "$@"; }}\n'


@pytest.fixture(params=["wait4", "cgroup"])
def attempts(request, tmp_path, monkeypatch):
    """With a cgroup where one can be made, and without."""
    if request.param == "wait4":
        monkeypatch.setattr(Cgroup, "enter", lambda name: None)
    return Attempts(tmp_path)


def has_cgroup(result):
    return result.status["containment"] == "subreaper+cgroup"


def cpu_s(measures):
    return measures["cpu_user_s"] + measures["cpu_system_s"]


def told_by_time(path):
    """What GNU time says: seconds in user mode and in the kernel, bytes at the peak, blocks."""
    said = dict(
        line.strip().rsplit(": ", 1) for line in path.read_text().splitlines() if ": " in line
    )
    return {
        "cpu_user_s": float(said["User time (seconds)"]),
        "cpu_system_s": float(said["System time (seconds)"]),
        "peak_memory_bytes": 1024 * int(said["Maximum resident set size (kbytes)"]),
        "read_bytes": 512 * int(said["File system inputs"]),
        "written_bytes": 512 * int(said["File system outputs"]),
    }


def _times_s(told):
    """The seconds in what bash's `times` prints: `0m0.003s` for itself and for its children."""
    said = [one.removesuffix("s").split("m") for one in told.split()]
    return sum(60 * int(minutes) + float(seconds) for minutes, seconds in said)


@pytest.mark.skipif(not GNU_TIME.exists(), reason="no GNU time here")
@pytest.mark.parametrize("name", ZOO)
def test_they_are_what_gnu_time_says(attempts, tmp_path, name):
    script, told = tmp_path / "animal.sh", tmp_path / "told"
    script.write_text(prelude() + ZOO[name])
    # The same life is measured twice, from inside and from outside.
    result = attempts.run(f"{GNU_TIME} -v -o {told} bash {script}")
    expected, measures = told_by_time(told), result.ended.measures
    assert cpu_s(measures) == pytest.approx(cpu_s(expected), rel=0.05)
    assert measures["cpu_user_s"] == pytest.approx(expected["cpu_user_s"], rel=0.05, abs=0.05)
    if "bytearray" in ZOO[name]:
        peak = expected["peak_memory_bytes"]
        assert measures["peak_memory_bytes"] == pytest.approx(peak, rel=0.05)
    assert measures["source"] == "wait4"
    proof_schemas.check(result.status, "status")


@pytest.mark.parametrize("name", ORPHANS)
def test_of_an_orphan_they_are_what_it_says_of_itself(attempts, tmp_path, name):
    fifo = tmp_path / "told"
    os.mkfifo(fifo)
    life = prelude() + ORPHANS[name].replace("@@", str(fifo))
    result = attempts.run(f"{life}\ncat {fifo}")
    user_s, system_s, peak = json.loads(result.log())
    measures = result.ended.measures
    assert cpu_s(measures) == pytest.approx(user_s + system_s, rel=0.05)
    assert measures["peak_memory_bytes"] == pytest.approx(peak, rel=0.05)


def test_what_is_killed_counts(attempts, tmp_path):
    fifo = tmp_path / "told"
    os.mkfifo(fifo)
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    forever = f"{deaf}{BURN.format(1)}{_TELLING}\nwhile True: pass"
    result = attempts.run(f'{prelude()}( py "{forever}" {fifo} & ); cat {fifo}')
    assert result.ended.cause == "survivors"
    assert cpu_s(result.ended.measures) >= 1
    assert cpu_s(result.ended.measures) <= 1 + result.ended.duration_s


def test_children_that_a_parent_ignores_are_known_to_the_cgroup(attempts):
    """The kernel adds their use to nothing: only a cgroup saw them."""
    ignores = "import os, signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
    wait = "\ntry: os.wait()\nexcept ChildProcessError: pass"
    burn = f"{BURN.format(1)}print(time.process_time())"
    script = f"{ignores}if not os.fork():\n exec({burn!r})\n os._exit(0)\n{wait}"
    (attempts.root / "ignores.py").write_text(script)
    result = attempts.run(f"{sys.executable} -u -I -S ignores.py")
    measures = result.ended.measures
    if has_cgroup(result):
        assert cpu_s(measures) == pytest.approx(float(result.log()), rel=0.1)
        assert measures["source"] == "cgroup"
    else:
        assert cpu_s(measures) < 0.5
        assert measures["source"] == "wait4"


def test_of_what_goes_on_only_a_cgroup_knows(attempts, tmp_path):
    fifo = tmp_path / "told"
    os.mkfifo(fifo)
    script = f"{BURN.format(1)}{_TELLING}\nimport signal\nsignal.pause()"
    result = attempts.run(f'{prelude()}py "{script}" {fifo} & cat {fifo}', leave_running=True)
    measures = result.ended.measures
    assert result.status["survivors"]
    if has_cgroup(result):
        user_s, system_s, _ = json.loads(result.log())
        assert cpu_s(measures) == pytest.approx(user_s + system_s, rel=0.1)
        assert measures["source"] == "cgroup"
    else:
        assert (measures["cpu_user_s"], measures["cpu_system_s"]) == (None, None)
    proof_schemas.check(result.status, "status")


def test_each_step_has_its_own_and_together_they_are_the_attempts(attempts):
    # What bash says of itself and its children, as a loop may run past its end by what was stolen.
    told_by_bash = [attempts.root / "second", attempts.root / "third"]
    fill = f"{prelude()}py \"{FILL.format(100 * MB)}{BURN.format(0.5)}print('abc')\""
    burn = f'{prelude()}py "{BURN.format(1)}"'
    ending = (f"times >{told_by_bash[0]}", f"times >{told_by_bash[1]}; exit 4")
    steps = [":", f"{fill}; {ending[0]}", f"{burn}; {ending[1]}", "echo never"]
    result = attempts.run(*steps, cleanup=(Step("cleanup-0", "printf xy", 1),))
    told, measures = result.status["measures"], result.ended.measures
    assert {**told, **measures} == told
    assert told.keys() - measures.keys() == {"steps", "cleanup"}
    first, second, third = told["steps"]
    assert [one["step"] for one in told["steps"]] == [0, 1, 2]
    assert [one["cleanup"] for one in told["cleanup"]] == [0]
    assert cpu_s(first) < 0.3
    for step, path, least_s in zip((second, third), told_by_bash, (0.5, 1), strict=True):
        assert cpu_s(step) >= least_s
        assert cpu_s(step) == pytest.approx(_times_s(path.read_text()), rel=0.05, abs=0.05)
    assert second["peak_memory_bytes"] >= 100 * MB
    assert measures["peak_memory_bytes"] == second["peak_memory_bytes"]
    assert [one["output_bytes"] for one in told["steps"]] == [0, 4, 0]
    assert measures["output_bytes"] == 4 + 2
    every = [*told["steps"], *told["cleanup"]]
    assert cpu_s(measures) == pytest.approx(sum(map(cpu_s, every)))
    proof_schemas.check(result.status, "status")


def test_they_are_the_attempts_own_and_not_those_of_the_one_before(attempts):
    tasks = [
        task(f'{prelude()}py "{FILL.format(100 * MB)}{BURN.format(0.5)}"', name="large"),
        task("echo hello", name="small"),
    ]
    large, small = attempts.run_all(tasks, jobs=1)
    assert large.ended.measures["peak_memory_bytes"] >= 100 * MB
    assert small.ended.measures["peak_memory_bytes"] is None  # less than the worker itself
    assert cpu_s(small.ended.measures) < 0.25


def test_memory_below_the_workers_own_is_not_told_as_the_workers(attempts):
    """On Linux a new process begins with the size of the one that started it."""
    assert attempts.run("true").ended.measures["peak_memory_bytes"] is None


@pytest.mark.skipif(not GNU_TIME.exists(), reason="no GNU time here")
def test_reads_and_writes_are_counted_in_bytes(attempts, tmp_path):
    told, made = tmp_path / "told", attempts.root / "made"
    write = f"dd if=/dev/zero of={made} bs=1M count=8 conv=fsync status=none"
    # Out of the memory, so that it has to be read again.
    drop = "import os; os.posix_fadvise(os.open('made', os.O_RDONLY), 0, 0, os.POSIX_FADV_DONTNEED)"
    both = f'{write}; {sys.executable} -I -S -c "{drop}"; cat {made} >/dev/null'
    result = attempts.run(f"{GNU_TIME} -v -o {told} bash -c '{both}'")
    expected, measures = told_by_time(told), result.ended.measures
    for key in ("read_bytes", "written_bytes"):  # both 0 where all files are in memory
        assert measures[key] == pytest.approx(expected[key], rel=0.05, abs=100_000)


def test_nothing_is_told_of_what_was_not_started(attempts):
    result = attempts.run("true", workdir="nowhere")
    assert (result.ended.measures, result.status["measures"]) == ({}, {})
    proof_schemas.check(result.status, "status")
