"""`--metrics-textfile`: what node_exporter reads, as Prometheus's own tools and client see it."""

import os
import stat
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.tools import program


def samples(project, name: str = "zf.prom") -> dict:
    text = (project.root / name).read_text()
    return {
        (one.name, *sorted(one.labels.items())): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


@pytest.fixture
def built(project):
    project.task("10-a", "true")
    project.task("20-b", "exit 1", phase="B")
    return project


def test_promtool_finds_nothing_wrong(built):
    promtool = program("promtool")
    assert built.zf("run-phase", "A", "B", "--metrics-textfile", "zf.prom").code == 1
    with (built.root / "zf.prom").open("rb") as file:
        done = subprocess.run([promtool, "check", "metrics"], stdin=file, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_every_sample_says_of_which_project_and_phases_it_is(built):
    assert built.zf("run-phase", "A", "B", "--metrics-textfile", "zf.prom").code == 1
    found = samples(built)
    common = (("phases", "A,B"), ("project", built.root.name))
    assert all(set(common) <= set(key[1:]) for key in found)
    assert found["zf_run_success", *common] == 0
    assert found["zf_run_completed_timestamp_seconds", *common] > 1_700_000_000
    assert "# EOF" not in (built.root / "zf.prom").read_text()


def test_labels_do_not_grow_from_run_to_run(built):
    seen = []
    for run in ("r", "s"):
        built.zf("run-phase", "A", "B", "--run-id", run, "--metrics-textfile", "zf.prom")
        seen.append(samples(built).keys())
    assert seen[0] == seen[1]
    assert not any(value in {"r", "s"} for key in seen[1] for _, value in key[1:])


def test_node_exporter_can_read_it_and_sees_it_whole(built):
    """It takes the place of the one before by a rename; another user's process can read it."""
    os.umask(0o022)
    built.zf("run-phase", "A", "--metrics-textfile", "zf.prom")
    first = (built.root / "zf.prom").stat()
    assert stat.S_IMODE(first.st_mode) == 0o644
    built.zf("run-phase", "A", "--metrics-textfile", "zf.prom")
    assert (built.root / "zf.prom").stat().st_ino != first.st_ino
    assert [path.name for path in built.root.glob(".*prom*")] == []


def test_an_old_run_is_written_the_same(built):
    built.zf("run-phase", "A", "--run-id", "r", "--metrics-textfile", "one.prom")
    assert built.zf("report", "r", "--metrics-textfile", "two.prom").code == 0
    assert (built.root / "one.prom").read_bytes() == (built.root / "two.prom").read_bytes()
