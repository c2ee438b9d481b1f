"""A mount namespace for this process, and the system calls that change it (Linux).

`shield.py` says what is mounted where. A mount costs microseconds; ending one takes the kernel up
to 100 of them, as it waits for all processors.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from contextlib import suppress

from zf.typed import ALWAYS
from zf.work.supervise.processes import PR_SET_DUMPABLE, hide_from_tracers

_CLONE_NEWNS, _CLONE_NEWUSER = 0x0002_0000, 0x1000_0000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_MOVE = 1, 32, 4096, 8192
_MS_REC, _MS_SLAVE = 16384, 1 << 19
# What a remount in a user namespace may not drop, and no remount should. The numbers are those of
# statvfs as well.
_MS_KEPT = os.ST_NOSUID | 4 | 8  # nodev, noexec
_MNT_DETACH = 2
_CAP_SYS_ADMIN = 1 << 21
# The same on every architecture, as for all system calls since 2019.
_SYS_MOVE_MOUNT, _FROM_DESCRIPTOR, _HERE = 429, 4, -100
_SYS_LANDLOCK_CREATE_RULESET, _SYS_LANDLOCK_RESTRICT_SELF = 444, 446
_LANDLOCK_VERSION, _LANDLOCK_SCOPE_SIGNAL, _LANDLOCK_SIGNALS_SINCE = 1, 2, 6
_ID_MAP = "{0} {0} 1"


class ShieldError(Exception):
    """There can be no shield; the message says why, and what would have to be otherwise."""


class Namespace:
    """The namespace this process is in from now on, which must have no thread but its own."""

    def __init__(self, mode: str) -> None:
        """Enter it; without root only if the mode is `always`. Raises ShieldError."""
        self._call = ctypes.CDLL(None, use_errno=True)
        if sys.platform != "linux":
            raise ShieldError("it needs Linux")
        if not os.path.isdir("/proc/self/fd"):
            raise ShieldError("it needs /proc, which is not mounted")
        if has_capability():
            flags = _CLONE_NEWNS
        elif os.geteuid() == 0:
            raise ShieldError("root is without CAP_SYS_ADMIN here, as in most containers")
        elif mode != ALWAYS:
            raise ShieldError(
                "without root it takes a user namespace, in which sudo does not work: "
                "only 'shield: always' asks for that"
            )
        else:
            flags = _CLONE_NEWNS | _CLONE_NEWUSER
        uid, gid = os.geteuid(), os.getegid()
        if self._call.unshare(flags):
            kind = "user" if flags & _CLONE_NEWUSER else "mount"
            raise ShieldError(f"the system allows no {kind} namespace: {_error()}")
        try:
            if flags & _CLONE_NEWUSER:
                self._map_ids(uid, gid)
            # What is mounted outside goes on to appear here; what is mounted here stays here.
            self._check(self._call.mount(None, b"/", None, _MS_REC | _MS_SLAVE, None), "/")
        except OSError as error:
            raise ShieldError(f"its namespace cannot be set up: {error.strerror}") from None
        hide_from_tracers()

    def _map_ids(self, uid: int, gid: int) -> None:
        self._call.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # else these are root's files
        for name, text in (
            ("uid_map", _ID_MAP.format(uid)),
            ("setgroups", "deny"),
            ("gid_map", _ID_MAP.format(gid)),
        ):
            with open(f"/proc/self/{name}", "w") as stream:
                stream.write(text)

    def bind(self, source: str, target: str) -> None:
        """Have `source` be at `target`, too. Raises OSError, as all that follow do."""
        result = self._call.mount(os.fsencode(source), os.fsencode(target), None, _MS_BIND, None)
        self._check(result, target)

    def bind_read_only(self, path: str) -> None:
        """Have nothing written below this path, but through what was opened before."""
        self.bind(path, path)
        kept = os.statvfs(path).f_flag & _MS_KEPT
        flags = _MS_BIND | _MS_REMOUNT | _MS_RDONLY | kept
        self._check(self._call.mount(None, os.fsencode(path), None, flags, None), path)

    def move(self, mount: int, target: str) -> None:
        """Move the mount that is open at this descriptor to another place."""
        call, to = self._call, os.fsencode(target)
        if call.syscall(_SYS_MOVE_MOUNT, mount, b"", _HERE, to, _FROM_DESCRIPTOR):
            # Before Linux 5.2, and where a filter knows nothing newer; it takes half as long again.
            source = b"/proc/self/fd/%d" % mount
            self._check(call.mount(source, to, None, _MS_MOVE, None), target)

    def detach(self, path: str) -> None:
        """End the mount at this path, if there is one."""
        self._call.umount2(os.fsencode(path), _MNT_DETACH)

    def has_landlock(self) -> bool:
        """Whether Landlock can keep a process from signalling others (since Linux 6.12)."""
        version = self._call.syscall(_SYS_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION)
        return bool(version >= _LANDLOCK_SIGNALS_SINCE)

    def enter_landlock(self) -> None:
        """Have this thread, and what it starts, signal and trace nothing outside itself."""
        # struct landlock_ruleset_attr: handled_access_fs, handled_access_net, scoped.
        attr = (ctypes.c_uint64 * 3)(0, 0, _LANDLOCK_SCOPE_SIGNAL)
        size = ctypes.c_size_t(ctypes.sizeof(attr))
        ruleset = self._call.syscall(_SYS_LANDLOCK_CREATE_RULESET, attr, size, 0)
        if ruleset < 0:
            raise OSError(ctypes.get_errno(), f"Landlock: {_error()}")
        try:
            if self._call.syscall(_SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0):
                raise OSError(ctypes.get_errno(), f"Landlock: {_error()}")
        finally:
            os.close(ruleset)

    def _check(self, result: int, path: str) -> None:
        if result:
            code = ctypes.get_errno()
            raise OSError(code, f"the shield: {os.strerror(code)}", path)


def has_capability() -> bool:
    """Whether this process may make mounts without a user namespace."""
    with suppress(OSError), open("/proc/self/status") as stream:
        for line in stream:
            if line.startswith("CapEff:"):
                return bool(int(line[7:], 16) & _CAP_SYS_ADMIN)
    return False


def _error() -> str:
    return os.strerror(ctypes.get_errno() or errno.EPERM)
