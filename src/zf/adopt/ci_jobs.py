"""A CI job that runs the tasks of a project and keeps the proof: for GitHub and for GitLab.

What it installs zf from has to work: an index, if this zf is from one; else the repository and
commit that pip, or the clone this zf runs from, names; else a variable that the project sets.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from importlib import metadata
from urllib.parse import urlsplit
from urllib.request import url2pathname

from zf import __version__

PACKAGE = "zenflow-runner"
# Set by the project, where this zf does not know what it is from.
VARIABLE = "ZF_SOURCE"
FILES = {"github": ".github/workflows/zf.yml", "gitlab": ".gitlab-ci.yml"}
_PUBLIC = re.compile(r"https://[\w.-]+(?:/[\w.~-]+)+")

_GITHUB = """\
# Runs the tasks of zf.yaml, and keeps the proof of the run and its report.
name: zf
on: [push, pull_request]
permissions: {contents: read}
jobs:
  zf:
    runs-on: ubuntu-latest
    timeout-minutes: 60
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1
        with: {fetch-depth: 0, persist-credentials: false}
      - uses: actions/setup-python@a309ff8b426b58ec0e2a45f0f869d46889d02405 # v6.2.0
        with: {python-version: "3.13"}
      - name: Install zf
        run: |
          python3 -m venv "$RUNNER_TEMP/zf"
          "$RUNNER_TEMP/zf/bin/pip" install --quiet SOURCEENV
      - name: Run the tasks
        run: |
          "$RUNNER_TEMP/zf/bin/zf" run --run-id ci --report "$RUNNER_TEMP/report.html"
      - name: Export the proof
        if: always()
        run: |
          "$RUNNER_TEMP/zf/bin/zf" export ci -o "$RUNNER_TEMP/proof.tar"
      - uses: actions/upload-artifact@bbbca2ddaa5d8feaa63e36b76fdaad77386f024f # v7.0.0
        if: always()
        with:
          name: zf
          path: |
            ${{ runner.temp }}/proof.tar
            ${{ runner.temp }}/report.html
"""
_GITHUB_ENV = """
        env:
          # The URL of a git repository of zf: a secret, as it may have a token in it.
          ZF_SOURCE: ${{ secrets.ZF_SOURCE }}"""
_GITLAB = """\
# Runs the tasks of zf.yaml, and keeps the proof of the run and its report.
zf:
  image: IMAGE
  variables: {GIT_DEPTH: "0"}
  before_script:PREPARE
    - python3 -m venv "/tmp/zf-$CI_JOB_ID"
    - "/tmp/zf-$CI_JOB_ID/bin/pip install --quiet SOURCE"
  script:
    - >
      "/tmp/zf-$CI_JOB_ID/bin/zf" run --run-id "ci-$CI_JOB_ID" --report proofs/report.html
      --junit proofs/junit.xml --codequality proofs/quality.json
  after_script:
    - '"/tmp/zf-$CI_JOB_ID/bin/zf" export "ci-$CI_JOB_ID" -o proofs/proof.tar'
  artifacts:
    when: always
    paths: [proofs/proof.tar, proofs/report.html]
    reports:
      junit: proofs/junit.xml
      codequality: proofs/quality.json
"""
_GITLAB_PREPARE = """
    - apt-get update -qq && apt-get install -qq --no-install-recommends git python3-venv"""


def job(ci: str, images: tuple[str, ...]) -> str:
    """The text of the job; `images` are those that the project's tasks could run in."""
    source = installed_from()
    if ci == "github":
        return _GITHUB.replace("SOURCEENV", source + (_GITHUB_ENV if VARIABLE in source else ""))
    image = images[0] if images else "python:3.13"
    prepare = "" if image.startswith("python:") else _GITLAB_PREPARE
    text = _GITLAB.replace("IMAGE", image).replace("PREPARE", prepare)
    return text.replace("SOURCE", source.replace('"', '\\"'))


def installed_from() -> str:
    """What pip installs this zf from, as a word of a shell."""
    try:
        said = metadata.distribution(PACKAGE).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        said = None
    if said is None:
        return f"{PACKAGE}=={__version__}"
    origin = _repository(json.loads(said))
    return f'"git+{origin}"' if origin else f'"git+${VARIABLE}"'


def _repository(said: dict[str, object]) -> str:
    """The URL and commit of a repository that others can read; empty if there is none."""
    url = str(said.get("url", ""))
    vcs = said.get("vcs_info")
    if isinstance(vcs, dict):
        return f"{url}@{vcs.get('commit_id', '')}" if _PUBLIC.fullmatch(url) else ""
    if not url.startswith("file:"):
        return ""
    clone = url2pathname(urlsplit(url).path)
    origin = _git(clone, "remote", "get-url", "origin")
    commit = _git(clone, "rev-parse", "HEAD")
    return f"{origin}@{commit}" if _PUBLIC.fullmatch(origin) and commit else ""


def _git(folder: str, *words: str) -> str:
    if not os.path.exists(f"{folder}/.git"):
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", folder, *words], capture_output=True, text=True, check=False, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
