"""What a team puts around `zf serve`: alerts, a dashboard, Prometheus, and nginx with TLS."""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import subprocess
import urllib.request
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.ports import free_ports
from tests.support.program import Project
from tests.support.served import Server
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]
MONITORING = ROOT / "monitoring"
DEADLINE_S = 60.0
pytestmark = pytest.mark.xdist_group("operation")


def needed(*programs: str):
    missing = [program for program in programs if not shutil.which(program)]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("operated") / "project")
    (project.root / "zf.yaml").write_text("tasks: {good: {phase: E, run: 'true'}}\n")
    words = ("serve", "--behind-proxy", "--allow-host", "zf.example.org")
    with Server(project, *words) as made:
        yield made
    project.end_all()


@needed("promtool")
def test_the_alerts_do_what_their_tests_say():
    for words in (["check", "rules", "zf.rules.yml"], ["test", "rules", "zf.rules.test.yml"]):
        done = subprocess.run(
            ["promtool", *words], cwd=MONITORING, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test():
    rules = yaml.safe_load((MONITORING / "zf.rules.yml").read_text())
    names = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    tests = yaml.safe_load((MONITORING / "zf.rules.test.yml").read_text())["tests"]
    asked = [one for test in tests for one in test["alert_rule_test"]]
    fired = {one["alertname"] for one in asked if one.get("exp_alerts")}
    quiet = {one["alertname"] for one in asked if not one.get("exp_alerts")}
    assert fired == names == quiet


def test_alerts_and_the_dashboard_ask_for_metrics_that_there_are(server):
    text = server.call("GET", "/metrics", role="viewer").body.decode()
    known = {
        sample.name for family in text_string_to_metric_families(text) for sample in family.samples
    }
    rules = (MONITORING / "zf.rules.yml").read_text()
    dashboard = json.loads((MONITORING / "grafana/zf.json").read_text())
    expressions = [
        target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())
    ]
    asked = {*re.findall(r"\bzf_[a-z_]+", rules + " ".join(expressions))}
    assert len(asked) > 15
    assert asked <= known


@needed("nginx", "openssl", "prometheus")
def test_prometheus_scrapes_the_server_through_nginx_with_tls(server, tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    name = "zf.example.org"
    subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    subprocess.run(
        [*made, "-keyout", key, "-out", certificate, *subject], capture_output=True, check=True
    )
    tls, plain, scraped = free_ports(3)
    site = (ROOT / "deploy/nginx.conf").read_text()
    for old, new in (
        ("listen 443 ssl http2;", f"listen 127.0.0.1:{tls} ssl http2;"),
        ("    listen [::]:443 ssl http2;\n", ""),
        ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ("    listen [::]:80;\n", ""),
        ("/etc/letsencrypt/live/zf.example.org/fullchain.pem", str(certificate)),
        ("/etc/letsencrypt/live/zf.example.org/privkey.pem", str(key)),
        ("http://127.0.0.1:8181", f"http://127.0.0.1:{server.port}"),
    ):
        assert old in site
        site = site.replace(old, new)
    places = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;\nevents {{}}\n"
        f"http {{ access_log off;\n{places}{site}}}\n"
    )
    (tmp_path / "token").write_text(server.token("viewer"))
    scrape = {
        "job_name": "zf",
        "scheme": "https",
        "scrape_interval": "1s",
        "authorization": {"credentials_file": str(tmp_path / "token")},
        "tls_config": {"ca_file": str(certificate), "server_name": name},
        "static_configs": [{"targets": [f"127.0.0.1:{tls}"]}],
    }
    given = {"rule_files": [str(MONITORING / "zf.rules.yml")], "scrape_configs": [scrape]}
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(given))
    commands = (
        ["nginx", "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "error.log")],
        [
            "prometheus",
            f"--config.file={tmp_path}/prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{scraped}",
        ],
    )
    processes = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for command in commands
    ]
    try:
        assert eventually(lambda: ask_through(tls, certificate, name)) == 200
        found = eventually(
            lambda: [value for value in asked_of(scraped, "zf_queue_ready") if value]
        )
        assert found == ["1"]
        assert asked_of(scraped, 'up{job="zf"}') == ["1"]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(DEADLINE_S)


def ask_through(port: int, certificate: Path, name: str) -> int:
    """The status of `/api/v1/health` as a client of nginx sees it; 0 before it answers."""
    context = ssl.create_default_context(cafile=str(certificate))
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 5) as plain,
            context.wrap_socket(plain, server_hostname=name) as encrypted,
        ):
            sent = f"GET /api/v1/health HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
            encrypted.sendall(sent.encode())
            return int(encrypted.recv(4096).split()[1])
    except (OSError, IndexError):
        return 0


def asked_of(port: int, query: str) -> list[str]:
    """The values that Prometheus has for a query now."""
    url = f"http://127.0.0.1:{port}/api/v1/query?query=" + urllib.request.quote(query)
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return [one["value"][1] for one in json.load(answer)["data"]["result"]]
    except OSError:
        return []
