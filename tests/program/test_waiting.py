"""What a waiting task waits for, asked of a run that goes on in another process."""

import json
import os
import subprocess


def test_status_and_explain_say_what_a_task_waits_for(project):
    os.mkfifo(project.root / "ready")
    os.mkfifo(project.root / "go")
    beside = {"parallel_safe": True}
    project.task("a", "echo >ready; read <go", priority=1, resources={"gpu": 1}, **beside)
    project.task("b", "true", resources={"gpu": 1}, **beside)
    project.task("c", "true", needs=["b"], **beside)
    words = ("run-phase", "A", "--run-id", "r", "--resource", "gpu=1")
    run = project.popen(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        (project.root / "ready").read_bytes()
        waits = json.loads(project.zf("status", "r", "--json").out)["waits"]
        table = project.zf("status", "r").out
        explained = project.zf("explain", "r", "b").out
        told = json.loads(project.zf("explain", "r", "--json").out)["waits"]
        (project.root / "go").write_bytes(b"\n")
        assert run.wait(timeout=60) == 0
    finally:
        run.kill()
        run.wait()
    why = {"why": "resource", "tasks": ["a"], "name": "gpu"}
    assert waits["b"] == {**why, "told": "waits for 1 gpu, 0 free: a has 1"}
    assert (waits["c"]["why"], waits["c"]["tasks"]) == ("need", ["b"])
    assert set(waits) == {"b", "c"}
    assert told == waits
    assert "waits for 1 gpu, 0 free: a has 1" in table
    assert "  waits:    for 1 gpu, 0 free: a has 1\n" in explained
    assert json.loads(project.zf("status", "r", "--json").out)["waits"] == {}
