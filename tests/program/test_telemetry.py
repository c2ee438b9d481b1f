"""Runs as OpenTelemetry's spans: what steps are told of the trace, what a collector gets, and that
one that is dead costs next to nothing.
"""

import json
import re
import socket

import pytest

from tests.support.collector import collecting, values

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TELL = 'printf "%s" "$TRACEPARENT" > "$ARTIFACTS_DIR/told.$STEP_INDEX"'


def told(project, task: str, step: int = 0, run: str = "r") -> str:
    return (project.root / f"proofs/{run}/{task}/30-artifacts/told.{step}").read_text()


def begun(project, run: str = "r") -> dict:
    lines = (project.root / f"proofs/{run}/events.jsonl").read_text().splitlines()
    return json.loads(lines[0])


def by_id(collector) -> dict:
    """The spans of tasks, attempts and steps by the ids of their runs; the others by name."""
    found = {}
    for span in collector.spans:
        name = values(span).get("cicd.pipeline.task.run.id", span.name)
        assert name not in found
        found[name] = span
    return found


def test_each_step_is_told_the_span_that_is_exported_for_it(project):
    project.task("10-a", TELL, TELL, cleanup=[{"name": "tidy", "run": "true"}])
    project.task("20-b", "exit 3", needs=["10-a"])
    project.task("30-c", "true", needs=["20-b"])
    with collecting() as collector:
        done = project.zf("run-phase", "A", "--run-id", "r", f"--otlp={collector.url}")
    assert done.code == 1
    trace_id = begun(project)["trace_id"]
    assert re.fullmatch("[0-9a-f]{32}", trace_id)
    assert (
        f"sent {len(collector.spans)} spans of trace {trace_id} to {collector.url}/v1/traces"
        in (done.err)
    )
    assert collector.paths == ["/v1/traces"]
    spans = by_id(collector)
    assert {span.trace_id.hex() for span in spans.values()} == {trace_id}
    for number in (0, 1):
        step = spans[f"10-a.1/step-{number}"]
        assert step.name == f"step {number + 1}"
        assert told(project, "10-a", number) == f"00-{trace_id}-{step.span_id.hex()}-01"
    above = {span.span_id: span for span in spans.values()}

    def path(span) -> list[str]:
        return (
            [*path(above[span.parent_span_id]), span.name] if span.parent_span_id else [span.name]
        )

    assert path(spans["10-a.1/step-1"]) == ["RUN A", "phase A", "10-a", "10-a attempt 1", "step 2"]
    for span in spans.values():
        assert span.start_time_unix_nano <= span.end_time_unix_nano
    root = spans["RUN A"]
    assert root.kind == root.SPAN_KIND_SERVER
    assert values(root)["cicd.pipeline.result"] == "failure"
    assert root.status.code == root.status.STATUS_CODE_ERROR
    assert collector.resource["service.name"] == "zf"
    assert collector.resource["cicd.pipeline.run.id"] == "r"
    assert collector.resource["cicd.pipeline.name"] == "A"
    task = values(spans["20-b"])
    assert task["cicd.pipeline.task.name"] == "20-b"
    assert task["cicd.pipeline.task.run.result"] == "failure"
    assert task["error.type"] == "exit"
    assert "10-a.1/cleanup-0" in spans
    assert values(spans["30-c"])["cicd.pipeline.task.run.result"] == "skip"


def test_the_span_above_comes_from_outside(project):
    project.env["TRACEPARENT"] = PARENT
    project.task("10-a", TELL)
    with collecting() as collector:
        assert project.zf("run-phase", "A", "--run-id", "r", f"--otlp={collector.url}").code == 0
    assert begun(project)["trace_id"] == PARENT[3:35]
    assert begun(project)["traceparent"] == PARENT
    assert told(project, "10-a").startswith(PARENT[:36])
    assert by_id(collector)["RUN A"].parent_span_id.hex() == PARENT[36:52]
    assert project.zf("verify", "r").code == 0


@pytest.mark.parametrize(
    "bad", ["", "x", PARENT.upper(), PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32)]
)
def test_what_is_no_traceparent_begins_a_new_trace(project, bad):
    project.env["TRACEPARENT"] = bad
    project.task("10-a", TELL)
    assert project.zf("run-phase", "A", "--run-id", "r").code == 0
    assert begun(project)["traceparent"] == ""
    assert begun(project)["trace_id"] not in {"", PARENT[3:35], "0" * 32}
    assert told(project, "10-a")[3:35] == begun(project)["trace_id"]


def test_runs_are_told_apart_in_one_trace_and_alike_when_sent_again(project):
    project.env["TRACEPARENT"] = PARENT
    project.task("10-a", "true")
    for run in ("r", "s"):
        assert project.zf("run-phase", "A", "--run-id", run).code == 0
    seen = []
    for run in ("r", "s", "r"):
        with collecting() as collector:
            done = project.zf(
                "export",
                "--json",
                "--otlp",
                run,
                env={
                    "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url + "/",
                    "OTEL_EXPORTER_OTLP_HEADERS": "x-key=abc",
                    "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
                    "OTEL_SERVICE_NAME": "builds",
                    "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=ci",
                },
            )
        assert done.code == 0, done.err
        assert json.loads(done.out) == {
            "spans": len(collector.spans),
            "trace_id": PARENT[3:35],
            "endpoint": f"{collector.url}/v1/traces",
        }
        assert collector.paths == ["/v1/traces"]
        assert collector.headers[0]["x-key"] == "abc"
        assert collector.resource["service.name"] == "builds"
        assert collector.resource["deployment.environment.name"] == "ci"
        seen.append({span.SerializeToString(deterministic=True) for span in collector.spans})
    assert seen[0] == seen[2]
    assert not seen[0] & seen[1]


def test_every_attempt_is_a_span_of_its_own(project):
    project.task("10-a", 'test "$ATTEMPT" = 2', max_retries=1)
    with collecting() as collector:
        assert project.zf("run-phase", "A", "--run-id", "r", f"--otlp={collector.url}").code == 0
    results = {
        (span.name, values(span).get("cicd.pipeline.task.run.result"))
        for span in collector.spans
        if span.name.startswith("10-a")
    }
    assert results == {
        ("10-a", "success"),
        ("10-a attempt 1", "failure"),
        ("10-a attempt 2", "success"),
    }
    steps = [span for span in collector.spans if span.name == "step 1"]
    assert len({span.span_id for span in steps}) == len({s.parent_span_id for s in steps}) == 2


def test_a_killed_run_is_sent_as_far_as_it_came(project):
    project.task("10-a", "true")
    project.task("20-b", "kill -9 $(ps -o ppid= -p $PPID); sleep 60", needs=["10-a"])
    project.zf("run-phase", "A", "--run-id", "r", "-j", "1")
    with collecting() as collector:
        done = project.zf("export", f"--otlp={collector.url}", "r")
    assert done.code == 0, done.err
    assert values(by_id(collector)["10-a"])["cicd.pipeline.task.run.result"] == "success"


@pytest.mark.parametrize("status", [307, 400, 503])
def test_a_collector_that_refuses_changes_nothing(project, status):
    project.task("10-a", "true")
    with collecting(status) as collector:
        done = project.zf("run-phase", "A", "--run-id", "r", f"--otlp={collector.url}")
        assert done.code == 0
        assert "ZF663" in done.err
        assert ("which is not followed: 307" in done.err) == (status == 307)
        assert "zf export --otlp r" in done.err
        env = {"OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
        assert project.zf("export", f"--otlp={collector.url}", "r", env=env).code == 2
    assert project.zf("verify", "r").code == 0


def test_a_collector_that_is_not_there_is_told_with_the_reason(project):
    project.task("10-a", "true")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = project.zf("run-phase", "A", "--run-id", "r", f"--otlp=http://u:hush@127.0.0.1:{port}")
    assert done.code == 0
    assert f"the collector at http://127.0.0.1:{port}/v1/traces has not taken the spans" in done.err
    assert "Connection refused" in done.err
    assert "hush" not in done.err


def test_what_a_step_is_told_is_no_difference_between_two_runs(project):
    project.task("10-a", "true")
    for run in ("r", "s"):
        assert project.zf("run-phase", "A", "--run-id", run).code == 0
    assert "TRACEPARENT" not in (project.root / "proofs/r/10-a/00-meta/env.sh").read_text()
    assert "TRACEPARENT" not in project.zf("diff", "r", "s").out


def test_a_run_that_is_resumed_goes_on_with_its_trace(project):
    """Its steps are told the trace of the run, not that of whatever resumes it."""
    project.task("10-a", 'test -e "$ZENFLOW_ROOT/again" || kill -9 $(ps -o ppid= -p $PPID)', TELL)
    project.zf("run-phase", "A", "--run-id", "r")
    (project.root / "again").touch()
    done = project.zf("resume", "r", env={"TRACEPARENT": PARENT})
    assert done.code == 0, done.err
    assert told(project, "10-a", 1)[3:35] == begun(project)["trace_id"] != PARENT[3:35]


def test_a_collector_that_is_silent_is_given_up(project):
    """It takes connections and says nothing: the run ends, with the code it has without one."""
    project.task("10-a", "exit 4")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = project.zf(
            "run-phase",
            "A",
            "--run-id",
            "r",
            env={"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_TIMEOUT": "600"},
        )
    assert done.code == 1
    assert "ZF663" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "env",
    [
        {"OTEL_SDK_DISABLED": "true"},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"TRACEPARENT": PARENT[:-1] + "0"},
    ],
)
def test_what_the_environment_does_not_want_is_not_sent(project, env):
    project.task("10-a", TELL)
    with collecting() as collector:
        env |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        done = project.zf("run-phase", "A", "--run-id", "r", env=env)
        assert (done.code, collector.spans) == (0, [])
        assert "spans" not in done.err
        assert told(project, "10-a").endswith("-00") is ("TRACEPARENT" in env)
        assert project.zf("export", "--otlp", "r", env=env).code == 0
        assert collector.spans


def test_without_the_extra_one_sentence_says_what_to_install(project, tmp_path):
    project.task("10-a", "true")
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry/__init__.py").write_text("raise ImportError\n")
    env = {"PYTHONPATH": str(tmp_path), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:9"}
    done = project.zf("run-phase", "A", "--run-id", "r", env=env)
    assert done.code == 0
    assert "pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http" in done.err
    assert len(done.err.split("ZF664")) == 2
    assert project.zf("export", "--otlp", "r", env=env).code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run-phase", "A", "--otlp=localhost:4318"), "must be a URL"),
        (("export", "--otlp=ftp://x", "r"), "must be a URL"),
        (("export", "--otlp", "r", "-o", "x.tar"), "name one of them"),
        (("export", "r"), "name one of them"),
    ],
)
def test_bad_words_are_refused(project, words, message):
    project.task("10-a", "true")
    done = project.zf(*words)
    assert (done.code, message in done.err) == (2, True), done.err


def test_grpc_is_not_spoken(project):
    project.task("10-a", "true")
    project.zf("run-phase", "A", "--run-id", "r")
    done = project.zf("export", "--otlp", "r", env={"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    assert done.code == 2
    assert "zf sends runs over HTTP" in done.err
