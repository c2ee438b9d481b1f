"""Stands in for kubectl: `kubectl run NAME -i --rm ... --command -- COMMAND` runs the command here.

`KUBECTL_PODS` is a folder with the names of pods that there are, and `KUBECTL_FAULT` has words for
the relay in between: what to delay, to cut, and to lie about.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

RELAY = Path(__file__).with_name("relay.py")
TAKES = {"-i", "--rm", "--quiet", "--restart=Never", "--command"}


def main() -> int:
    at = sys.argv.index("--")
    (verb, name, *flags), command = sys.argv[1:at], sys.argv[at + 1 :]
    others = {one for one in flags if not one.startswith("--image=")} - TAKES
    if verb != "run" or others:
        return refused(f"error: unknown flag: {others}")
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name):
        return refused(f'The Pod "{name}" is invalid: metadata.name: Invalid value')
    pod = Path(os.environ["KUBECTL_PODS"], name)
    try:
        pod.touch(exist_ok=False)
    except FileExistsError:
        return refused(f'Error from server (AlreadyExists): pods "{name}" already exists')
    print("If you don't see a command prompt, try pressing enter.", file=sys.stderr)
    fault = shlex.split(os.environ.get("KUBECTL_FAULT", ""))
    code = subprocess.call([sys.executable, RELAY, *fault, "--", *command])
    pod.unlink()
    if "--quiet" not in flags:
        print(f'pod "{name}" deleted')
    return code


def refused(why: str) -> int:
    print(why, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
