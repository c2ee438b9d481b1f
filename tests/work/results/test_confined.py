"""Files that harm what reads them harm a process made for that, and cost one answer."""

import fcntl
import json
import os
import signal
import time

import pytest

from zf.proof.files import FOLDER
from zf.work.results import junit
from zf.work.results.confined import StoppedError, read_all
from zf.work.results.junit import Counts

GOOD = b'<testsuite><testcase name="a"/></testsuite>'


def never():
    return ""


@pytest.fixture
def folder(tmp_path):
    for name in ("a.xml", "b.xml", "c.xml"):
        (tmp_path / name).write_bytes(GOOD)
    fd = os.open(tmp_path, FOLDER)
    yield fd
    os.close(fd)


def answers(folder, *paths, hide=str, stop_reason=never, limit_s=30.0):
    return dict(read_all(folder, paths, hide, stop_reason, limit_s))


def opened():
    """What is open in this process beyond the standard streams: the last part of its name."""
    found = {}
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd > 2 and os.path.lexists(link := f"/proc/self/fd/{fd}"):
            found[os.readlink(link).partition(":")[0].rpartition("/")[2]] = fd
    return found


def harmed_by(monkeypatch, harm):
    """Have one file do what a bug of the parser's could let it do."""
    read = junit.read

    def reading(stream, hide):
        if os.readlink(f"/proc/self/fd/{stream.fileno()}").endswith("/b.xml"):
            harm()
        return read(stream, hide)

    monkeypatch.setattr(junit, "read", reading)


def test_each_file_has_its_answer(folder, tmp_path):
    (tmp_path / "b.xml").write_text("<a")
    found = answers(folder, "a.xml", "b.xml", "gone.xml", "../c.xml")
    assert found["a.xml"].counts == Counts(total=1)
    assert found["b.xml"].problem.startswith("is not well-formed XML")
    assert found["gone.xml"].problem == "cannot be read: No such file or directory"
    assert found["../c.xml"].problem == "cannot be read: not a path inside the folder"


@pytest.mark.parametrize(
    ("harm", "how"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), "was ended by SIGSEGV"),
        (lambda: os._exit(0), "reading it ended early"),
        (lambda: os.write(opened()["pipe"], b"{nonsense\n") and signal.pause(), "SIGKILL"),
        (lambda: bytearray(3 * 1024**3), "not enough memory"),
    ],
    ids=["crash", "exit", "nonsense", "memory"],
)
def test_one_that_ends_the_process_costs_no_other(folder, monkeypatch, harm, how):
    harmed_by(monkeypatch, harm)
    found = answers(folder, "a.xml", "b.xml", "c.xml")
    assert how in found["b.xml"].problem
    assert found["a.xml"].counts == found["c.xml"].counts == Counts(total=1)


def test_what_takes_too_long_is_stopped(folder, monkeypatch):
    harmed_by(monkeypatch, signal.pause)
    with pytest.raises(StoppedError, match="it took too long"):
        answers(folder, "a.xml", "b.xml", limit_s=0.5)


def test_an_order_to_stop_is_followed(folder, monkeypatch):
    harmed_by(monkeypatch, signal.pause)
    began = time.monotonic()
    with pytest.raises(StoppedError, match="collecting the artifacts was stopped"):
        answers(folder, "b.xml", stop_reason=lambda: "now" if time.monotonic() > began else "")


def test_nothing_else_is_open_in_it_and_it_ends_by_itself(folder, monkeypatch, tmp_path):
    # One below what is needed there, and one far above.
    low = os.open(tmp_path / "a.xml", os.O_RDONLY)
    there = low, fcntl.fcntl(low, fcntl.F_DUPFD, 200)
    said = tmp_path / "said"

    def look():
        left = signal.getitimer(signal.ITIMER_REAL)[0]
        said.write_text(json.dumps([sorted(opened()), 0 < left <= 32]))

    harmed_by(monkeypatch, look)
    answers(folder, "b.xml")
    for fd in there:
        os.close(fd)
    assert json.loads(said.read_text()) == [sorted(("b.xml", "pipe", tmp_path.name)), True]


def test_secrets_are_hidden_before_anything_comes_back(folder, tmp_path):
    (tmp_path / "a.xml").write_text(
        '<testsuite><testcase name="hunter2"><failure/></testcase></testsuite>'
    )
    found = answers(folder, "a.xml", hide=lambda text: text.replace("hunter2", "***"))
    assert found["a.xml"].counts.cases[0].name == "***"
