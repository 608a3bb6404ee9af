"""A Slurm of two virtual nodes on this machine, without systemd, in a scratch folder; for tests.

Use start() and stop(). CannotStart says why there is none: tests are skipped then, unless CI or MEMCAP_REQUIRE_SLURM is set.
Run as a program, it keeps one for a person to try things: `python3 tests/cluster/local_slurm.py COMMAND...`.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "srun", "sbatch", "munged")
START_S = 60
GENERAL = """ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
MpiDefault=pmix
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
TmpFS={folder}/tmp-%n
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=0,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
KillWait=15
JobRequeue=1
SlurmdParameters=config_overrides
SlurmctldParameters=preempt_send_user_signal
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
NodeName=n[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port={ports} CPUs=16 RealMemory=8000 Gres=gpu:fake:2 State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=8
PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""
GPUS = """AutoDetect=off
NodeName=n[1-2] Name=gpu Type=fake File={folder}/dev/nvidia[0-1]
"""


class CannotStart(Exception):
    """Why no Slurm can be started on this machine."""


def install():
    """Installs Slurm and munge where they are missing and this is possible."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if os.geteuid() != 0:
        raise CannotStart("a Slurm of one's own is started by root only")
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise CannotStart(f"{', '.join(missing)} not found, and this system has no apt-get: install Slurm and munge")
    apt = ["apt-get", "-o", "DPkg::Lock::Timeout=600"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "check": False,
             "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
    subprocess.run([*apt, "update"], **quiet)
    done = subprocess.run([*apt, "install", "--yes", "--no-install-recommends", "slurm-wlm", "munge"], **quiet)
    if done.returncode != 0:
        raise CannotStart(f"{', '.join(missing)} not found, and slurm-wlm and munge cannot be installed: {done.stderr.strip()[-300:]}")


def free_ports(count):
    """The first of so many ports in a row that nobody listens on."""
    for first in range(20000 + os.getpid() % 5000, 32000, count):
        sockets = []
        try:
            for port in range(first, first + count):
                sockets.append(socket.socket())
                sockets[-1].bind(("", port))
            return first
        except OSError:
            continue
        finally:
            for one in sockets:
                one.close()
    raise CannotStart(f"no {count} free ports in a row between 20000 and 32000")


class LocalSlurm:
    """Two nodes n1 and n2 of 16 CPUs and 2 fake GPUs each; partitions `low` (preempted by requeueing) and `high`."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="memcap-slurm-"))
        self.folder.chmod(0o755)  # munged wants to reach its folder as another user
        self.environment = {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf")}
        self.daemons = []

    def start(self):
        """Starts munge and Slurm and waits for both nodes; raises CannotStart."""
        try:
            install()
            for name in ("state", "log", "spool/n1", "spool/n2", "tmp-n1", "tmp-n2", "dev", "munge"):
                (self.folder / name).mkdir(parents=True)
            self.start_munge()
            self.write_configuration()
            self.daemon("slurmctld", "-D")
            for node in ("n1", "n2"):
                self.daemon("slurmd", "-D", "-N", node)
            self.wait_for_nodes()
        except BaseException:
            self.stop()
            raise
        return self

    def start_munge(self):
        folder, owner = self.folder / "munge", pwd.getpwnam("munge")
        (folder / "key").write_bytes(os.urandom(128))
        (folder / "key").chmod(0o400)
        for path in (folder, folder / "key"):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        folder.chmod(0o755)
        self.daemon("munged", "--foreground", "--force", f"--key-file={folder}/key", f"--socket={folder}/socket",
                    f"--pid-file={folder}/pid", f"--log-file={folder}/log", f"--seed-file={folder}/seed",
                    user=owner.pw_uid, group=owner.pw_gid, extra_groups=[])
        deadline_s = time.monotonic() + START_S
        while not (folder / "socket").exists():
            self.expect_alive(deadline_s, "munged opened no socket")

    def write_configuration(self):
        for minor, name in ((3, "nvidia0"), (5, "nvidia1")):
            try:
                os.mknod(self.folder / "dev" / name, 0o20666, os.makedev(1, minor))
            except OSError as problem:
                raise CannotStart(f"no devices can be made here for the GPUs of virtual nodes: {problem}") from problem
        port = free_ports(3)
        facts = {"host": socket.gethostname().split(".")[0], "folder": self.folder, "port": port, "ports": f"{port + 1}-{port + 2}"}
        (self.folder / "slurm.conf").write_text(GENERAL.format(**facts), encoding="utf-8")
        (self.folder / "gres.conf").write_text(GPUS.format(**facts), encoding="utf-8")

    def daemon(self, program, *arguments, **options):
        with open(self.folder / "log" / f"{program}-{len(self.daemons)}.out", "wb") as log:
            self.daemons.append(subprocess.Popen([shutil.which(program), *arguments], stdout=log, stderr=subprocess.STDOUT,
                                                 env=self.environment, start_new_session=True, **options))

    def expect_alive(self, deadline_s, complaint):
        for daemon in self.daemons:
            if daemon.poll() is not None:
                logs = "".join(log.read_text(errors="replace") for log in sorted((self.folder / "log").glob("*")))
                raise CannotStart(f"{daemon.args[0]} ended with status {daemon.returncode}: {logs[-800:]}")
        if time.monotonic() > deadline_s:
            raise CannotStart(f"{complaint} within {START_S} s")
        time.sleep(0.1)

    def wait_for_nodes(self):
        deadline_s = time.monotonic() + START_S
        while self.ask("sinfo", "-h", "-N", "-p", "low", "-o", "%N %t").split() != ["n1", "idle", "n2", "idle"]:
            self.expect_alive(deadline_s, "the nodes were not idle")

    def ask(self, *command):
        """Output of a Slurm command; empty where it fails."""
        return subprocess.run(command, env=self.environment, check=False, capture_output=True, text=True, timeout=60).stdout

    def stop(self):
        """Cancels all jobs, ends the daemons, and removes the folder."""
        if (self.folder / "slurm.conf").exists() and len(self.daemons) > 1:
            self.ask("scancel", "--user=root")
            self.ask("scancel", "--user=root", "--signal=KILL", "--full")
            deadline_s = time.monotonic() + 20
            while self.ask("squeue", "-h").strip() and time.monotonic() < deadline_s:
                time.sleep(0.2)
        for daemon in reversed(self.daemons):
            if daemon.poll() is None:
                daemon.send_signal(signal.SIGTERM)
        for daemon in reversed(self.daemons):
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(daemon.pid, signal.SIGKILL)
                daemon.wait()
        self.daemons.clear()
        shutil.rmtree(self.folder, ignore_errors=True)


def start():
    """A running Slurm; where there can be none, skips the tests that ask, or fails in continuous integration."""
    try:
        return LocalSlurm().start()
    except CannotStart as reason:
        if os.environ.get("CI") or os.environ.get("MEMCAP_REQUIRE_SLURM"):
            raise
        raise unittest.SkipTest(f"no Slurm here: {reason}") from reason


def main():
    slurm = LocalSlurm().start()
    try:
        return subprocess.run(sys.argv[1:] or [os.environ.get("SHELL", "bash")], env=slurm.environment, check=False).returncode
    finally:
        slurm.stop()


if __name__ == "__main__":
    sys.exit(main())
