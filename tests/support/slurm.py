"""A Slurm of one machine for tests: Debian's munge, slurmctld and slurmd, with a configuration,
keys, ports and state of their own in one folder. It needs root, as slurmd does, and no cgroups.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from pathlib import Path

from tests.support.ports import free_ports
from tests.support.program import survivors
from tests.support.waiting import eventually

CPUS, MEMORY_MB = 4, 4000
_PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "squeue", "scontrol", "scancel")
_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
_CONFIGURATION = """\
ClusterName=zf
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/builtin
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
ReturnToService=2
InactiveLimit=0
KillWait=5
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=low Nodes={host} Default=YES MaxTime=60 PriorityTier=1 State=UP
PartitionName=high Nodes={host} MaxTime=60 PriorityTier=10 State=UP
"""


def why_not() -> str:
    """Why Slurm cannot run here, if so."""
    if os.geteuid() != 0:
        return "slurmd needs root"
    missing = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
    if missing:
        return f"no {', '.join(missing)} (apt-get install munge slurmctld slurmd slurm-client)"
    try:
        socket.gethostbyname(socket.gethostname())
    except OSError:
        return f"the name of this machine, {socket.gethostname()}, has no address"
    return ""


class Slurm:
    """`env` is what Slurm's commands need. Jobs of the partition `high` push out those of `low`,
    where jobs are that say nothing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = socket.gethostname().partition(".")[0]
        self.env = {"SLURM_CONF": f"{folder}/slurm.conf"}
        self._started: list[subprocess.Popen[bytes]] = []
        folder.chmod(0o711)
        for name in ("key", "state", "spool"):
            (folder / name).mkdir(mode=0o700)
        key = folder / "key/munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        controller, node = free_ports(2)
        (folder / "slurm.conf").write_text(
            _CONFIGURATION.format(
                host=self.host,
                controller=controller,
                node=node,
                folder=folder,
                cpus=CPUS,
                memory=MEMORY_MB,
            )
        )

    def open(self) -> None:
        folder = self.folder
        files = {"socket": "munge.sock", "pid-file": "munge.pid", "log-file": "munge.log"}
        files |= {"key-file": "key/munge.key", "seed-file": "key/seed"}
        words = [f"--{option}={folder}/{name}" for option, name in files.items()]
        self._start("munged", "--foreground", *words)
        eventually((folder / "munge.sock").exists)
        self._start("slurmctld", "-D", "-c")
        self._start("slurmd", "-D")
        self.wait_for_node("idle")

    def _start(self, *words: str) -> None:
        with (self.folder / f"{words[0]}.out").open("wb") as out:
            environ = {**os.environ, **self.env, "PATH": _PATH}
            self._started.append(
                subprocess.Popen(words, env=environ, stdout=out, stderr=subprocess.STDOUT)
            )

    def say(self, *words: str) -> str:
        """What a command of Slurm prints, whether or not it fails."""
        environ = {**os.environ, **self.env}
        return subprocess.run(words, env=environ, capture_output=True, text=True).stdout

    def wait_for_node(self, state: str) -> None:
        eventually(lambda: self.say("sinfo", "-h", "-p", "low", "-o", "%t").strip() == state)

    def job(self, name: str) -> str:
        """The number of the job of this name, once it runs."""
        words = ("squeue", "-h", "-t", "R", "-n", name, "-o", "%i")
        return eventually(lambda: self.say(*words).strip())

    def told(self, number: str) -> dict[str, str]:
        """What Slurm says of a job, running or over."""
        words = self.say("scontrol", "show", "job", number).split()
        return {key: value for key, _, value in (word.partition("=") for word in words)}

    def close(self) -> None:
        self.say("scancel", "--user=root")
        eventually(lambda: not self.say("squeue", "-h"), seconds=20)
        for process in reversed(self._started):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        eventually(lambda: not survivors(self.env["SLURM_CONF"]), seconds=20)
