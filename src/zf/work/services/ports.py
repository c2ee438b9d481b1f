"""Ports that services are given: free ones, never fixed ones, so that runs side by side get along.

They lie below those that the system hands out by itself: one of these could become the near end of
any connection before the service has bound it.
"""

from __future__ import annotations

import _socket
import errno
import os
import random
from collections.abc import Iterable, Mapping
from contextlib import suppress

from zf.variables import service_variables

_LEAST, _MOST = 15_000, 32_767
_TRIES = 1000
# How long a connection may take that is on this machine.
_ANSWER_S = 0.1
_RANGE = "/proc/sys/net/ipv4/ip_local_port_range"


class NoPortError(OSError):
    """There is no free port."""


class Reserved:
    """Free ports, kept from others until they are let go, just before a service takes them."""

    def __init__(self) -> None:
        self._sockets: list[_socket.socket] = []

    def take(self) -> int:
        """A port that nothing on this machine listens on. Raises NoPortError."""
        for number in _candidates():
            one = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
            try:
                one.bind(("", number))
            except OSError:
                one.close()
                continue
            self._sockets.append(one)
            return number
        raise NoPortError(errno.EADDRINUSE, f"no free port from {_LEAST} on was found")

    def let_go(self) -> None:
        while self._sockets:
            self._sockets.pop().close()


def _candidates() -> Iterable[int]:
    most = _MOST
    with suppress(OSError, ValueError), open(_RANGE) as stream:
        first = int(stream.read().split()[0])
        most = first - 1 if first > _LEAST + 1000 else most
    chance = random.SystemRandom()
    return (chance.randint(_LEAST, most) for _ in range(_TRIES))


def variables(service: str, ports: Mapping[str, int]) -> dict[str, str]:
    """What steps are told of them: the first one by the name of the service alone, too."""
    if not ports:
        return {}
    numbers = [*ports.values()]
    names = service_variables(service, ports)
    return dict(zip(names, map(str, (numbers[0], *numbers)), strict=True))


def listens(pid: int, port: int) -> bool:
    """Whether something listens on this port where that process is: it may have a network of its
    own. See proc(5) for the columns: local address, remote address, state, of which 0A is LISTEN.
    """
    if not os.path.exists("/proc/net/tcp"):
        return answers(port)
    wanted = f":{port:04X}"
    for name in ("tcp", "tcp6"):
        with suppress(OSError), open(f"/proc/{pid}/net/{name}") as stream:
            for line in stream:
                fields = line.split()
                if fields[3:4] == ["0A"] and fields[1].endswith(wanted):
                    return True
    return False


def answers(port: int) -> bool:
    """The same where the system has no such list (macOS): whether it takes a connection."""
    one = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    try:
        one.settimeout(_ANSWER_S)
        return not one.connect_ex(("127.0.0.1", port))
    finally:
        one.close()
