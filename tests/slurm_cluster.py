"""A SLURM of one node, in a folder and at ports of its own, beside any that the system has; its GPU is /dev/null."""

import os
import re
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
ENDS_WITH_THIS = ("setpriv", "--pdeathsig", "KILL")  # before a command: also where the tests are killed
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
GresTypes=gpu
ReturnToService=2
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=64000 Gres=gpu:2
PartitionName=all Nodes=ALL Default=YES State=UP
"""


def missing() -> list[str]:
    """Programs of SLURM that are not there."""
    return [name for name in PROGRAMS if shutil.which(name, path=PLACES) is None]


class Cluster:
    """Daemons that live as long as a `with` block; `environment` is for what calls sbatch.

    Args:
        folder: empty, with a short path, because sockets lie in it.
    """

    def __init__(self, folder: Path):
        self.folder, self.daemons = folder, {}
        self.node = socket.gethostname().split(".")[0]
        self.configuration = folder / "slurm.conf"
        usual = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH", "SRUN"))}
        self.environment = usual | {"SLURM_CONF": str(self.configuration), "PATH": f"{folder}/bin{os.pathsep}{PLACES}"}

    def __enter__(self) -> "Cluster":
        try:
            self._write()
            self._start("munged", "--foreground", "--force", f"--key-file={self.folder}/munge/key",
                        f"--socket={self.folder}/munge.socket", f"--pid-file={self.folder}/munge/pid",
                        f"--log-file={self.folder}/munge/log", f"--seed-file={self.folder}/munge/seed")  # fmt: skip
            self.wait_for((self.folder / "munge.socket").exists)
            self.start_controller()
            self._start("slurmd", "-D")
            self.wait_for(lambda: self.call("sinfo", "-h", "-o", "%T") == "idle")
        except BaseException:
            for log in self.folder.glob("*.log"):
                print(log.name, log.read_text(errors="replace")[-1000:])
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        for daemon in self.daemons.values():
            daemon.kill()
            daemon.wait()
        until = time.monotonic() + 10
        while (left := self._steps()) and time.monotonic() < until:  # one that ends may still start another
            for process in left:
                with suppress(psutil.Error):
                    process.kill()
            time.sleep(0.2)

    def start_controller(self) -> None:
        self._start("slurmctld", "-D")
        self.wait_for(lambda: "is UP" in self.call("scontrol", "ping", check=False))

    def stop_controller(self) -> None:
        self.daemons["slurmctld"].terminate()  # it writes its state down
        self.daemons["slurmctld"].wait()

    def call(self, *command: str, check: bool = True) -> str:
        """What a program of SLURM prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=check)
        return done.stdout.strip()

    def queue(self, state: str = "RUNNING,PENDING,COMPLETING") -> list[tuple[str, str]]:
        """(id, comment) of the jobs in a state; the comment names the rule."""
        lines = self.call("squeue", "-h", "-t", state, "-o", "%i %k").splitlines()
        return [tuple(line.split(" ", 1)) for line in lines]

    @staticmethod
    def wait_for(condition, seconds: float = 60):
        """What `condition` returns, once it is true."""
        until = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < until, "waited in vain"
            time.sleep(0.2)
        return found

    def _start(self, *command):
        log = open(self.folder / f"{command[0]}.log", "ab")  # noqa: SIM115  the daemon's
        self.daemons[command[0]] = subprocess.Popen(
            [*ENDS_WITH_THIS, *command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    def _steps(self):
        """Processes of jobs, which are nobody's children; those of SLURM overwrite their environment with their title."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                ours = process.environ().get("SLURM_CONF") == str(self.configuration)
                ours |= process.cwd() == str(self.folder)
                found += [process] if ours and process.status() != psutil.STATUS_ZOMBIE else []
        return found

    def _write(self):
        for name in ("state", "spool", "munge", "bin"):
            (self.folder / name).mkdir(mode=0o700)
        (self.folder / "munge" / "key").write_bytes(os.urandom(1024))
        (self.folder / "munge" / "key").chmod(0o600)
        user = psutil.Process().username()
        facts = {"host": self.node, "folder": self.folder, "user": user, "ports": _free_ports(2)}
        self.configuration.write_text(CONFIGURATION.format(**facts))
        (self.folder / "gres.conf").write_text("Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n")
        if int(re.search(r"\d+", self.call("sbatch", "--version"))[0]) > 22:  # later ones want cgroups without this
            (self.folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
        srun = self.folder / "bin" / "srun"  # Snakemake's plugin gives srun a clean environment, without SLURM_CONF
        usual = shutil.which("srun", path=PLACES)
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.configuration} exec {usual} "$@"\n')
        srun.chmod(0o755)


def _free_ports(number):
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
