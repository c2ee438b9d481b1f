"""Which requests are let in: hosts, origins, kinds of body, tokens, roles; and what is recorded."""

import http.client
import json
import ssl
import subprocess

import pytest

from tests.support.served import Answer, Server

pytestmark = pytest.mark.xdist_group("served")

JSON = {"Content-Type": "application/json"}
RUNS = "/api/v1/runs"


def audit(server):
    path = server.project.root / ".zenflow/server/audit.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def own_page(server, **more):
    """What a browser sends with a fetch of our own page."""
    origin = f"http://127.0.0.1:{server.port}"
    return {"Origin": origin, "Sec-Fetch-Site": "same-origin", **JSON, **more}


def logged_in(server, role="operator"):
    """The session's cookie of a browser that has this role's token."""
    answer = server.call(
        "POST", "/session", {"token": server.token(role)}, role=None, headers=own_page(server)
    )
    assert answer.status == 200, answer
    return answer.headers["Set-Cookie"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", "127.0.0.1.evil.example", ""])
@pytest.mark.parametrize("path", ["/", "/api/v1/health", "/api/v1/runs", "/static/x", "/none"])
def test_no_route_answers_under_another_host(shared, host, path):
    answer = shared.call("GET", path, headers={"Host": host})
    assert (answer.status, answer.json["code"]) == (403, "ZF810")


def test_the_names_of_the_loopback_are_known(shared):
    for name in ("localhost", "127.0.0.1", "[::1]"):
        headers = {"Host": f"{name}:{shared.port}"}
        assert shared.get("/health", role=None, headers=headers).status == 200


def test_every_answer_says_what_a_browser_may_do_with_it(shared):
    for path in ("/api/v1/health", "/api/v1/runs", "/none", "/api/v1/runs/none"):
        headers = shared.call("GET", path).headers
        policy = headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "{own}"}, 403),  # a bearer token is for programs
        ({"Sec-Fetch-Site": "same-origin"}, 403),
        ({"Cookie": "a=b"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
    ],
)
def test_a_program_that_sends_what_browsers_send_is_refused_and_recorded(shared, headers, status):
    own = f"http://127.0.0.1:{shared.port}"
    sent = {name: value.replace("{own}", own) for name, value in headers.items()}
    before = len(audit(shared))
    answer = shared.call("POST", RUNS, headers=JSON | sent, data=b'{"phases": ["E"]}')
    assert answer.status == status, answer
    [line] = audit(shared)[before:]
    assert (line["who"], line["status"], line["path"]) == ("operator", status, RUNS)
    assert line["address"] == "127.0.0.1"


@pytest.mark.parametrize("path", ["/runs", "/login", "/api/v1/health"])
@pytest.mark.parametrize("kind", ["iframe", "frame", "fencedframe", "embed", "object"])
def test_what_is_asked_for_in_a_frame_is_refused_and_recorded(shared, path, kind):
    before = len(audit(shared))
    answer = shared.call("GET", path, headers={"Sec-Fetch-Dest": kind})
    assert (answer.status, answer.json["code"]) == (403, "ZF812")
    [line] = audit(shared)[before:]
    assert (line["path"], line["status"], line["code"]) == (path, 403, "ZF812")
    assert shared.call("GET", path, headers={"Sec-Fetch-Dest": "document"}).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": ""},
        {"Content-Type": "text/plain"},
        {"Content-Type": ""},
    ],
)
def test_a_page_of_another_origin_is_refused_though_it_has_the_cookie(shared, headers):
    cookie = logged_in(shared).partition(";")[0]
    sent = own_page(shared, Cookie=cookie)
    body = b'{"phases": ["none"]}'
    assert shared.call("POST", RUNS, role=None, headers=sent, data=body).json["code"] == "ZF102"
    before = len(audit(shared))
    answer = shared.call("POST", RUNS, role=None, headers=sent | headers, data=body)
    assert answer.json["code"] in {"ZF812", "ZF813"}, answer
    assert len(audit(shared)) == before + 1


def test_a_session_has_the_role_of_its_token_and_ends(shared):
    said = logged_in(shared, "viewer")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in said.split(";")}
    cookie = {"Cookie": said.partition(";")[0]}
    found = shared.call("GET", "/session", role=None, headers=cookie)
    assert found.json == {"name": "viewer", "role": "viewer", "via": "session"}
    sent = own_page(shared) | cookie
    refused = shared.call("POST", RUNS, {"phases": ["E"]}, role=None, headers=sent)
    assert (refused.status, refused.json["code"]) == (403, "ZF815")
    ended = shared.call("DELETE", "/session", role=None, headers=sent, data=b"{}")
    assert ended.status == 204
    assert shared.call("GET", RUNS, role=None, headers=cookie).status == 401


def test_no_get_changes_anything_and_no_cors_is_spoken(shared):
    answer = shared.call("OPTIONS", RUNS, headers={"Origin": "http://evil.example"})
    assert answer.status in {403, 405}
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_a_body_is_at_most_a_mebibyte(shared):
    large = b'{"phases": ["' + b"x" * (1024 * 1024) + b'"]}'
    assert shared.call("POST", RUNS, headers=JSON, data=large).status == 413
    connection = http.client.HTTPConnection("127.0.0.1", shared.port, timeout=60)
    sent = JSON | {"Authorization": f"Bearer {shared.token()}"}
    pieces = (large[at : at + 65536] for at in range(0, len(large), 65536))
    try:
        connection.request("POST", RUNS, pieces, sent, encode_chunked=True)
        assert Answer(connection.getresponse()).status == 413
    finally:
        connection.close()


def test_tokens_are_needed_and_wrong_ones_are_slowed_down_and_recorded(shared):
    assert shared.get("/runs", role=None).status == 401
    before = len(audit(shared))
    wrong = {"Authorization": "Bearer zf_wrong"}
    found = [shared.get("/runs", role=None, headers=wrong).status for _ in range(14)]
    assert set(found) == {401, 429}
    assert found[-1] == 429
    answer = shared.get("/runs", role=None, headers=wrong)
    assert 1 <= int(answer.headers["Retry-After"]) <= 61
    assert len(audit(shared)) == before + 15
    # A good one is let in all the same.
    assert shared.get("/runs").status == 200


def routes(server):
    """Each method and path of the API, with the places in the path filled in."""
    found = server.get("/openapi.json", role="viewer").json
    for path, methods in found["paths"].items():
        for method in methods:
            filled = path.replace("{run}", "well").replace("{task}", "good")
            filled = filled.replace("{log}", "step-0").replace("{path}", "none")
            yield method.upper(), filled


# What a route takes that not every caller may have.
OPERATE = {
    ("POST", "/api/v1/runs"),
    *(("POST", f"/api/v1/runs/well/{verb}") for verb in ("cancel", "rerun", "resume", "seal")),
    ("POST", "/api/v1/runs/well/tasks/good/cancel"),
}
APPROVE = {("POST", f"/api/v1/runs/well/tasks/good/{verb}") for verb in ("approve", "reject")}
ADMIN = {("GET", "/api/v1/audit"), ("GET", "/api/v1/tokens")}
FREE = {("GET", "/api/v1/health"), ("GET", "/api/v1/ready")}
MINE = ("/api/v1/runs", "/api/v1/definitions", "/api/v1/plan", "/api/v1/audit", "/api/v1/tokens")


def test_every_route_takes_the_role_that_it_is_said_to_take(shared):
    seen = set()
    for method, path in routes(shared):
        if (method, path) in FREE or not path.startswith(MINE):
            continue
        seen.add((method, path))
        one = (method, path)
        needs = 4 if one in ADMIN else 3 if one in APPROVE else 2 if one in OPERATE else 1
        for rank, role in enumerate((None, "viewer", "operator", "approver", "admin")):
            # Nothing in the body is right, so that nothing is done.
            data = b'{"none": 1}' if method != "GET" else None
            headers = JSON if data else {}
            answer = shared.call(method, path, role=role, headers=headers, data=data)
            denied = answer.status in {401, 403}
            assert denied == (rank < needs), (method, path, role, answer)
            assert answer.status < 500, (method, path, role, answer)
            if not path.endswith("export.tar"):  # the proof itself, which is as it is
                assert str(shared.project.root).encode() not in answer.body, (method, path)
    assert seen >= OPERATE | ADMIN


def test_tokens_expire_and_are_revoked_at_once(shared):
    zf = shared.project.zf
    made = zf("token", "create", "soon", "--role", "viewer", "--expires", "1s")
    assert made.out.startswith("zf_")
    assert made.out.count("\n") == 1
    secret = {"Authorization": f"Bearer {zf('token', 'create', 'gone').out.strip()}"}
    assert shared.get("/runs", role=None, headers=secret).status == 200
    rows = {row["name"]: row for row in json.loads(zf("token", "list", "--json").out)}
    assert rows["gone"]["last_used_at"]
    assert rows["gone"]["role"] == "viewer"
    assert zf("token", "revoke", "gone").code == 0
    assert shared.get("/runs", role=None, headers=secret).status in {401, 429}
    kept = (shared.project.root / ".zenflow/server/tokens.json").read_text()
    assert secret["Authorization"].split()[1] not in kept
    soon = {"Authorization": f"Bearer {made.out.strip()}"}
    while shared.get("/runs", role=None, headers=soon).status == 200:
        pass
    states = {row["name"]: row["state"] for row in json.loads(zf("token", "list", "--json").out)}
    assert (states["soon"], states["gone"]) == ("expired", "revoked")
    folder = shared.project.root / ".zenflow/server"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / ".gitignore").read_text().endswith("*\n")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("token", "create"), "ZF100"),
        (("token", "create", "a b"), "ZF801"),
        (("token", "create", "x", "--role", "king"), "ZF800"),
        (("token", "create", "x", "--expires", "soon"), "ZF100"),
        (("token", "revoke", "nobody"), "ZF803"),
        (("token", "create", "operator"), "ZF802"),
        (("serve", "--host", "0.0.0.0", "--port", "0"), "ZF821"),
        (("serve", "--tls-cert", "zf.yaml", "--port", "0"), "ZF820"),
        (("serve", "--host", "192.0.2.1", "--behind-proxy", "--port", "0"), "ZF823"),
        (("ui", "--port", "99999"), "ZF823"),
    ],
)
def test_what_cannot_be_is_refused(shared, words, code):
    shared.token()
    done = shared.project.zf(*words)
    assert done.code == 2, done
    assert f"error[{code}]" in done.err
    assert "Traceback" not in done.err


def test_others_are_not_served_without_a_token(project):
    project.task("a", "true")
    done = project.zf("serve", "--host", "0.0.0.0", "--behind-proxy", "--port", "0")
    assert "error[ZF822]" in done.err
    assert done.code == 2
    # What the server keeps does not move the project's home.
    assert project.zf("run", "--run-id", "r").code == 0
    assert project.proof("r").is_dir()


def test_the_user_of_this_machine_is_let_in_once_by_the_address(project):
    project.task("a", "true")
    with Server(project, "ui", "--no-open") as server:
        secret = server.said.strip().rpartition("#token=")[2]
        body = {"token": secret}
        sent = own_page(server)
        first = server.call("POST", "/session", body, role=None, headers=sent)
        assert first.json["role"] == "admin"
        assert server.call("POST", "/session", body, role=None, headers=sent).status == 401
        sent["Cookie"] = first.headers["Set-Cookie"].partition(";")[0]
        run = server.call("POST", RUNS, {"phases": ["A"]}, role=None, headers=sent)
        assert run.status == 202, run
    project.end_all()


def test_a_proxy_names_users_from_listed_addresses_alone(project):
    project.task("a", "true")
    (project.root / "zf.yaml").write_text(
        "server:\n  behind_proxy: true\n  hosts: [ci.example.org]\n  trusted_proxies: [127.0.0.1]\n"
        "  trusted_user_header: X-Remote-User\n  trusted_user_from: [127.0.0.1]\n"
        "  trusted_user_role: operator\n"
    )
    with Server(project) as server:
        named = {"X-Remote-User": "ada", "Host": "ci.example.org", "X-Forwarded-For": "192.0.2.7"}
        found = server.call("GET", "/session", role=None, headers=named)
        assert found.json == {"name": "ada", "role": "operator", "via": "proxy"}
        run = server.call("POST", RUNS, {"phases": ["A"]}, role=None, headers=named)
        assert run.json["code"] == "ZF812", "a header that a browser may bring is no bearer token"
        of_page = {"Origin": "https://ci.example.org", "Sec-Fetch-Site": "same-origin"}
        run = server.call("POST", RUNS, {"phases": ["A"]}, role=None, headers=named | of_page)
        assert run.status == 202, run
        asked = server.ended(run.json["run"])["trigger"]
        assert asked == {"by": "ada", "via": "page", "address": "192.0.2.7"}
        said = (project.root / ".zenflow/server/audit.jsonl").read_text()
        assert '"ada"' in said
    file = project.root / "zf.yaml"
    file.write_text(file.read_text().replace("user_from: [127.0.0.1]", "user_from: [192.0.2.0/24]"))
    with Server(project) as server:
        assert server.call("GET", "/session", role=None, headers=named).status == 401
    project.end_all()


def test_it_speaks_tls(project, tmp_path):
    project.task("a", "true")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"),
            *("-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    words = ("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    with Server(project, "serve", *words) as server:
        assert server.said.startswith("project: https://")
        trusted = ssl.create_default_context(cafile=tmp_path / "cert.pem")
        connection = http.client.HTTPSConnection(
            "localhost", server.port, context=trusted, timeout=60
        )
        origin = f"https://localhost:{server.port}"
        sent = {"Origin": origin, "Sec-Fetch-Site": "same-origin", **JSON}
        body = json.dumps({"token": server.token()})
        connection.request("POST", "/session", body, sent)
        answer = Answer(connection.getresponse())
        connection.close()
        assert answer.headers["Set-Cookie"].startswith("__Host-zf-session=")
        assert "Secure" in answer.headers["Set-Cookie"]
    project.end_all()
