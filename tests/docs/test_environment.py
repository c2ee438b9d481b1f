"""The page about the environment names every variable that steps see, and no other."""

import re
from pathlib import Path

from zf.variables import ALLOWED

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "environment.md"
RESERVED, ALLOW_LIST = PAGE.read_text().split("## What zf sets")[1].split("## The allow-list")


def test_the_table_is_the_allow_list():
    rows = re.findall(r"(?m)^\| ([^|]+) \| (`[^|]+) \|", ALLOW_LIST)
    assert {purpose: tuple(re.findall(r"`([^`]+)`", names)) for purpose, names in rows} == ALLOWED


def test_the_table_of_what_zf_sets_is_what_a_step_finds(project):
    project.task("00-first", "true")
    project.task("10-a", "env -0", needs=["00-first"])
    assert (
        project.zf("run-phase", "A", "--run-id", "r", env={"ALL_ELSE": "stays outside"}).code == 0
    )
    found = {entry.split(b"=")[0].decode() for entry in project.log("r", "10-a").split(b"\0")}
    told = set(re.findall(r"(?m)^\| `(\w+)` \|", RESERVED))
    assert told <= found
    by_bash = {"_", "SHLVL", "PWD", "OLDPWD", ""}
    allowed = {name for names in ALLOWED.values() for name in names}
    rest = {name for name in found - told - by_bash - allowed if not name.startswith("LC_")}
    assert rest == set()
