"""The command of an executor that is a Dask pool: hands its stdin, stdout and stderr to the bridge.

Run as a file, so that it starts quickly. It stays as long as the bridge holds what it handed over,
and exits with what the bridge says; when it is killed, the bridge ends what belongs to it.
"""

import os
import socket
import sys

_UNAVAILABLE = 69  # EX_UNAVAILABLE


def main() -> int:
    """The exit code."""
    with socket.socket(socket.AF_UNIX) as bridge:
        try:
            bridge.connect(sys.argv[1])
            socket.send_fds(bridge, [b"L"], [0, 1, 2])
            null = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1):
                os.dup2(null, fd)
            if code := bridge.recv(1):
                return code[0]
        except OSError:
            pass
    print("connection closed: the bridge to Dask is gone", file=sys.stderr)
    return _UNAVAILABLE


if __name__ == "__main__":
    sys.exit(main())
