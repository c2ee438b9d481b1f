"""A real sshd of this user for tests, with keys made for it in one folder."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from tests.support.ports import free_port
from tests.support.waiting import eventually

_SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def why_not() -> str:
    """Why there can be none here, if so."""
    if _SSHD is None or shutil.which("ssh") is None:
        return "no sshd (apt-get install openssh-server openssh-client)"
    return ""


class Sshd:
    """`within` are the words that start it where it is to be: in a network namespace, say."""

    def __init__(self, folder: Path, host: str = "127.0.0.1", within: tuple[str, ...] = ()) -> None:
        self._folder, self._host, self._port = folder, host, free_port()
        folder.mkdir()
        for name in ("host", "user"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(words, check=True)
        shutil.copy(folder / "user.pub", folder / "authorized")
        options = (
            f"ListenAddress={host}",
            f"AuthorizedKeysFile={folder}/authorized",
            "StrictModes=no",
            "UsePAM=no",
            f"PidFile={folder}/pid",
            "PermitRootLogin=yes",
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        assert _SSHD is not None
        words = [*within, _SSHD, "-D", "-e", "-f", "/dev/null", "-p", str(self._port)]
        words += ["-h", str(folder / "host"), *(w for one in options for w in ("-o", one))]
        with (folder / "said").open("wb") as said:
            self._server = subprocess.Popen(words, stderr=said)
        try:
            eventually(lambda: "Server listening" in (folder / "said").read_text(), seconds=30)
        except AssertionError:
            self.close()
            raise

    def start(self, *command: str) -> list[str]:
        """The words that run a command there; the host's key is believed when first seen."""
        user = pwd.getpwuid(os.geteuid()).pw_name
        options = ["-p", str(self._port), "-i", str(self._folder / "user")]
        for one in (
            "BatchMode=yes",
            "StrictHostKeyChecking=accept-new",
            f"UserKnownHostsFile={self._folder}/known",
            "LogLevel=ERROR",
        ):
            options += ["-o", one]
        return ["ssh", "-F", "/dev/null", *options, f"{user}@{self._host}", *command]

    def change_key(self) -> None:
        """What was believed of the host's key is another's."""
        other = (self._folder / "user.pub").read_text().split()[1]
        where = f"[{self._host}]:{self._port}"
        (self._folder / "known").write_text(f"{where} ssh-ed25519 {other}\n")

    def forget_key(self) -> None:
        (self._folder / "known").unlink()

    def close(self) -> None:
        self._server.terminate()
        self._server.wait()
