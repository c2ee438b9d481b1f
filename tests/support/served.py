"""A real server on a real port over a project of its own, and calls to it as a program makes them."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any, Self

from tests.support.program import Project
from tests.support.waiting import eventually
from zf.run.host.lock import is_run

DEADLINE_S = 60.0


class Answer:
    """What came back."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"{self.status} {self.body[:2000]!r}"


class Server:
    """`zf serve` on a free port of the loopback, or what `words` say; ended with the block."""

    def __init__(self, project: Project, *words: str, **tokens: str) -> None:
        """`tokens` are those that were made before, by their roles."""
        self.project = project
        self._words = words or ("serve",)
        self._tokens = tokens
        self.said = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, port: int = 0) -> None:
        """Start it, and wait until it says where it is."""
        self.process = self.project.popen(
            *self._words, "--port", str(port), stderr=subprocess.STDOUT
        )
        assert self.process.stdout is not None
        self.said = line = self.process.stdout.readline()
        found = re.search(r"https?://([^/\s]+):(\d+)/", line)
        assert found, line + self.process.stdout.read()
        self.host, self.port = found[1], int(found[2])

    def stop(self, number: int = signal.SIGINT) -> int:
        """End it; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(DEADLINE_S)
        assert self.process.stdout is not None
        if not self.process.stdout.closed:
            self.said += self.process.stdout.read()
            self.process.stdout.close()
        return code

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def token(self, role: str = "operator") -> str:
        """A token with this role, which is also its name."""
        if role not in self._tokens:
            done = self.project.zf("token", "create", role, "--role", role)
            self._tokens[role] = done.out.splitlines()[-1]
        return self._tokens[role]

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        role: str | None = "operator",
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> Answer:
        """One request, of a program with a token of this role; `body` is sent as JSON."""
        sent = {"Authorization": f"Bearer {self.token(role)}"} if role else {}
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        sent |= headers or {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.request(method, path, data, sent)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path: str, **how: Any) -> Answer:
        return self.call("GET", f"/api/v1{path}", **how)

    def post(self, path: str, body: Any = None, **how: Any) -> Answer:
        return self.call("POST", f"/api/v1{path}", body, **how)

    def run(self, **asked: Any) -> str:
        """The id of a run that is started with this body, once it is there: the server answers
        before, where a machine is so busy that this takes long.
        """
        found = self.post("/runs", asked)
        assert found.status == 202, found
        run = str(found.json["run"])
        eventually(lambda: self.get(f"/runs/{run}"), of=lambda there: there.status != 404)
        return run

    def ended(self, run: str) -> dict[str, Any]:
        """What is known of a run once it is over and sealed, and takes no orders any more."""
        proofs = f"{self.project.root}/proofs"
        return eventually(
            lambda: dict(self.get(f"/runs/{run}").json),
            of=lambda found: (
                found.get("ended") and found.get("sealed", True) and not is_run(proofs, run)
            ),
            seconds=DEADLINE_S,
        )

    def events(self, run: str, **headers: str) -> Iterator[dict[str, str]]:
        """The events of a run as they come, until its stream ends: `id`, `event` and `data`."""
        path = f"/api/v1/runs/{run}/events"
        sent = {"Authorization": f"Bearer {self.token()}", **headers}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.request("GET", path, headers=sent)
            response = connection.getresponse()
            assert response.status == 200, response.read()
            yield from parsed(response)
        finally:
            connection.close()


def parsed(stream: Any) -> Iterator[dict[str, str]]:
    """Server-sent events out of the lines of a stream."""
    found: dict[str, str] = {}
    for raw in stream:
        line = raw.decode().rstrip("\n")
        if line:
            name, _, value = line.partition(": ")
            found[name] = value
            continue
        if "data" in found:
            yield found
        found = {}
