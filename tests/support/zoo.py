"""Things steps do to keep processes alive. `@@` stands for a mark that is on each one's command line.

Each is a piece of bash that starts them; `z` waits in one, and `py` runs Python.
"""

import sys
from pathlib import Path

# Not that of an environment below /tmp, of which a sandbox shows nothing.
_PYTHON = Path(sys.executable).resolve()
PRELUDE = f"""\
z() {{ exec -a @@ sleep 300; }}
up() {{ until grep -q @@ /proc/$!/cmdline; do :; done; }}
py() {{ {_PYTHON} -c "$1" @@; }}
"""

_SUBREAPER = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
for _ in range(3):
    if not os.fork():
        os.setsid()
        if not os.fork():
            os.execvp("sleep", [sys.argv[1], "300"])
        os._exit(0)
os.execvp("sleep", [sys.argv[1], "300"])
"""
_ZOMBIE_PARENT = """
import os, sys
for _ in range(20):
    if not os.fork():
        os._exit(0)
os.execvp("sleep", [sys.argv[1], "300"])
"""
# A process that is never there for long: its child goes on, in a session of its own.
_CHAIN = """
import os, sys, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    if os.fork():
        os._exit(0)
    os.setsid()
    time.sleep(0.002)
"""
_DAEMON = """
import os, sys
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
os.chdir("/")
os.closerange(0, 100)
os.environ.clear()
os.execv("/bin/sleep", [sys.argv[1], "300"])
"""
_TERM_FORKER = """
import os, signal, sys, time
def fork(*_):
    for _ in range(5):
        if not os.fork():
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.execvp("sleep", [sys.argv[1], "300"])
signal.signal(signal.SIGTERM, fork)
while True: signal.pause()
"""
_THREADED = """
import os, sys, threading
def start():
    if not os.fork():
        os.setsid()
        os.execvp("sleep", [sys.argv[1], "300"])
    threading.Event().wait()
for _ in range(4): threading.Thread(target=start).start()
"""
# In a terminal of its own, as `script`, `ssh` and `docker run -t` make them.
_PTY = """
import os, pty, signal, sys
for number in (signal.SIGHUP, signal.SIGTERM): signal.signal(number, signal.SIG_IGN)
if not pty.fork()[0]:
    os.execvp("sleep", [sys.argv[1], "300"])
os.execvp("sleep", [sys.argv[1], "300"])
"""
# Stopped by its tracer, which no CONT undoes.
_TRACED = """
import ctypes, os, signal, sys
if not os.fork():
    ctypes.CDLL(None).ptrace(0, 0, 0, 0)
    os.setsid()
    os.execvp("sleep", [sys.argv[1], "300"])
os.execvp("sleep", [sys.argv[1], "300"])
"""
# As in a container: a first process that no signal from inside ends. Where that may not be made,
# one that only lives in a session of its own.
_NAMESPACE = "unshare --user --map-root-user --pid --fork setsid"

ZOO = {
    "plain child": "(z)",
    "background child": "(z) & (z) & wait",
    "double fork": "( (z) & ) ; ( ( (z) & ) & ) ; z",
    "own session": "setsid -f bash -c 'exec -a @@ sleep 300'; z",
    "nohup": "nohup bash -c 'exec -a @@ sleep 300' & wait",
    "TERM ignored": "trap '' TERM HUP INT; (z) & z",
    "stopped child": "(z) & up; kill -STOP $!; wait",
    "stopped leader": "(z) & kill -STOP $$; z",
    "stopped and deaf": "trap '' TERM; (z) & up; kill -STOP $!; wait",
    "pipe held open": "(trap '' TERM; z) & disown; exec >/dev/null 2>&1; z",
    "own process groups": "set -m; (z) & (z) & wait",
    "cleared environment": "env -i setsid -f bash -c 'exec -a @@ sleep 300'; z",
    "daemon": f"py '{_DAEMON}'; z",
    "nested subreaper": f"py '{_SUBREAPER}'",
    "respawner": "trap '' TERM; while :; do (z) & wait; done",
    "200 forks": "for i in {1..200}; do (z) & done; wait",
    "200 sessions": "for i in {1..200}; do setsid bash -c 'exec -a @@ sleep 300' & done; wait",
    "fork on TERM": f"py '{_TERM_FORKER}'",
    "zombie parent": f"py '{_ZOMBIE_PARENT}'",
    "4 respawn chains": f"for i in 1 2 3 4; do py '{_CHAIN}' & done; wait; z",
    "fork from threads": f"py '{_THREADED}'",
    "own terminal": f"py '{_PTY}'",
    "traced": f"py '{_TRACED}'",
    "own pid namespace": f"{_NAMESPACE} true 2>/dev/null && in='{_NAMESPACE}' || in=setsid; "
    "$in bash -c 'trap \"\" TERM; (exec -a @@ sleep 300) & exec -a @@ sleep 300' & wait; z",
    "coprocess": "coproc { z; }; z",
    "waits for a fifo": "mkfifo $ARTIFACTS_DIR/f; cat $ARTIFACTS_DIR/f @@ & z",
}
# The ways in which a task with one of them can end, and how that is told: status, exit code, cause.
ENDS = {"timeout": ("timeout", 124, "timeout"), "exit": ("failure", 0, "survivors")}
# What a task in a container gets that is to run out of time: on a busy machine it takes seconds
# to begin.
ZOO_TIMEOUT_S = 8
# A container takes a second of a processor: these stand for the others, which a campaign has.
IN_A_CONTAINER = ["double fork", "TERM ignored", "stopped child", "daemon", "respawner"]


def inhabitants(kind: str) -> list[str]:
    """A leader that stops itself never ends by itself."""
    return [name for name in ZOO if kind == "timeout" or name != "stopped leader"]


def living(name: str, kind: str, mark: str, python: str = str(_PYTHON)) -> str:
    """The script of a task in which it lives until the time is over, or which leaves it behind. It
    prints `seen` once the mark is on a command line: its witness has it too, while it counts.
    """
    count = f"grep -al {mark} /proc/[0-9]*/cmdline 2>/dev/null | wc -l"
    witness = f"until (( $({count}) > 1 )); do :; done; echo seen"
    animal = (PRELUDE + ZOO[name]).replace("@@", mark).replace(str(_PYTHON), python)
    return f"({witness}) & \n{animal}" if kind == "timeout" else f"({animal}) & {witness}; exit 0"
