"""What bash runs is what the task file says: no step, and nothing beside it, can change it."""

import os
import subprocess
import sys

import pytest

from tests.support.attempts import Attempts
from tests.support.program import Project
from zf.work import interpreters, shell

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="memfd is Linux's")

# A step which, before bash has read that far, replaces its last line by `exit 0`.
REWRITES_ITSELF = """\
for file in "$PROOF_DIR"/10-commands/*.sh /dev/fd/3 /proc/$$/fd/255 /proc/$$/fd/3; do
  { chmod +w "$file"; printf 'exit 0\\n%.0s' $(seq 4000) | dd of="$file" conv=notrunc; } || :
  { sed -i 's/exit 3/exit 0/' "$file"; } || :
  { : > "$file"; } || :
done 2> /dev/null
true
exit 3
"""


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path / "project")
    # It holds without the shield, which would refuse what these steps try.
    project.env["ZF_SHIELD"] = "never"
    return project


@pytest.fixture
def attempts(tmp_path):
    return Attempts(tmp_path)


class TestAStepCannotRewriteWhatIsRun:
    def test_its_own_script(self, project):
        project.task("a", REWRITES_ITSELF)
        assert project.zf("run-task", "a", "--run-id", "r").code != 0
        assert project.status("r", "a")["exit_code"] == 3

    def test_the_script_of_a_later_step(self, project):
        later = 'for f in "$PROOF_DIR"/10-commands/step-*.sh; do echo "exit 0" > "$f"; done; :'
        project.task("a", later, "exit 4")
        assert project.zf("run-task", "a", "--run-id", "r").code != 0
        assert project.status("r", "a")["exit_code"] == 4

    def test_one_that_holds_a_secret(self, project):
        project.task("a", f"# hidden-value-hidden\n{REWRITES_ITSELF}", pass_env=["MY_TOKEN"])
        env = {"MY_TOKEN": "hidden-value-hidden"}
        assert project.zf("run-task", "a", "--run-id", "r", env=env).code != 0
        assert project.status("r", "a")["exit_code"] == 3


def test_no_secret_of_a_script_lies_in_a_file_while_it_runs(project, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    look = f'grep -rl "hidden-val""ue-hidden" "{temporary}" "$PROOF_DIR" || ls -A "{temporary}"'
    project.task("a", f"# hidden-value-hidden\n{look}; kill -9 $PPID", pass_env=["MY_TOKEN"])
    env = {"MY_TOKEN": "hidden-value-hidden", "TMPDIR": str(temporary)}
    project.zf("run-task", "a", "--run-id", "r", env=env)
    assert project.status("r", "a")["status"] == "lost"
    assert list(temporary.iterdir()) == []
    logs = [path.read_bytes() for path in project.proof("r").rglob("*.log")]
    assert logs == [b""]


class TestHowBashSeesIt:
    def test_lines_are_counted_from_the_first_of_the_script(self, project):
        project.task("a", "f() {\n  no-such-program-1\n}\nf || :\nno-such-program-2")
        project.zf("run-task", "a", "--run-id", "r")
        name = interpreters.USUAL_PATH
        assert project.log("r", "a").decode().splitlines() == [
            f"{name}: line 2: no-such-program-1: command not found",
            f"{name}: line 5: no-such-program-2: command not found",
        ]

    def test_its_name_is_the_one_on_record(self, project):
        project.task("a", 'echo "$0" "${BASH_SOURCE[0]}" "$#"')
        project.zf("run-task", "a", "--run-id", "r")
        name = project.json("r", "a", "10-commands", "step-0.json")["argv"][-1]
        assert project.log("r", "a").decode().split() == [name, name, "0"]

    def test_it_can_source_files_and_itself_once_more(self, project):
        (project.root / "lib.sh").write_text("hello() { echo hello; }\n")
        project.task(
            "a", "if [ ${AGAIN-} ]; then echo again; return; fi\n. ./lib.sh\nhello\nAGAIN=1\n. $0"
        )
        assert project.zf("run-task", "a", "--run-id", "r").code == 0
        assert project.log("r", "a") == b"hello\nagain\n"

    def test_a_long_one(self, project):
        lines = 40_000
        project.task("a", "n=0\n" + "n=$((n+1))\n" * lines + "echo $n")
        assert project.zf("run-task", "a", "--run-id", "r").code == 0
        assert project.log("r", "a") == b"%d\n" % lines

    def test_standard_input_is_empty_and_no_program_eats_the_rest_of_it(self, project):
        project.task("a", "cat; cat <&3 > /dev/null; cat /dev/fd/3 | wc -l\necho done")
        assert project.zf("run-task", "a", "--run-id", "r").code == 0
        assert project.log("r", "a").split() == [b"1", b"done"]

    def test_descriptor_3_is_free_for_the_script(self, project):
        project.task("a", "exec 3>&1\necho three >&3\nexec 3>&-\necho after\n(echo x >&3) || :")
        assert project.zf("run-task", "a", "--run-id", "r").code == 0
        assert project.log("r", "a").startswith(b"three\nafter\n")

    def test_bytes_that_are_no_text_are_handed_over(self, project):
        project.task("a", "printf '%s' 'ä€🎉' | od -An -tx1")
        project.zf("run-task", "a", "--run-id", "r")
        assert bytes.fromhex(project.log("r", "a").decode()).decode() == "ä€🎉"


class TestSealed:
    @LINUX
    def test_nothing_can_be_done_to_it(self):
        fd = shell.sealed(b"echo")
        try:
            for change in (
                lambda: os.pwrite(fd, b"x", 0),
                lambda: os.ftruncate(fd, 0),
                lambda: os.ftruncate(fd, 100),
            ):
                with pytest.raises(PermissionError):
                    change()
            os.chmod(f"/proc/self/fd/{fd}", 0o777)
            again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
            with pytest.raises(PermissionError):
                os.write(again, b"x")
            os.close(again)
            assert os.pread(fd, 10, 0) == b"echo"
        finally:
            os.close(fd)

    def test_without_memfd_it_has_no_name_and_no_way_in(self, monkeypatch, tmp_path):
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setattr("tempfile.tempdir", None)
        monkeypatch.delattr(os, "memfd_create", raising=False)
        fd = shell.sealed(b"echo unlinked")
        try:
            assert list(tmp_path.iterdir()) == []
            with pytest.raises(OSError):
                os.write(fd, b"x")
            ran = subprocess.run(
                ["bash", f"/dev/fd/{fd}"], pass_fds=[fd], capture_output=True, check=True
            )
            assert ran.stdout == b"unlinked\n"
        finally:
            os.close(fd)


def test_without_names_for_descriptors_a_task_says_what_is_missing(attempts, monkeypatch):
    monkeypatch.setattr("zf.work.shell.script_path", lambda: None)
    result = attempts.run("echo never")
    assert result.outcome() == ("failure", 126, "spawn")
    assert result.ended.detail == shell.MISSING
