"""The table of walls in conventions/SECURITY.md, tried cell by cell: with no wall, with the shield, in a
sandbox and in a container, as root. A line that succeeds is what the table calls found or open.
"""

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.attacks import INHERITED, RUN, Place, told
from tests.support.engines import HOST
from zf.work.walls.namespace import has_capability
from zf.work.walls.sandbox import why_not

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux" or not has_capability(), reason="it takes root"),
    pytest.mark.xdist_group("containers"),
]
SECURITY = Path(__file__).parents[2] / "conventions/SECURITY.md"
# The rows of the table, and what a step of each tries. `$W` is the worker, `$R` the runner.
ATTACKS = {
    "write to its own proof": "echo forged >> $PROOF_DIR/99-summary/status.json",
    "write to another task's proof": f"echo forged >> {RUN}/other/20-logs/step-0.log",
    "write to the journal": f"echo forged >> {RUN}/events.jsonl",
    "rewrite the lock": f"echo forged > {RUN}/../.locks/r.lock",
    "remove zf's fifo": f"rm {RUN}/../.locks/r.orders",
    "write to `.git`": "touch .git/forged",
    "write to task files": "echo >> tasks/later/task.yaml",
    "signal the worker or the runner": "kill -0 $W || kill -0 $R",
    "stop the worker": "kill -STOP $W && kill -CONT $W",
    "trace the worker": "(exec 9< /proc/$W/mem)",
    "use its descriptors through `/proc/PID/fd`": "ls /proc/$W/fd/0",
    "go through its `/proc/PID/root`": "ls /proc/$W/root/etc/passwd",
    "reach the network": "(exec 9<>/dev/tcp/127.0.0.1/$PORT)",
    "reach an abstract socket": "{python} -c 'import socket, sys; s = socket.socket(socket.AF_UNIX);"
    ' s.connect("\\0zf-walls-" + sys.argv[1])\' $PORT',
    "write out of the project by a link": "ln -s {outside} link; touch link/forged",
    "bind something over the proofs": f"mount --bind {{outside}} {RUN}/other && umount {RUN}/other",
    "the same in nested namespaces": "unshare --user --map-root-user --mount sh -c"
    " 'umount $ZENFLOW_ROOT/proofs || nsenter --target $W --mount true'",
    "use an inherited descriptor": INHERITED,
}
WALLS = ["no wall", "shield", "sandbox", "container"]
TOP = "| a step, as root, tries to | no wall | the shield | the sandbox | the container |\n"


def table():
    """What the table says, by attack: a word for each wall."""
    text = SECURITY.read_text().split(TOP)[1].split("\n\n")[0]
    rows = [re.split(r" *\| *", line.strip("| ")) for line in text.splitlines()[1:]]
    return {row[0]: [re.match(r"\w+", cell)[0] for cell in row[1:]] for row in rows}


def walled(request, wall, tmp_path):
    """A project, and what its task says to be behind this wall."""
    if wall == "container":
        place = request.getfixturevalue("boxes")
        programs = place.engine.programs
        return place, {
            "container": {"image": HOST, "volumes": programs, "pull": "never", "network": False}
        }
    if wall == "sandbox" and (why := why_not(shutil.which("bwrap"))):
        pytest.skip(why)
    return Place(tmp_path / "project"), {"sandbox": True} if wall == "sandbox" else {}


def test_the_table_has_a_row_for_each_attack():
    assert list(table()) == list(ATTACKS)
    words = {word for row in table().values() for word in row}
    assert words == {"stopped", "found", "open"}
    proofs = ("write to its own", "write to another", "write to the journal", "rewrite", "remove")
    for attack, row in table().items():
        if attack.startswith(proofs):
            assert row[WALLS.index("sandbox")] == row[WALLS.index("container")] == "stopped"


@pytest.mark.parametrize("wall", WALLS)
def test_each_cell_of_the_table_is_so(request, tmp_path, wall):
    place, keys = walled(request, wall, tmp_path)
    outside = tmp_path / "outside"
    outside.mkdir()
    words = {"python": str(Path(sys.executable).resolve()), "outside": str(outside)}
    lines = ["read W R < pids"]
    for name, line in ATTACKS.items():
        for word, text in words.items():
            line = line.replace(f"{{{word}}}", text)  # noqa: PLW2901 - filled in
        lines.append(f"if ( {line}; ) > /dev/null 2>&1; then x=done; else x=stopped; fi")
        lines.append(f'echo "{name}: $x"'.replace("`", ""))
    subprocess.run(["git", "init", "-q", place.root], check=True)
    place.task("other", "echo $PPID $(($(ps -o ppid= -p $PPID))) > pids")
    with socket.socket() as server, socket.socket(socket.AF_UNIX) as abstract:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        abstract.bind(f"\0zf-walls-{port}")
        abstract.listen()
        place.task("attack", "\n".join(lines), needs=["other"], env={"PORT": str(port)}, **keys)
        place.task("later", "true", needs=["attack"])
        shield = "never" if wall == "no wall" else "auto"
        finished = place.zf("run-phase", "A", "--run-id", "r", "-j", "1", "--shield", shield)
    at = WALLS.index(wall)
    wanted = {name.replace("`", ""): row[at] for name, row in table().items()}
    assert told(place) == {
        name: "stopped" if word == "stopped" else "done" for name, word in wanted.items()
    }
    # What is found is no success; where nothing is, the run is one.
    assert (finished.code == 0) == ("found" not in wanted.values()), finished.err
    assert (place.zf("verify", "r", "--passed").code == 0) == ("found" not in wanted.values())
