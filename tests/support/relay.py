"""Stands in for ssh, srun or kubectl: relays an agent's pipes, and fails as it is told.

    python relay.py [--noise TEXT] [--late S] [--delay S] [--cut N] [--flip N] [--twice N] [--stall N]
                    [--say TEXT] [--exit CODE] -- COMMAND...

N counts bytes of what the agent says. `cut` ends the relay and the agent there, `flip` changes that
byte, `twice` says the byte again, and `stall` passes nothing on any more but stays. `late`: what it
says in so many seconds is lost before anything is passed on, as with `kubectl run -i`, which
attaches to a container that runs already.
"""

import argparse
import os
import select
import subprocess
import sys
import time

PIECE = 65536


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--noise", default="")
    parser.add_argument("--late", type=float, default=0)
    parser.add_argument("--delay", type=float, default=0)
    for name in ("cut", "flip", "twice", "stall"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--say", default="")
    parser.add_argument("--exit", type=int)
    parser.add_argument("command", nargs="+")
    asked = parser.parse_args()
    os.write(1, asked.noise.encode())
    agent = subprocess.Popen(asked.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    if asked.late and select.select([agent.stdout], [], [], asked.late)[0]:
        os.read(agent.stdout.fileno(), PIECE)
    said, code = relay(agent, asked), None
    if not said:  # cut
        agent.kill()
    agent.stdin.close()
    code = agent.wait()
    sys.stderr.write(asked.say)
    return code % 256 if asked.exit is None else asked.exit


def relay(agent: subprocess.Popen[bytes], asked: argparse.Namespace) -> bool:
    """Pass on until one side is at its end; False where it was cut."""
    at, ears = 0, [0, agent.stdout.fileno()]
    while True:
        ready, _, _ = select.select(ears, [], [])
        if 0 in ready:
            data = os.read(0, PIECE)
            if not data:
                return True
            agent.stdin.write(data)
            agent.stdin.flush()
        if agent.stdout.fileno() not in ready:
            continue
        data = os.read(agent.stdout.fileno(), PIECE)
        if not data:
            return True
        time.sleep(asked.delay)
        for byte in data if any((asked.cut, asked.flip, asked.twice, asked.stall)) else ():
            at += 1
            if at == asked.cut:
                return False
            if asked.stall and at >= asked.stall:
                continue
            one = bytes((byte ^ (1 if at == asked.flip else 0),))
            os.write(1, one * (2 if at == asked.twice else 1))
        if not any((asked.cut, asked.flip, asked.twice, asked.stall)):
            os.write(1, data)


if __name__ == "__main__":
    sys.exit(main())
