"""What zf inherits from its parent, and the system it finds: it works there, or says why not.

Never a traceback. A refusal comes before anything is written, has a remedy, and exits with 2.
"""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import zf
from tests.support.program import ZF, heard
from tests.support.surroundings import NO_FIFOS, in_namespace, inside
from zf.audit.conclusion import VERIFIED
from zf.audit.verify import verify

BLOCKED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD}


@pytest.fixture
def two(project):
    project.task("a", "echo one", parallel_safe=True)
    project.task("b", "echo two", parallel_safe=True)
    return project


def passes(project, script='"$@"', *words):
    code, _, err = inside(project, script, *(words or ("run-phase", "A", "--run-id", "r1")))
    assert code == 0, err
    assert verify(str(project.proof("r1"))).exit_code == VERIFIED


def refused(project, problem, script, *words):
    """Exit code 2 with this problem, a hint, and no run."""
    code, _, err = inside(project, script, *(words or ("run-phase", "A", "--run-id", "r1")))
    assert (code, problem in err, "hint: " in err) == (2, True, True), err
    assert not project.proof("r1").exists()


@pytest.mark.parametrize("number", [signal.SIGCHLD, signal.SIGPIPE, signal.SIGHUP, signal.SIGTERM])
def test_signals_that_the_parent_ignores(two, number):
    passes(two, f"trap '' {number.name[3:]}; exec \"$@\"")


def test_sigchld_ignored_by_the_parent(two):
    """Bash does not pass this one on."""
    ignore = "import os,signal,sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN)"
    passes(two, f'{sys.executable} -c "{ignore}; os.execv(sys.argv[1], sys.argv[1:])" "$@"')


def test_signals_that_the_parent_has_blocked_are_heard(project):
    os.mkfifo(project.root / "up")
    project.task("a", "echo > up; exec sleep 100")
    process = project.popen(
        "run-phase",
        "A",
        "--run-id",
        "r1",
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED),
    )
    (project.root / "up").read_text()
    process.terminate()
    process.communicate()
    assert process.returncode == 143


@pytest.mark.parametrize(
    "script",
    [
        'umask 0777; "$@"',
        'env -i "$@"',
        'unset HOME; "$@"',
        'TMPDIR=/nowhere "$@"',
        'LC_ALL=C LANG=C "$@"',
        '"$@" <&-',
        'ulimit -s 256; "$@"',
    ],
)
def test_surroundings_in_which_a_run_works(two, script):
    passes(two, script)


def test_a_step_that_calls_zf_gets_a_run_of_its_own(project):
    """The outer run's RUN_ID is in its environment, and is not meant for the inner one."""
    inner = project.root / "inner"
    (inner / "tasks" / "x").mkdir(parents=True)
    (inner / "tasks" / "x" / "task.yaml").write_text(
        "id: x\nphase: A\ncommands:\n- run: echo $RUN_ID > $ARTIFACTS_DIR/id\n"
    )
    zf = " ".join(ZF)
    project.task("a", f"cd inner; {zf} run-phase A", f"cd inner; RUN_ID=mine {zf} run-phase A")
    done = project.zf("run-phase", "A", env={"RUN_ID": "outer"})
    assert done.code == 0, done.out + done.err
    runs = {p.name for p in (inner / "proofs").iterdir() if p.name[0] != "."}
    assert len(runs) == 2
    assert "mine" in runs
    assert "outer" not in runs
    assert project.proof("outer").exists()


def test_too_few_open_files_for_so_many_tasks_at_once(project):
    for number in range(60):
        project.task(f"t{number}", "true", parallel_safe=True)
    words = ("run-phase", "A", "--run-id", "r1", "-j", "300")
    refused(project, "error[ZF126]", 'ulimit -n 64; "$@"', *words)
    code, _, err = inside(project, 'ulimit -n 64; "$@"', *words[:-1], "40")
    assert code == 0, err


@pytest.mark.skipif(os.geteuid() != 0, reason="root gives up a user and two capabilities here")
def test_no_further_process_is_allowed(two):
    """The limit does not hold for root, so zf runs with another real user."""
    user = "setpriv --ruid 54321 --bounding-set=-sys_resource,-sys_admin"
    refused(two, "error[ZF126]: no worker process", f'ulimit -u 1; exec {user} "$@"')


@pytest.mark.parametrize("place", ["/proc", "/dev"])
def test_a_system_without_proc_or_dev(two, place):
    script = in_namespace(f'mount -t tmpfs none {place} && exec "$@"')
    refused(two, "error[ZF126]", script)


def test_proofs_that_are_read_only(two):
    (two.root / "proofs").mkdir()
    refused(two, "error[ZF123]", in_namespace('mount -t tmpfs -o ro none proofs && exec "$@"'))


def test_the_first_process_of_a_container(two):
    if os.geteuid() != 0:
        pytest.skip("a process namespace needs root")
    passes(two, 'unshare -p -f --mount-proc "$@"')


def test_proofs_that_are_a_file(two):
    (two.root / "proofs").write_text("")
    code, _, err = inside(two, '"$@"', "run-phase", "A", "--run-id", "r1")
    assert (code, "it is no folder" in err, "move it away" in err) == (2, True, True)
    for words in (["status"], ["explain"], ["verify", "r1"], ["logs", "r1", "a"]):
        assert inside(two, '"$@"', *words)[0] == 2


@pytest.mark.parametrize(
    "words", [["run-phase", "A"], ["list"], ["status"], ["verify"], ["plan", "A"]]
)
def test_a_working_directory_that_is_gone(two, words):
    gone = 'mkdir gone; cd gone; rmdir ../gone; "$@"'
    code, _, err = inside(two, gone, *words)
    assert (code, "the working directory is gone" in err, "-C" in err) == (2, True, True)
    assert inside(two, gone, "list", "-C", str(two.root))[0] == 0


def test_no_folder_for_what_is_needed_for_a_moment(two):
    two.zf("run-phase", "A", "--run-id", "r1")
    two.zf("export", "r1", "-o", "r1.tar")
    read_only = [
        f"mount --bind {one} {one} && mount -o remount,bind,ro {one}"
        for one in ("/tmp", "/var/tmp", "/usr/tmp", two.root)
        if os.path.isdir(one)
    ]
    script = in_namespace(f'{" && ".join(read_only)} && cd {two.root} && exec "$@"')
    code, _, err = inside(two, script, "verify", "r1.tar")
    assert (code, "error[ZF190]" in err, "TMPDIR" in err) == (2, True, True), err


NO_FOLDERS = """
import os, stat
real = os.fsync
def fsync(fd):
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        raise OSError({number}, os.strerror({number}))
    real(fd)
os.fsync = fsync
"""


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_sync_folders(two, tmp_path, number):
    """As CIFS and some FUSE do: there fsync works on files only."""
    (tmp_path / "sitecustomize.py").write_text(NO_FOLDERS.format(number=number))
    two.env["PYTHONPATH"] = str(tmp_path)
    passes(two)


def test_a_run_on_a_file_system_without_fifos_can_be_cancelled(project, tmp_path):
    project.task("a", "exec sleep 100")
    (tmp_path / "sitecustomize.py").write_text(NO_FIFOS)
    words = ("--run-id", "r1", "--progress", "json")
    process = project.popen("run-phase", "A", *words, env={"PYTHONPATH": str(tmp_path)})
    heard(process, "attempt_started")
    assert "running" in project.zf("status").out
    done = project.zf("cancel", "r1")
    assert (done.code, done.err) == (0, "asked r1 to cancel everything\n")
    process.communicate()
    assert process.returncode == 143
    assert project.status("r1", "a")["status"] == "cancelled"


def test_a_folder_for_leases_that_cannot_be_written(project):
    project.task("a", "true", concurrency="group")
    leases = project.root.parent / "leases"
    leases.mkdir(mode=0o700)
    script = in_namespace(
        f'mount --bind {leases} {leases} && mount -o remount,bind,ro {leases} && exec "$@"'
    )
    refused(project, "error[ZF124]", script)


@pytest.mark.parametrize("size", [0, 1])
def test_a_limit_on_the_size_of_files(two, size):
    code, _, err = inside(two, f'ulimit -f {size}; "$@"', "run-phase", "A", "--run-id", "r1")
    assert code in {1, 2}
    assert "error[ZF" in err


WITH_MEMORY = """
import resource, sys
from zf.__main__ import main
with open("/proc/self/statm") as sizes:
    room = int(sizes.read().split()[0]) * resource.getpagesize() + int(sys.argv.pop(1)) * 1024
resource.setrlimit(resource.RLIMIT_AS, (room, room))
main()
"""


def with_memory(project, more_kib, *words):
    """Run zf in an address space that can grow by so much after the interpreter's own start."""
    script = f'shift $(({len(ZF)})); exec {sys.executable} -c "$PROGRAM" {more_kib} "$@"'
    project.env["PROGRAM"] = WITH_MEMORY
    return inside(project, script, *words)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux holds a process to its address space")
@pytest.mark.parametrize(
    "words",
    [("run-phase", "A"), ("validate",), ("status",), ("explain", "r0"), ("verify", "r0")],
    ids=" ".join,
)
def test_too_little_memory_is_no_bug_of_zf(two, words):
    assert inside(two, '"$@"', "run-phase", "A", "--run-id", "r0")[0] == 0
    for mib in (0, 1, 2, 4, 8, 12, 16, 20, 24):
        code, _, err = with_memory(two, mib * 1024, *words)
        if "memory allocation of" in err:
            continue  # so say the compiled validators themselves, which end the process
        assert code in {0, 1, 2}, err
        assert code == 0 or "error[ZF190]" in err or "error[ZF145]" in err, (code, err)
        assert code == 0 or "hint: " in err
        if not mib:
            assert code == 2
    assert with_memory(two, 48 * 1024, *words)[0] == 0


def test_no_module_needs_a_compiled_one_to_be_read():
    """Where none has been compiled yet, too little memory would else be a syntax error."""
    program = """
import sys
sys.modules["unicodedata"] = None  # which names of characters need
for path in sys.argv[1:]:
    with open(path, "rb") as source:
        compile(source.read(), path, "exec")
"""
    modules = Path(zf.__file__).parent.rglob("*.py")
    subprocess.run([sys.executable, "-c", program, *modules], check=True)


UNREADABLE = """
import sys
from zf.__main__ import main

class Finder:
    def find_spec(name, path=None, target=None):
        if name == module:
            raise eval(error)

module, error = sys.argv.pop(1), sys.argv.pop(1)
sys.meta_path.insert(0, Finder)
main()
"""


SYNTAX = "SyntaxError('expected', ('x.py', 195, 1, 'def f() -> int:'))"
FIELD = """ValueError("field 'target' is required for AnnAssign")"""


@pytest.mark.parametrize(
    ("module", "error"),
    [("zf.outlet", SYNTAX), ("zf.report.explain", SYNTAX), ("zf.report.explain", FIELD)],
    ids=["at start", "later", "later, in its tree"],
)
def test_a_module_that_too_little_memory_makes_unreadable_is_no_bug_of_zf(two, module, error):
    """CPython's compiler can lose a MemoryError, and say that what it compiles is wrong."""
    two.env["PROGRAM"] = UNREADABLE
    assert inside(two, '"$@"', "run-phase", "A", "--run-id", "r0")[0] == 0
    script = f'shift $(({len(ZF)})); exec {sys.executable} -c "$PROGRAM" "$MODULE" "$ERROR" "$@"'
    two.env |= {"MODULE": module, "ERROR": error}
    code, _, err = inside(two, script, "explain", "r0")
    assert (code, "error[ZF190]" in err, "hint: raise the limit" in err) == (2, True, True), err
