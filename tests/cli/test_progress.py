"""What the watcher of a run says as time passes; the time is moved by hand."""

import os
import subprocess
import sys
import time

import pytest

from tests.support.report_samples import plan
from zf.cli.display.progress import Watcher
from zf.events import AttemptStarted, RunStarted
from zf.report.facts import Fold
from zf.settings import RunOptions


@pytest.fixture
def silence(tmp_path, capsys):
    """The lines said at a moment at which the running task's log has not grown for so long."""
    logs = tmp_path / "r1" / "a" / "20-logs"
    logs.mkdir(parents=True)
    fold = Fold(plan({"a": ()}))
    fold.apply(RunStarted("r1", ("A",), 1, "", "", None, None, None))
    fold.apply(AttemptStarted("a", 1, 0), 100.0)
    watcher = Watcher(RunOptions(typed={"progress": "plain"}), str(tmp_path))

    def said(at, silent_s):
        if silent_s is not None:
            (logs / "step-0.log").touch()
            then = time.time() - silent_s
            os.utime(logs / "step-0.log", (then, then))
        watcher.watch(None, fold.facts, at)
        return capsys.readouterr().err

    return said


def test_a_task_that_prints_is_not_said_to_be_running_all_the_time(silence):
    assert silence(at=160.5, silent_s=20) == ""
    assert silence(at=190.0, silent_s=49) == ""
    assert silence(at=201.0, silent_s=61) == "▸ running   a  1m41s  no output for 1m01s\n"
    # From here on once a minute, as long as it is silent.
    assert silence(at=230.0, silent_s=90) == ""
    assert silence(at=261.5, silent_s=121) == "▸ running   a  2m42s  no output for 2m01s\n"
    assert silence(at=330.0, silent_s=5) == ""
    assert silence(at=380.0, silent_s=55) == ""
    assert silence(at=386.0, silent_s=61) == "▸ running   a  4m46s  no output for 1m01s\n"


def test_one_that_never_printed_is_heard_of_a_minute_after_its_start(silence):
    assert silence(at=159.0, silent_s=None) == ""
    assert silence(at=160.0, silent_s=None) == "▸ running   a  1m00s\n"


def test_what_shows_a_run_is_imported_when_there_is_something_to_show():
    program = (
        "import sys\n"
        "from zf.cli.display.progress import Watcher\n"
        "from zf.settings import RunOptions\n"
        "Watcher(RunOptions(typed={'progress': 'plain'}), 'proofs')\n"
        "print([name for name in sys.modules if name.startswith('zf.report.terminal')])\n"
        "print([name for name in sys.modules if name.startswith('zf.cli.display.lines')])\n"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n[]\n"
