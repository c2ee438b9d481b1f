"""`read` of a sandbox is exact: in generated projects a step sees what its globs name and nothing
else, and one that opens another file of the project fails, with the path of that.
"""

import json
import random
import shlex
import shutil
import sys

import pytest

from tests.support.attacks import Place
from zf.work.walls.sandbox import why_not

_WHY_NOT = why_not(shutil.which("bwrap")) if sys.platform == "linux" else "it is Linux's"
pytestmark = pytest.mark.skipif(bool(_WHY_NOT), reason=f"no sandbox here: {_WHY_NOT}")

TASKS = 5
NAMES = ["a", "b", "src", ".hidden", "two words", "ünï", "-x", "[y]", "c.py", "d.md", "e.py"]
# Listed as they are seen, so that what is seen is what could be read.
LOOK = "find . -type f -not -path './proofs/*' -exec cat {} + -exec printf '%s\\0' {} +"


def projects(rng):
    """The files of a project: none is where another has a folder."""
    paths = {
        "/".join(rng.choice(NAMES) for _ in range(rng.randint(1, 4)))
        for _ in range(rng.randint(3, 25))
    }
    return sorted(
        path for path in paths if not any(other.startswith(f"{path}/") for other in paths)
    )


def escaped(path):
    """As a glob that means this path."""
    return path.replace("[", "[[]")


def _ends(path, ending):
    """A folder that a glob names stands for all in it."""
    return any(part.endswith(ending) for part in path.split("/"))


def asked(rng, files):
    """Globs, and the files that they name by a reckoning of the test's own."""
    folders = sorted({path.rpartition("/")[0] for path in files} - {""})
    kinds = {
        "file": (lambda: rng.choice(files), lambda path, one: path == one, "{}"),
        "ending": (lambda: rng.choice([".py", ".md"]), _ends, "**/*{}"),
    }
    if folders:
        below = (lambda: rng.choice(folders), lambda path, one: path.startswith(f"{one}/"))
        kinds |= {"folder": (*below, "{}"), "below": (*below, "{}/**")}
    globs, named = [], set()
    for _ in range(rng.randint(1, 4)):
        pick, names, form = kinds[rng.choice(sorted(kinds))]
        one = pick()
        globs.append(form.format(escaped(one)))
        named |= {path for path in files if names(path, one)}
    if rng.random() < 0.4:
        pick, names, form = kinds[rng.choice(sorted(kinds))]
        one = pick()
        globs.append("!" + form.format(escaped(one)))
        named -= {path for path in files if names(path, one)}
    return globs, named


def seen(log):
    """The paths at the end of what `LOOK` prints, behind the contents."""
    return {path.removeprefix("./") for path in log.decode().split("\0") if path.startswith("./")}


def numbers(request):
    return range(100 if request.config.getoption("campaign") else 2)


def test_a_step_sees_what_read_names_and_fails_for_anything_else(tmp_path, request):
    """500 tasks as a campaign, of which each has globs of its own."""
    for number in numbers(request):
        check(Place(tmp_path / str(number) / "project"), random.Random(number))
        shutil.rmtree(tmp_path / str(number))


def check(place, rng):
    files = projects(rng)
    for path in files:
        (place.root / path).parent.mkdir(parents=True, exist_ok=True)
        (place.root / path).write_text("")
    wanted = {}
    for number in range(TASKS):
        globs, named = asked(rng, files)
        others = sorted({*files} - named)
        opened = rng.choice(others) if others else None
        open_it = f"cat -- {shlex.quote(opened)}" if opened else "true"
        wanted[f"t{number}"] = globs, named, opened
        wall = {"read": globs}
        place.task(f"t{number}", LOOK, open_it, sandbox=wall, allow_failure=True)
    finished = place.zf("run-phase", "A", "--run-id", "r")
    assert finished.code == 0, finished.err
    for task, (globs, named, opened) in wanted.items():
        assert seen(place.log("r", task, 0)) == named, globs
        status = place.status("r", task)
        assert (status["exit_code"] or 0) == (1 if opened else 0), (globs, opened)
        if opened:
            told = f"{opened} is in the project, but not in `read` of its sandbox"
            assert told in status["notes"], json.dumps(status["notes"], ensure_ascii=False)
