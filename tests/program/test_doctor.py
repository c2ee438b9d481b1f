"""`zf doctor` in surroundings that are broken for real: it names what is wrong, and the remedy.

Where a run is refused or cannot be recorded, the doctor does not say that all is well.
"""

import json
import os
import shutil
import stat
import subprocess
import sys

import pytest

from tests.support.faults import Clock
from tests.support.surroundings import NO_FIFOS, in_namespace, inside

OK, NOTE, PROBLEM = "ok", "note", "problem"
YEAR = 365 * 86400.0


@pytest.fixture
def sound(project):
    project.task("a", "echo one", parallel_safe=True)
    project.task("b", "echo two", parallel_safe=True)
    return project


def found(project, script='"$@"', *more):
    """What the doctor finds, by area, and its exit code, which says whether anything is in the way."""
    code, out, err = inside(project, script, *more, "doctor", "--json")
    said = json.loads(out)
    assert said["schema"] == "zf/doctor/v1"
    by_area = {}
    for one in said["findings"]:
        by_area.setdefault(one["area"], []).append(one)
    stands = any(one["state"] == PROBLEM for one in said["findings"])
    assert (code, said["stands_in_the_way"]) == (int(stands), stands), err
    assert all(one["remedy"] for one in said["findings"] if one["state"] == PROBLEM)
    return by_area, code


def told(by_area, area, state, words, remedy=""):
    [one] = [f for f in by_area[area] if words in f["found"]] or [by_area[area]]
    assert (one["state"], remedy in (one["remedy"] or "")) == (state, True), one


def runs(project, script='"$@"'):
    return inside(project, script, "run", "--run-id", "r9")[0]


def only(folder, *programs):
    """A folder with these programs and no others."""
    folder.mkdir()
    for name in programs:
        (folder / name).symlink_to(shutil.which(name))
    return folder


def test_where_nothing_is_wrong_it_says_so_and_changes_nothing(sound):
    before = sorted(str(path) for path in sound.root.rglob("*"))
    by_area, code = found(sound)
    assert code == 0
    assert [one["state"] for one in by_area["run"]] == [OK]
    assert sorted(str(path) for path in sound.root.rglob("*")) == before
    code, out, err = inside(sound, '"$@"', "doctor")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[-1].startswith("nothing stands in the way")
    assert all(line[:2] in {"+ ", "o ", "✓ ", "○ ", "  "} for line in lines[:-2]), out
    assert runs(sound) == 0


def test_outside_of_a_project_the_machine_is_looked_at_alone(tmp_path, project):
    project.root = tmp_path / "bare"
    project.root.mkdir()
    by_area, code = found(project)
    assert code == 0
    told(by_area, "project", NOTE, "no tasks found in", "zf.yaml")
    assert "run" not in by_area
    assert not list(project.root.iterdir())


def test_no_bash(sound, tmp_path):
    bare = only(tmp_path / "bin", "env", "git", "sh")
    script = f'PATH={bare}; exec "$@"'
    by_area, code = found(sound, script)
    assert code == 1
    told(by_area, "bash", PROBLEM, "bash is not on the PATH", "apt-get install bash")
    assert runs(sound, script) == 1


def test_a_bash_that_cannot_be_started(sound, tmp_path):
    folder = only(tmp_path / "bin", "git")
    (folder / "bash").write_text("#!/nowhere/bash\n")
    (folder / "bash").chmod(0o755)
    script = f'PATH={folder}; exec "$@"'
    by_area, _ = found(sound, script)
    told(by_area, "bash", PROBLEM, "could not be started: No such file")
    assert runs(sound, script) == 1


def test_no_git_no_ssh_keygen_and_no_openssl(sound, tmp_path):
    script = f'PATH={only(tmp_path / "bin", "bash")}; exec "$@"'
    by_area, code = found(sound, script)
    assert code == 0
    told(by_area, "git", NOTE, "git is not on the PATH", "apt-get install git")
    told(by_area, "ssh-keygen", NOTE, "ssh-keygen is not installed", "OpenSSH 8.9 or later")
    told(by_area, "openssl", NOTE, "openssl is not on the PATH", "install openssl")
    assert runs(sound, script) == 0


def test_a_work_tree_that_git_refuses(sound):
    if os.geteuid() != 0:
        pytest.skip("another owner needs root")
    subprocess.run(["git", "init", "-q", sound.root], check=True)
    os.chown(sound.root, 54321, 54321)
    os.chown(sound.root / ".git", 54321, 54321)
    env = 'HOME=/nowhere GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null "$@"'
    by_area, code = found(sound, env)
    told(by_area, "git", NOTE, "dubious ownership", "git config --global --add safe.directory")
    assert code == 0


OLD = """#!/bin/sh
case "$*" in
*-Y*) echo "unknown option -- Y" >&2; exit 1 ;;
*) exec {real} "$@" ;;
esac
"""


@pytest.mark.parametrize(("sign", "state"), [(False, NOTE), (True, PROBLEM)])
def test_an_ssh_keygen_too_old_to_sign(sound, tmp_path, sign, state):
    """As before OpenSSH 8.1, which has no -Y."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ssh-keygen").write_text(OLD.format(real=shutil.which("ssh-keygen")))
    (folder / "ssh").write_text("#!/bin/sh\necho 'OpenSSH_7.4p1, OpenSSL 1.0.2k' >&2\n")
    for program in folder.iterdir():
        program.chmod(0o755)
    (sound.root / "zf.yaml").write_text(f"sign: {str(sign).lower()}\n")
    by_area, code = found(sound, f'PATH={folder}:$PATH; exec "$@"')
    words = "OpenSSH 7.4p1"
    told(by_area, "ssh-keygen", state, words, "install OpenSSH 8.9 or later")
    told(by_area, "ssh-keygen", state, "unknown option -- Y")
    assert code == int(sign)


def test_runs_that_are_to_be_signed_without_a_key(sound):
    (sound.root / "zf.yaml").write_text("sign: true\n")
    script = 'HOME=/nowhere GIT_CONFIG_GLOBAL=/dev/null "$@"'
    by_area, code = found(sound, script)
    told(by_area, "signing", PROBLEM, "no key to sign with", "ZF_SIGNING_KEY")
    assert (code, runs(sound, script)) == (1, 2)


def key(path, passphrase=""):
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)]
    subprocess.run(make, check=True)
    return path


@pytest.mark.parametrize(("passphrase", "state"), [("", OK), ("secret", NOTE)])
def test_a_key_with_and_without_a_passphrase(sound, tmp_path, passphrase, state):
    sound.env["ZF_SIGNING_KEY"] = str(key(tmp_path / "key", passphrase))
    sound.env.pop("SSH_AUTH_SOCK", None)
    by_area, code = found(sound)
    told(by_area, "signing", state, "SHA256:")
    assert code == 0


def test_proofs_that_are_read_only(sound):
    (sound.root / "proofs").mkdir()
    script = in_namespace('mount -t tmpfs -o ro none proofs && exec "$@"')
    by_area, code = found(sound, script)
    told(by_area, "proofs", PROBLEM, "cannot write proofs to", "make the folder writable")
    assert (code, runs(sound, script)) == (1, 2)


def test_proofs_that_are_a_file(sound):
    (sound.root / "proofs").write_text("")
    by_area, _ = found(sound)
    told(by_area, "proofs", PROBLEM, "it is no folder", "move it away")
    assert runs(sound) == 2


@pytest.mark.parametrize("fill", ["head -c 2M /dev/zero > proofs/full 2>/dev/null", ""])
def test_a_disk_that_is_full_or_small(sound, fill):
    (sound.root / "proofs").mkdir()
    mount = f'mount -t tmpfs -o size=1M none proofs; {fill or "true"}; exec "$@"'
    by_area, code = found(sound, in_namespace(mount))
    if not fill:
        told(by_area, "proofs", NOTE, "only 1 MiB free", "remove what is not needed")
        return
    told(by_area, "proofs", PROBLEM, "No space left on device", "see that its disk has room")
    assert code == 1
    assert runs(sound, in_namespace(mount)) in {1, 2}


def test_a_disk_without_room_for_files(sound):
    (sound.root / "proofs").mkdir()
    mount = 'mount -t tmpfs -o nr_inodes=1 none proofs; exec "$@"'
    by_area, _ = found(sound, in_namespace(mount))
    told(by_area, "proofs", PROBLEM, "No space left on device")


@pytest.mark.parametrize("everywhere", [False, True])
def test_no_fifos(sound, tmp_path, everywhere):
    patch = NO_FIFOS.replace('".locks" in path', "True") if everywhere else NO_FIFOS
    (tmp_path / "sitecustomize.py").write_text(patch)
    sound.env["PYTHONPATH"] = str(tmp_path)
    by_area, code = found(sound)
    told(by_area, "proofs", NOTE, "no fifo can be made", "mode 0700" if everywhere else "")
    assert code == 0


def test_no_cgroup(sound):
    by_area, code = found(
        sound,
        in_namespace(
            'umount -l /sys/fs/cgroup/unified; mount -t tmpfs none /sys/fs/cgroup && exec "$@"'
        ),
    )
    told(by_area, "cgroup", NOTE, "cgroup v2 is not mounted here", "Delegate=yes")
    assert code == 0


@pytest.mark.parametrize(
    ("place", "area", "words", "remedy"),
    [
        ("/proc", "files", "/proc is not mounted", "mount -t proc proc /proc"),
        ("/dev", "files", "there is no /dev/null", "mount or fill /dev"),
    ],
)
def test_a_system_without_proc_or_dev(sound, place, area, words, remedy):
    script = in_namespace(f'mount -t tmpfs none {place} && exec "$@"')
    by_area, code = found(sound, script)
    told(by_area, area, PROBLEM, words, remedy)
    assert (code, runs(sound, script)) == (1, 2)


def test_too_few_open_files(project):
    for number in range(60):
        project.task(f"t{number}", "true", parallel_safe=True)
    (project.root / "zf.yaml").write_text("max_jobs: 300\n")
    script = 'ulimit -n 64; exec "$@"'
    by_area, code = found(project, script)
    told(by_area, "files", PROBLEM, "60 tasks at once need 80 open files", "-j 44")
    assert (code, runs(project, script)) == (1, 2)


@pytest.mark.skipif(os.geteuid() != 0, reason="root gives up a user and two capabilities here")
def test_no_further_process_is_allowed(sound):
    user = "setpriv --ruid 54321 --bounding-set=-sys_resource,-sys_admin"
    script = f'ulimit -u 1; exec {user} "$@"'
    by_area, code = found(sound, script)
    told(by_area, "processes", PROBLEM, "no worker process can be started", "ulimit -u")
    assert (code, runs(sound, script)) == (1, 2)


def test_a_limit_on_the_size_of_files(sound):
    by_area, code = found(sound, 'ulimit -f 64; "$@"')
    told(by_area, "files", NOTE, "no file may be larger than", "ulimit -f unlimited")
    assert code == 0


def test_no_task_can_have_a_sandbox(sound, tmp_path):
    if sys.platform != "linux":
        pytest.skip("the sandbox is Linux's")
    script = f'PATH={only(tmp_path / "bin", "bash", "git")}; exec "$@"'
    by_area, code = found(sound, script)
    assert code == 0
    told(by_area, "sandbox", NOTE, "no task can have a sandbox: it takes bubblewrap", "bubblewrap")
    (sound.root / "zf.yaml").write_text("defaults: {sandbox: true}\n")
    by_area, code = found(sound, script)
    assert code == 1
    told(by_area, "run", PROBLEM, "must run in a sandbox, which cannot be had", "if_available")


def test_the_shield_is_demanded_and_cannot_be_had(sound):
    if os.geteuid() != 0:
        pytest.skip("root gives up what it needs for a shield here")
    (sound.root / "zf.yaml").write_text("shield: always\n")
    script = 'exec setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin "$@"'
    by_area, code = found(sound, script)
    assert runs(sound, script) in {0, 2}
    if runs(sound, script) == 2:
        told(
            by_area, "shield", PROBLEM, "asks for the shield, which cannot be had", "--shield auto"
        )
        assert code == 1


def test_a_working_directory_that_is_gone(sound):
    by_area, code = found(sound, 'mkdir gone; cd gone; rmdir ../gone; "$@"')
    told(by_area, "folder", PROBLEM, "the working directory is gone", "-C")
    assert code == 1


def test_a_working_directory_that_cannot_be_read(sound):
    if os.geteuid() != 0:
        pytest.skip("zf gives up root here")
    sound.root.chmod(0o311)
    for path in (sound.root, *sound.root.parents):
        path.chmod(path.stat().st_mode | stat.S_IXOTH) if path.owner() == "root" else None
    user = "setpriv --reuid 54321 --regid 54321 --clear-groups"
    by_area, code = found(sound, f'exec {user} "$@"')
    told(by_area, "folder", PROBLEM, "cannot be read: Permission denied", "chmod u+rx")
    assert code == 1


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_closed_streams(sound, closed):
    _, code = found(sound, f'"$@" {closed}')
    assert code == 0


def test_a_closed_stdout_is_named(sound):
    code, _, err = inside(sound, '"$@" >&-', "doctor")
    assert (code, "stdout" in err, ">/dev/null" in err) == (2, True, True)


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path / "clock")


def test_a_clock_before_the_newest_run(sound, clock):
    clock.step(30 * 86400.0)
    sound.env |= clock.env
    assert runs(sound) == 0
    for name in clock.env:
        del sound.env[name]
    by_area, code = found(sound)
    told(by_area, "clock", PROBLEM, "run r9 says", "set the clock")
    assert code == 1


def test_a_clock_before_there_was_zf(sound, clock):
    clock.step(-20 * YEAR)
    sound.env |= clock.env
    by_area, code = found(sound)
    told(by_area, "clock", PROBLEM, "when there was no zf yet", "timedatectl")
    assert code == 1


def test_files_that_are_not_valid_and_a_setting_that_is_none(sound):
    sound.file("c", "id: c\nphase: A\ncommands: 7\n")
    by_area, code = found(sound, 'MAX_JOBS=many "$@"')
    told(by_area, "project", PROBLEM, "1 error in the files", "zf validate")
    told(by_area, "settings", PROBLEM, "MAX_JOBS")
    assert code == 1
    assert inside(sound, '"$@"', "validate")[0] == 2


def test_variables_that_a_task_demands(sound):
    sound.task("c", "true", required_env=["ZF_TEST_TOKEN"])
    by_area, code = found(sound)
    told(by_area, "run", PROBLEM, "ZF_TEST_TOKEN")
    assert (code, runs(sound)) == (1, 2)


def test_a_small_address_space_and_ascii(sound):
    by_area, _ = found(
        sound, 'ulimit -v 900000; PYTHONUTF8=0 LC_ALL=POSIX PYTHONCOERCECLOCALE=0 "$@"'
    )
    told(by_area, "memory", NOTE, "of address space", "ulimit -v")
    told(by_area, "terminal", NOTE, "stdout takes ", "LC_ALL=C.UTF-8")


def test_a_job_of_a_ci_system(sound):
    by_area, _ = found(sound, 'GITLAB_CI=true CI_JOB_NAME=unit "$@"')
    told(by_area, "ci", OK, "GITLAB_CI is set: job unit")
