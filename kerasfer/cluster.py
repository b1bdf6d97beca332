"""Which processes train together, as a cluster's own variables tell it: the TF_CONFIG of this one.

    os.environ["TF_CONFIG"] = json.dumps(tf_config("slurm", os.environ))

`kerasfer train --cluster slurm` does so in every task that srun starts, `--cluster jobset` in every pod of a Kubernetes
JobSet. Ray Train sets TF_CONFIG itself.

TensorFlow's own `SlurmClusterResolver` is not used: it sorts hosts as text, n10 before n2, while Slurm counts, so that
processes are looked for on one another's machines; and it cannot do without GPUs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["SYSTEMS", "ClusterError", "host_names", "tf_config"]

SYSTEMS = ("jobset", "slurm")
"""The systems whose variables are known."""

PORT = 12345
"""The port that the first process of a machine listens on; the second takes the next, and so on."""

_REMEDIES = {
    "jobset": "give the pods the variables of examples/cluster/jobset.yaml",
    "slurm": "start each process by srun, as examples/cluster/train.sbatch does",
}


class ClusterError(ValueError):
    """The variables of a cluster are missing or make no sense; the message names them."""


def tf_config(system: str, environ: Mapping[str, str], port: int = PORT) -> dict[str, Any]:
    """What TF_CONFIG has to say in this process.

    Args:
        system: "slurm" or "jobset".
        environ: the variables of this process. Slurm: SLURM_STEP_NODELIST, SLURM_STEP_TASKS_PER_NODE and SLURM_PROCID,
            which srun sets. JobSet: JOBSET_NAME, REPLICATED_JOB and WORKERS, which the pods' template sets (as
            examples/cluster/jobset.yaml does), and JOB_COMPLETION_INDEX, which Kubernetes sets.
        port: that the first process of a machine listens on.

    Returns:
        {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": number}}

    Raises:
        ClusterError: a variable is missing or makes no sense.
    """
    if system not in SYSTEMS:
        raise ClusterError(f"no cluster {system!r}; known are {', '.join(SYSTEMS)}")
    try:
        workers, index = (_of_slurm if system == "slurm" else _of_jobset)(environ, port)
        if not 0 <= index < len(workers):
            raise ValueError(f"process {index} is none of {len(workers)}, which count from 0")
    except ValueError as error:
        raise ClusterError(f"{system}: {error}; {_REMEDIES[system]}") from error
    return {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}


def _of_slurm(environ: Mapping[str, str], port: int) -> tuple[list[str], int]:
    hosts = host_names(_value(environ, "SLURM_STEP_NODELIST"))
    tasks = _tasks(_value(environ, "SLURM_STEP_TASKS_PER_NODE"))
    if len(hosts) != len(tasks):
        raise ValueError(f"SLURM_STEP_NODELIST has {len(hosts)} hosts, SLURM_STEP_TASKS_PER_NODE tells of {len(tasks)}")
    workers = [f"{host}:{port + number}" for host, count in zip(hosts, tasks) for number in range(count)]
    return workers, _number(environ, "SLURM_PROCID")


def _of_jobset(environ: Mapping[str, str], port: int) -> tuple[list[str], int]:
    name, job = _value(environ, "JOBSET_NAME"), _value(environ, "REPLICATED_JOB")
    count = _number(environ, "WORKERS")
    workers = [f"{name}-{job}-0-{number}.{name}:{port}" for number in range(count)]
    return workers, _number(environ, "JOB_COMPLETION_INDEX")


def _value(environ: Mapping[str, str], name: str) -> str:
    if not environ.get(name):
        raise ValueError(f"{name} is not set")
    return environ[name]


def _number(environ: Mapping[str, str], name: str) -> int:
    text = _value(environ, name)
    if not re.fullmatch(r"\d{1,6}", text):
        raise ValueError(f"{name} is {text!r}, which is no number")
    return int(text)


def host_names(text: str) -> list[str]:
    """The hosts of a list as Slurm writes it: "a[01-03,7],b" -> a01, a02, a03, a7, b.

    Raises:
        ValueError: it is no such list.
    """
    names: list[str] = []
    for part in re.findall(r"(?:[^,\[\]]|\[[^\[\]]*\])+", text):
        pieces = re.split(r"\[([^\[\]]*)\]", part)
        found = [pieces[0]]
        for numbers, after in zip(pieces[1::2], pieces[2::2]):
            found = [before + number + after for before in found for number in _range(text, numbers)]
        names += found
    outside = re.sub(r"\[[^\[\]]*\]", "", text)
    if not names or "[" in outside or "]" in outside or not all(re.fullmatch(r"[\w.-]+", name) for name in names):
        raise ValueError(f"{text!r} is no list of hosts")
    return names


def _range(text: str, numbers: str) -> list[str]:
    found: list[str] = []
    for part in numbers.split(","):
        match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part)
        if not match or not 0 <= int(match[2] or match[1]) - int(match[1]) < 100_000:
            raise ValueError(f"{text!r} is no list of hosts")
        found += [f"{number:0{len(match[1])}}" for number in range(int(match[1]), int(match[2] or match[1]) + 1)]
    return found


def _tasks(text: str) -> list[int]:
    """Tasks of each host: "2(x3),1" -> 2, 2, 2, 1."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,6})(?:\(x(\d{1,6})\))?", part)
        if not match:
            raise ValueError(f"SLURM_STEP_TASKS_PER_NODE is {text!r}, which tells no numbers of tasks")
        found += [int(match[1])] * int(match[2] or 1)
    return found
