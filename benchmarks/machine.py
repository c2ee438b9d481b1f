"""Where and with what it was measured, in words for the table's head."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime

from benchmarks.runners import Runner


def describe(runners: list[Runner], scratch: str) -> dict[str, str]:
    """Date, machine and versions; nothing here names the machine's owner or its address."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": _commit(),
        "machine": f"{_cpu()}, {os.cpu_count()} cores, {_memory()}",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "files": f"measured on {_file_system(scratch)}",
        "python": platform.python_version(),
        "bash": _first_line(["bash", "--version"]),
        **{runner.name: runner.version for runner in runners if runner.version},
    }


def _commit() -> str:
    here = os.path.dirname(__file__)
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip() or "unknown"


def _cpu() -> str:
    if sys.platform == "darwin":
        return _first_line(["sysctl", "-n", "machdep.cpu.brand_string"])
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        facts = dict(line.split(":", 1) for line in file if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    sha = " with SHA-NI" if "sha_ni" in facts.get("flags", "").split() else ""
    return facts.get("model name", platform.processor() or "unknown CPU") + sha


def _memory() -> str:
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{size / 2**30:.0f} GiB"


def _file_system(path: str) -> str:
    words = ["stat", "-f", "-c", "%T", path] if sys.platform == "linux" else ["df", path]
    return _first_line(words)


def _first_line(command: list[str]) -> str:
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return said.split("\n", maxsplit=1)[0].strip() or "unknown"
