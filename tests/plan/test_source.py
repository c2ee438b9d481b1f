"""Files that are no text, too big, or not there: one clear sentence each, and never a hang."""

import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.plan_files import good, loaded, said, write
from zf.plan import load
from zf.plan.yaml import source

TASK = "tasks/x/task.yaml"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(
            b"#" * (16 << 20) + b"\n",
            "tasks/x/task.yaml: error[ZF202]: the file is larger than 16777216 bytes (16 MiB)\n"
            "  hint: keep long scripts in files of their own and call them from `run`",
            id="too big",
        ),
        pytest.param(
            b"id: x\ntitle: caf\xe9\n",
            "tasks/x/task.yaml:2:11: error[ZF203]: the file is not UTF-8: byte 0xe9\n"
            "  hint: save it as UTF-8",
            id="latin-1",
        ),
        pytest.param(
            "id: x\n".encode("utf-16"),
            "tasks/x/task.yaml:1:1: error[ZF203]: the file is UTF-16, not UTF-8\n"
            "  hint: save it as UTF-8",
            id="utf-16",
        ),
        pytest.param(
            b"\xef\xbb\xbfid: x\n",
            "tasks/x/task.yaml:1:1: error[ZF204]: the file starts with a byte order mark (BOM)\n"
            "  hint: save it as UTF-8 without BOM",
            id="byte order mark",
        ),
        pytest.param(
            b"id: x\r\ntitle: a\x00b\r\n",
            "tasks/x/task.yaml:2:9: error[ZF205]: the file holds the control character U+0000\n"
            "  2 | title: a\\x00b\n"
            "    |         ^^^^ remove it, or write it as an escape inside double quotes",
            id="NUL",
        ),
        pytest.param(
            "# ends\u2028here\nid: x\n".encode(),
            "tasks/x/task.yaml:1:7: error[ZF205]: the file holds the control character U+2028\n"
            "  1 | # ends\\u2028here\n"
            "    |       ^^^^^^ remove it, or write it as an escape inside double quotes",
            id="a line break only YAML 1.1 sees",
        ),
        pytest.param(
            ("#" * 300 + "\x07\n").encode(),
            "tasks/x/task.yaml:1:301: error[ZF205]: the file holds the control character U+0007\n"
            "  hint: remove it, or write it as an escape inside double quotes",
            id="far to the right the line is not shown",
        ),
    ],
)
def test_what_is_no_text(tmp_path, content, expected):
    assert said(tmp_path, {"x": content}) == expected


def test_exactly_the_greatest_size_is_read(tmp_path):
    text = good("x")
    text += "#" * ((1 << 20) - len(text))
    assert loaded(tmp_path, {"x": text}).flow is not None


def test_a_folder_called_task_yaml(tmp_path):
    (tmp_path / TASK).mkdir(parents=True)
    assert said(tmp_path) == f"{TASK}: error[ZF201]: the file cannot be read: it is a folder"


def test_a_link_to_nothing(tmp_path):
    (tmp_path / "tasks/x").mkdir(parents=True)
    (tmp_path / TASK).symlink_to("elsewhere")
    assert said(tmp_path) == (
        f"{TASK}: error[ZF201]: the file cannot be read: it is a symbolic link to nothing"
    )


def test_a_loop_of_links(tmp_path):
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/x").symlink_to("y")
    (tmp_path / "tasks/y").symlink_to("x")
    assert said(tmp_path) == (
        "tasks/x/task.yaml: error[ZF201]: the file cannot be read:"
        " Too many levels of symbolic links\n"
        "tasks/y/task.yaml: error[ZF201]: the file cannot be read:"
        " Too many levels of symbolic links"
    )


def test_a_folder_that_links_to_nothing(tmp_path):
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/x").symlink_to("elsewhere")
    assert said(tmp_path) == (
        "tasks/x: error[ZF201]: the file cannot be read: it is a symbolic link to nothing"
    )


@pytest.mark.parametrize("above", [".", "..", "../..", "/"])
def test_a_folder_that_links_to_the_folder_above_it_ends(tmp_path, above):
    write(tmp_path, {"x": good("x")})
    (tmp_path / "tasks/x/again").symlink_to("..")
    (tmp_path / "tasks/loop").symlink_to(above)
    found = loaded(tmp_path)
    assert found.flow is not None
    assert found.problems == ()


def test_what_a_link_brings_in_from_elsewhere_is_told(tmp_path):
    write(tmp_path, {"x": good("x")})
    (tmp_path / "elsewhere/y").mkdir(parents=True)
    (tmp_path / "elsewhere/y/task.yaml").write_text(good("y"))
    (tmp_path / "tasks/group").symlink_to("../elsewhere")
    [problem] = loaded(tmp_path).problems
    assert (problem.code, problem.file) == ("ZF219", "tasks/group/y/task.yaml")


def test_a_named_pipe_is_not_waited_for(tmp_path):
    (tmp_path / "tasks/x").mkdir(parents=True)
    os.mkfifo(tmp_path / TASK)
    assert said(tmp_path) == (
        f"{TASK}: error[ZF201]: the file cannot be read: it is no regular file"
    )


def test_an_endless_device_is_not_read(tmp_path):
    (tmp_path / "tasks/x").mkdir(parents=True)
    (tmp_path / TASK).symlink_to("/dev/zero")
    assert said(tmp_path) == (
        f"{TASK}: error[ZF201]: the file cannot be read: it is no regular file"
    )


def test_a_socket_is_not_opened(tmp_path, monkeypatch):
    (tmp_path / "tasks/x").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "tasks/x")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("task.yaml")  # the whole path may be too long for a socket
        assert said(tmp_path) == (
            f"{TASK}: error[ZF201]: the file cannot be read: No such device or address"
        )


def test_a_file_without_permission():
    # Root may read everything, so the test gives up being root, in a place nobody may enter.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        write(folder, {"x": good("x")})
        (folder / TASK).chmod(0)
        assert as_nobody(lambda: said(folder)) == (
            f"{TASK}: error[ZF201]: the file cannot be read: Permission denied"
        )


def as_nobody(read: Callable[[], str]) -> str:
    """What `read` returns in a child process without root's rights."""
    incoming, outgoing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            os.write(outgoing, read().encode())
        finally:
            os._exit(0)
    os.close(outgoing)
    with os.fdopen(incoming, "rb") as pipe:
        text = pipe.read().decode()
    os.waitpid(child, 0)
    return text


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
def test_a_file_whose_size_is_not_known_beforehand():
    found = source.read("/proc/self/status", "status")
    assert isinstance(found, source.Source)
    assert found.text.startswith("Name:")


def test_a_tasks_folder_that_is_not_there(tmp_path):
    found = load.load(str(tmp_path), str(tmp_path), default_phase_timeout_s=1)
    assert [p.render() for p in found.problems] == [
        "tasks: error[ZF201]: cannot be read: No such file or directory"
    ]
