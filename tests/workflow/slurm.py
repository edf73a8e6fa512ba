"""A Slurm of one node with four fake GPUs, on this machine's loopback, for the tests."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

CONFIG = Path("/etc/slurm")
"""Jobs of Snakemake's executor lose SLURM_CONF, so the configuration has to be where Slurm looks for it."""

GPUS = 4

SETTINGS = """\
# Tests of usod, process {process}
ClusterName=usod
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
GresTypes=gpu
ReturnToService=2
KillWait=2
SchedulerParameters=sched_interval=2,batch_sched_delay=0
NodeName={host} NodeAddr=127.0.0.1 CPUs=64 RealMemory=1000000 Gres=gpu:{gpus} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why there can be no such cluster here; empty where there can."""
    for program in ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel"):
        if shutil.which(program) is None:
            return f"{program} is not installed (apt-get install slurm-wlm munge)"
    if " " in sys.executable:
        return f"Snakemake's executor for Slurm takes no Python at a path with a blank: {sys.executable}"
    if os.getuid() != 0:
        return "starting Slurm's daemons needs root"
    remove_leftovers()
    if (CONFIG / "slurm.conf").exists():
        return f"{CONFIG}/slurm.conf is there: this machine has a Slurm of its own"
    return ""


def start(folder: Path) -> None:
    """Start munge, the controller and the node's daemon; wait until the node takes jobs."""
    host = socket.gethostname().partition(".")[0]
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    for number in range(GPUS):  # Slurm wants device files; these are /dev/null by another name
        os.mknod(folder / f"gpu{number}", 0o20666, os.makedev(1, 3))
    CONFIG.mkdir(exist_ok=True)
    settings = SETTINGS.format(host=host, folder=folder, gpus=GPUS, process=os.getpid())
    (CONFIG / "slurm.conf").write_text(settings)
    (CONFIG / "gres.conf").write_text(f"NodeName={host} Name=gpu File={folder}/gpu[0-{GPUS - 1}]\n")
    files = {"key-file": "munge.key", "socket": "munge.sock", "pid-file": "munged.pid", "log-file": "munged.log"}
    options = [f"--{option}={folder / name}" for option, name in files.items()]
    subprocess.run(["munged", "--force", *options, f"--seed-file={folder}/munge.seed"], check=True)
    subprocess.run(["slurmctld"], check=True)
    subprocess.run(["slurmd"], check=True)
    deadline = time.monotonic() + 60
    while "idle" not in subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, check=False).stdout:
        if time.monotonic() > deadline:
            logs = "\n".join(path.read_text()[-2000:] for path in folder.glob("*.log"))
            raise RuntimeError(f"the node did not come up:\n{logs}")
        time.sleep(0.5)
    step = ["srun", "--gpus=1", "--time=1", "env"]
    tried = subprocess.run(step, capture_output=True, text=True, timeout=60, check=False)
    if "CUDA_VISIBLE_DEVICES=" not in tried.stdout:
        raise RuntimeError(f"a job gets no device: {tried.stderr[-500:]}")


def stop(folder: Path) -> None:
    """End the daemons and their jobs, and remove what `start` wrote outside `folder`."""
    daemons = [daemon for name in ("slurmctld", "slurmd", "munged") if (daemon := running(name, folder)) is not None]
    if daemons and daemons[0].name() == "slurmctld":  # scancel waits for a controller that is not there
        subprocess.run(["scancel", "--user=root"], check=False)
    for daemon in daemons:
        daemon.terminate()
    for name in ("slurm.conf", "gres.conf"):
        (CONFIG / name).unlink(missing_ok=True)


def running(name: str, folder: Path) -> psutil.Process | None:
    """The daemon that was started in `folder`, if it still runs."""
    try:
        daemon = psutil.Process(int((folder / f"{name}.pid").read_text()))
        return daemon if daemon.name() == name else None
    except (OSError, ValueError, psutil.NoSuchProcess):
        return None


def remove_leftovers() -> None:
    """Remove what tests left that were killed.

    They would be taken for this machine's own Slurm. And Snakemake's plugin asks Slurm for its configuration whenever
    Snakemake starts: where there is one without a controller that takes nine seconds each time.
    """
    try:
        text = (CONFIG / "slurm.conf").read_text()
    except OSError:
        return
    folder = re.search("^ClusterName=usod$.*^StateSaveLocation=(.*)/state$", text, re.MULTILINE | re.DOTALL)
    process = re.search(r"^# Tests of usod, process (\d+)$", text, re.MULTILINE)
    if folder and not (process and psutil.pid_exists(int(process[1]))):
        stop(Path(folder[1]))
