"""Another host for tests: a network namespace of this machine, and a link to it that can be cut."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess

from tests.support.waiting import eventually

_HERE, _THERE = "198.18.{}.1", "198.18.{}.2"  # of the range for tests of networks (RFC 2544)


def why_not() -> str:
    """Why there can be none here, if so."""
    if os.geteuid() != 0:
        return "a network namespace needs root"
    if shutil.which("ip") is None:
        return "no ip (apt-get install iproute2)"
    probe = f"zf-probe-{os.getpid()}"
    done = subprocess.run(("ip", "netns", "add", probe), capture_output=True, text=True)
    if done.returncode:
        return done.stderr.strip()
    _ip("netns", "del", probe)
    return ""


class Host:
    """`address` is where it is reached, `gate` where this machine is from there, `within` the words
    that run a command there.
    """

    def __init__(self) -> None:
        number = os.getpid() % 250 + 1
        self.name = f"zf-{os.getpid()}"
        self.address, self.within = _THERE.format(number), ("ip", "netns", "exec", self.name)
        self.gate = _HERE.format(number)
        here = f"zfh{os.getpid()}"
        _ip("netns", "add", self.name)
        try:
            _ip("link", "add", here, "type", "veth", "peer", "name", "far", "netns", self.name)
            _ip("addr", "add", f"{self.gate}/24", "dev", here)
            _ip("link", "set", here, "up")
            _ip("-n", self.name, "addr", "add", f"{self.address}/24", "dev", "far")
            _ip("-n", self.name, "link", "set", "lo", "up")
            self.join()
        except subprocess.CalledProcessError:
            self.close()
            raise

    def cut(self) -> None:
        """Nothing goes either way any more, and nobody is told."""
        _ip("-n", self.name, "link", "set", "far", "down")

    def join(self) -> None:
        """Bring the link up, and wait until something gets through: for a moment the kernel still
        answers every connection with "no route to host".
        """
        _ip("-n", self.name, "link", "set", "far", "up")
        eventually(self._is_reached)

    def _is_reached(self) -> bool:
        try:
            socket.create_connection((self.address, 1), timeout=1).close()
        except ConnectionRefusedError:
            return True  # by the other end
        except OSError:
            return False
        return True

    def close(self) -> None:
        _ip("netns", "del", self.name)


def _ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True)
