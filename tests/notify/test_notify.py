"""Messages about runs arrive at real receivers, at least once, and never get in a run's way."""

import json
import os
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import yaml
from aiosmtpd.controller import Controller
from standardwebhooks import Webhook

from tests.support.ports import free_port
from tests.support.waiting import eventually
from zf.notify.channels import channels
from zf.notify.delivery import send_due
from zf.notify.outbox import DELAYS_S, GIVEN_UP_AFTER_S, Letter, Outbox

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE = {"type": "run.failed", "subject": "p: phase A failed", "text": "a & <b>", "run": "r"}


@contextmanager
def receiver(answers=(200,), port=0):
    """A server that answers with these codes, the last one again and again; its address, and what
    it was sent.
    """
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((dict(self.headers), body))
            self.send_response(answers[min(len(got), len(answers)) - 1])
            self.send_header("location", "/elsewhere")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - as the library has it

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", got
    finally:
        server.shutdown()
        server.server_close()


def letter(channel, at=1000.0):
    return Letter("msg_1", channel, at, at, MESSAGE)


def sent(tmp_path, said, environ=None, now=1000.0):
    """One letter for the channel that says this, sent at that moment."""
    outbox = Outbox(str(tmp_path))
    outbox.put(letter("c", now))
    known = {one.name: one for one in channels({"c": said})}
    (attempt,) = send_due(outbox, known, environ or {}, lambda: now)
    return attempt, outbox


def test_a_webhook_is_what_the_library_of_its_standard_takes(tmp_path):
    with receiver() as (url, got):
        said = {"type": "webhook", "url_env": "URL", "secret_env": "S"}
        now = time.time()
        attempt, outbox = sent(tmp_path, said, {"URL": url, "S": SECRET}, now)
    assert not attempt.failed
    assert outbox.letters() == []
    ((headers, body),) = got
    data = Webhook(SECRET).verify(body, {key.lower(): value for key, value in headers.items()})
    assert data["type"] == "run.failed"
    assert data["data"]["run"] == "r"


@pytest.mark.parametrize("answer", [301, 302, 400, 404, 500])
def test_what_is_no_yes_is_no_delivery(tmp_path, answer):
    with receiver((answer,)) as (url, got):
        attempt, outbox = sent(tmp_path, {"type": "webhook", "url": url})
    assert str(answer) in attempt.failed
    assert len(got) == 1
    assert [one.attempts for one in outbox.letters()] == [1]


def test_a_receiver_that_is_down_for_an_hour_gets_it_once_it_is_back(tmp_path):
    outbox, port = Outbox(str(tmp_path)), free_port()
    outbox.put(letter("c"))
    said = {"type": "webhook", "url": f"http://127.0.0.1:{port}/hook", "secret_env": "S"}
    known = {one.name: one for one in channels({"c": said})}
    down_until, now, attempts = 1000.0 + 3600, 1000.0, []

    def attempt():
        nonlocal now
        due_at = outbox.letters()[0].due_at
        assert due_at >= now  # never sooner than it was to be
        now = due_at
        attempts.extend(send_due(outbox, known, {"S": SECRET}, lambda: now))

    while outbox.letters()[0].due_at < down_until:
        attempt()
    assert all("refused" in one.failed for one in attempts)
    with receiver((503, 200), port) as (_, got):
        while outbox.letters():
            attempt()
    # Once for the answer that was no yes, and once for the one that was: at least once, by one id.
    assert [headers["Webhook-Id"] for headers, _ in got] == ["msg_1", "msg_1"]
    # The first, those that failed within the hour, and the two that reached it.
    assert len(attempts) == 3 + len([1 for at in _moments() if at < 3600])
    assert now == 1000.0 + list(_moments())[len(attempts) - 2]


def _moments():
    """The attempts after the first one, in seconds from it."""
    at, number = 0.0, 0
    while at <= GIVEN_UP_AFTER_S:
        at += DELAYS_S[min(number, len(DELAYS_S) - 1)]
        number += 1
        yield at


def test_after_a_day_it_is_a_dead_letter_and_is_sent_when_asked_for(tmp_path):
    outbox = Outbox(str(tmp_path))
    outbox.put(letter("c"))
    while (due_at := outbox.letters()[0].due_at) is not None:
        assert due_at <= 1000.0 + GIVEN_UP_AFTER_S
        send_due(outbox, {}, {}, lambda moment=due_at: moment)
    assert send_due(outbox, {}, {}, lambda: 1e12) == []
    with receiver() as (url, got):
        known = {one.name: one for one in channels({"c": {"type": "webhook", "url": url}})}
        send_due(outbox, known, {}, lambda: 1e12, wanted=lambda _: True)
    assert len(got) == 1
    assert outbox.letters() == []


def test_chat_text_cannot_be_markup(tmp_path):
    with receiver() as (url, got):
        sent(tmp_path, {"type": "slack", "url": url})
    assert "a &amp; &lt;b&gt;" in json.loads(got[0][1])["text"]


def test_an_email_arrives_as_plain_text(tmp_path):
    mails = []

    class Keep:
        async def handle_DATA(self, server, session, envelope):  # noqa: N802 - as the library has it
            mails.append(envelope)
            return "250 kept"

    server = Controller(Keep(), hostname="127.0.0.1", port=free_port())
    server.start()
    try:
        attempt, _ = sent(
            tmp_path,
            {
                "type": "email",
                "to": ["ops@example.org"],
                "from": "zf@example.org",
                "server": f"127.0.0.1:{server.port}",
            },
        )
    finally:
        server.stop()
    assert not attempt.failed
    (mail,) = mails
    assert mail.rcpt_tos == ["ops@example.org"]
    text = mail.content.decode()
    assert "Subject: p: phase A failed" in text
    assert "a & <b>" in text


def test_a_mail_that_was_not_taken_is_sent_again(tmp_path):
    answers, mails = ["451 later", "250 kept"], []

    class Busy:
        async def handle_DATA(self, server, session, envelope):  # noqa: N802 - as the library has it
            mails.append(envelope)
            return answers[len(mails) - 1]

    server = Controller(Busy(), hostname="127.0.0.1", port=free_port())
    server.start()
    said = {"type": "email", "to": ["ops@example.org"], "from": "zf@example.org"}
    try:
        first, outbox = sent(tmp_path, said | {"server": f"127.0.0.1:{server.port}"})
        assert "451" in first.failed
        (waiting,) = outbox.letters()
        known = {
            one.name: one for one in channels({"c": said | {"server": f"127.0.0.1:{server.port}"}})
        }
        (second,) = send_due(outbox, known, {}, lambda: waiting.due_at)
    finally:
        server.stop()
    assert not second.failed
    assert len(mails) == 2
    assert outbox.letters() == []


@pytest.mark.parametrize(
    ("run", "failed"),
    [("cat > got", ""), ("echo no; exit 3", "code 3: no"), ("sleep 1000 & wait", "longer")],
)
def test_a_command_gets_the_message_and_is_ended_with_all_it_started(
    tmp_path, monkeypatch, run, failed
):
    monkeypatch.chdir(tmp_path)
    said = {"type": "command", "run": run, "timeout_sec": 30 if "cat" in run else 1}
    attempt, _ = sent(tmp_path, said, dict(os.environ))
    assert failed in attempt.failed
    if not failed:
        assert json.loads((tmp_path / "got").read_text())["text"] == "a & <b>"


def test_two_that_send_at_once_send_it_once(tmp_path):
    outbox = Outbox(str(tmp_path))
    outbox.put(letter("c"))
    with outbox.sending() as first:
        assert first
        assert send_due(outbox, {}, {}, lambda: 1000.0) == []


def test_what_is_no_letter_is_passed_over(tmp_path):
    outbox = Outbox(str(tmp_path))
    outbox.put(letter("c"))
    (tmp_path / ".outbox" / "broken.json").write_text("{")
    (tmp_path / ".outbox" / "msg_2.json").write_text((tmp_path / ".outbox/msg_1.json").read_text())
    assert [one.id for one in outbox.letters()] == ["msg_1"]


def configured(project, **channel):
    (project.root / "zf.yaml").write_text(yaml.safe_dump({"notify": {"ops": channel}}))


def told(project):
    """What waits to be sent."""
    return json.loads(project.zf("notify", "--json").out)


def test_the_first_failure_is_told_and_the_run_that_mends_it(project):
    project.task("a", "echo the-secret-$KEY; test -e ok", pass_env=["KEY"], secrets=["KEY"])
    project.env["KEY"] = "hunter2-hunter2"
    with receiver() as (url, got):
        project.env |= {"HOOK": url, "CI": "1"}  # in CI a run waits for its messages
        configured(project, type="webhook", url_env="HOOK", log_lines=5, link="https://z/{run}")
        assert project.zf("run", "--run-id", "r1").code == 1
        assert project.zf("run").code == 1
        (project.root / "ok").touch()
        assert project.zf("run", "--run-id", "r3").code == 0
        assert project.zf("run").code == 0
    said = [json.loads(body) for _, body in got]
    assert [(one["type"], one["data"]["run"]) for one in said] == [
        ("run.failed", "r1"),
        ("run.recovered", "r3"),
    ]
    first = said[0]["data"]
    assert first["causes"][0]["task"] == "a"
    assert first["link"] == "https://z/r1"
    assert first["logs"]["a"][0].startswith("the-secret-")
    assert b"hunter2" not in b"".join(body for _, body in got)
    assert told(project) == []


def test_a_receiver_that_is_not_there_changes_nothing_of_a_run(project):
    project.task("a", "false")
    configured(project, type="webhook", url="http://127.0.0.1:9/x", every=True)
    project.env["CI"] = "1"
    done = project.zf("run", "--run-id", "r1")
    assert done.code == 1
    assert "FAIL r1" in done.out
    assert project.zf("verify", "r1").code in {0, 1}
    (waiting,) = told(project)
    assert waiting["attempts"] == 1
    assert "refused" in waiting["failed"]
    assert project.zf("notify", "drop", waiting["id"]).code == 0
    assert project.zf("notify").out == "no message waits to be sent\n"


def test_a_run_does_not_wait_for_a_receiver_that_does_not_answer(project):
    """It has ended, and has a whole proof, while its message is still on its way."""
    os.mkfifo(project.root / "gate")
    project.task("a", "false")
    configured(project, type="command", run="read line < gate && touch arrived", timeout_sec=300)
    assert project.zf("run", "--run-id", "r1").code == 1
    assert project.zf("verify", "r1").code == 0
    (waiting,) = told(project)
    assert waiting["attempts"] == 0
    (project.root / "gate").write_text("go\n")  # until there is someone who reads it
    eventually((project.root / "arrived").exists)
    eventually(lambda: told(project) == [])


def test_a_run_that_tells_loads_nothing_of_what_sends(project):
    project.task("a", "false")
    configured(project, type="command", run="true")
    project.env["PYTHONPROFILEIMPORTTIME"] = "1"
    done = project.zf("run", "--run-id", "r1")
    loaded = {line.rpartition("|")[2].strip() for line in done.err.splitlines()}
    assert "zf.notify.outbox" in loaded
    assert not loaded & {"ssl", "smtplib", "http.client", "email.message", "urllib.request"}
    assert "zoneinfo" not in loaded  # which schedules need


def test_a_run_of_other_tasks_mends_nothing(project):
    project.task("a", "test -e ok")
    project.task("b", "true")
    configured(project, type="command", run="cat >> sent; echo >> sent")
    project.env["CI"] = "1"
    project.zf("run")
    project.zf("run", "b")
    assert (project.root / "sent").read_text().count("run.recovered") == 0
    (project.root / "ok").touch()
    project.zf("run")
    assert (project.root / "sent").read_text().count("run.recovered") == 1


def test_a_task_that_waits_for_an_approval_is_told_at_once(project):
    """And the sender is no child that the run waits for, nor one that it ends."""
    project.task("a", "true", approval={"by": ["ann"], "prompt": "Is it good?"})
    (project.root / "zf.yaml").write_text(
        yaml.safe_dump(
            {
                "approvers": {"tokens": ["ann"]},
                "notify": {"ops": {"type": "command", "run": "cat > told", "on": ["waiting"]}},
            }
        )
    )
    run = project.popen("run", "--run-id", "r1")
    end = time.monotonic() + 60
    while not (told := project.root / "told").exists() or not told.read_text().endswith("}"):
        assert time.monotonic() < end
        assert run.poll() is None
    said = json.loads(told.read_text())
    assert said["type"] == "run.waiting"
    assert "Is it good?" in said["text"]
    assert "zf approve r1 a" in said["text"]
    assert project.zf("cancel", "r1").code == 0
    run.communicate(timeout=60)


@pytest.mark.parametrize(
    ("channel", "code"),
    [
        ({"type": "webhook"}, "ZF862"),
        ({"type": "webhook", "url": "https://a", "url_env": "A"}, "ZF862"),
        ({"type": "email", "to": ["a@b"]}, "ZF862"),
        ({"type": "command", "run": "x", "url": "https://a"}, "ZF861"),
        ({"type": "command", "run": "x", "phases": ["Q"]}, "ZF863"),
        ({"type": "pigeon"}, "zf.yaml:3"),
        ({"type": "webhook", "url": "ftp://a"}, "ZF864"),
        ({"type": "email", "to": ["a b"], "from": "a@b"}, "ZF864"),
        ({"type": "email", "to": ["a@b"], "from": "a@b", "server": "x y"}, "ZF864"),
    ],
)
def test_what_a_channel_may_not_say_is_told_with_its_place(project, channel, code):
    project.task("a", "true")
    configured(project, **channel)
    done = project.zf("validate")
    assert done.code == 2
    assert code in done.err
    assert "zf.yaml:" in done.err


def test_a_channel_is_tried(project):
    project.task("a", "true")
    configured(project, type="command", run="cat > tried")
    assert project.zf("notify", "test", "ops").out == "ops: sent\n"
    assert "the channel works" in (project.root / "tried").read_text()
    assert "did you mean 'ops'?" in project.zf("notify", "test", "op").err
