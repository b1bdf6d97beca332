"""The recipes in examples/cluster: what can be tried of them without a cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kerasfer import cluster
from kerasfer.cli import train as command

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ROOT / "examples/cluster"

SRUN = """#!{python}
import os, subprocess, sys
arguments = [text for text in sys.argv[1:] if text not in ("--kill-on-bad-exit=1", "--label")]
codes = []
for number in range(2):
    place = dict(SLURM_STEP_NODELIST="localhost", SLURM_STEP_TASKS_PER_NODE="2", SLURM_PROCID=str(number))
    codes.append(subprocess.Popen(arguments, env=dict(os.environ, **place)))
codes = [process.wait() for process in codes]
sys.exit(max(code if code >= 0 else 128 - code for code in codes))
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Runs train.sbatch with an srun that starts two processes here; what each is given goes to files."""

    def run(task: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
        (tmp_path / "bin").mkdir(exist_ok=True)
        srun = tmp_path / "bin/srun"
        srun.write_text(SRUN.format(python=sys.executable))
        srun.chmod(0o755)
        found = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "KERASFER": task, **variables}
        script = ["bash", str(RECIPES / "train.sbatch"), *arguments]
        return subprocess.run(script, env=found, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def test_what_slurm_says_becomes_the_place_of_each_task(slurm, tmp_path):
    task = tmp_path / "task.py"
    task.write_text(
        f"import json, os, pathlib, sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from kerasfer import cluster\nfrom kerasfer.cli import train\n"
        "options = train.parser().parse_args(sys.argv[2:])\n"
        "found = cluster.tf_config(options.cluster, os.environ)\n"
        "pathlib.Path(f'place{found[\"task\"][\"index\"]}').write_text(json.dumps([found['cluster'], vars(options)]))\n"
    )
    done = slurm(f"{sys.executable} {task}", "--set", "epochs=3", SHARDS="/shared/shards", RUN="/shared/run")
    assert done.returncode == 0, done.stderr
    places = [json.loads((tmp_path / f"place{index}").read_text()) for index in range(2)]
    for found, options in places:
        assert found == {"worker": [f"localhost:{cluster.PORT}", f"localhost:{cluster.PORT + 1}"]}
        assert (options["dataset"], options["data"], options["output"]) == ("shards", "/shared/shards", "/shared/run")
        assert options["overrides"] == ["epochs=3"]


@pytest.mark.parametrize(
    ("codes", "expected", "starts"), [("75 137 0", 0, 3), ("2", 2, 1), ("1", 1, 1), ("130", 130, 1)]
)
def test_slurm_tries_again_after_a_loss_and_not_after_an_error(slurm, tmp_path, codes, expected, starts):
    task = tmp_path / "task.py"
    task.write_text(
        "import os, pathlib, sys\n"
        "path = pathlib.Path('starts' + os.environ['SLURM_PROCID'])\n"
        "path.write_text(path.read_text() + '.' if path.exists() else '.')\n"
        f"codes = {codes.split()!r}\n"
        "sys.exit(int(codes[len(path.read_text()) - 1]))\n"
    )
    assert slurm(f"{sys.executable} {task}", SHARDS="s", RUN="r").returncode == expected
    assert (tmp_path / "starts0").read_text() == "." * starts


def test_slurm_says_what_is_missing(slurm):
    done = slurm("true")
    assert done.returncode and "SHARDS" in done.stderr


def test_the_job_set_holds_together():
    yaml = pytest.importorskip("yaml")
    told = yaml.safe_load((RECIPES / "jobset.yaml").read_text())
    assert (told["apiVersion"], told["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    (job,) = told["spec"]["replicatedJobs"]
    spec = job["template"]["spec"]
    assert spec["completionMode"] == "Indexed" and job["replicas"] == 1 and spec["backoffLimit"] == 0
    (container,) = spec["template"]["spec"]["containers"]
    rules = spec["podFailurePolicy"]["rules"]
    assert [rule["onExitCodes"]["containerName"] for rule in rules] == [container["name"]]
    assert spec["template"]["spec"]["restartPolicy"] == "Never", "podFailurePolicy needs it"
    labels = {
        "metadata.labels['jobset.sigs.k8s.io/jobset-name']": told["metadata"]["name"],
        "metadata.labels['jobset.sigs.k8s.io/replicatedjob-name']": job["name"],
    }
    environ = {"JOB_COMPLETION_INDEX": str(spec["completions"] - 1)}
    for entry in container["env"]:
        environ[entry["name"]] = entry.get("value") or labels[entry["valueFrom"]["fieldRef"]["fieldPath"]]
    found = cluster.tf_config("jobset", environ)
    count = spec["parallelism"]
    assert count == spec["completions"] == len(found["cluster"]["worker"]) == found["task"]["index"] + 1
    assert found["cluster"]["worker"][0] == f"fer-workers-0-0.fer:{container['ports'][0]['containerPort']}"
    assert told["spec"]["network"]["enableDNSHostnames"]
    assert container["command"][:2] == ["kerasfer", "train"]
    options = command.parser().parse_args([*container["command"][2:], *container["args"]])
    mounted = container["volumeMounts"][0]
    assert options.cluster == "jobset" and options.data.startswith(mounted["mountPath"])
    assert mounted["name"] == spec["template"]["spec"]["volumes"][0]["name"]


# -- whole trainings ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    pytest.importorskip("pyarrow")
    from kerasfer import datasets
    from kerasfer.datasets import shards

    folder = tmp_path_factory.mktemp("faces") / "shards"
    shards.write(datasets.load("synthetic", count=160, identities=8, size=32), folder, rows=50)
    return folder


def state(folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(max(folder.glob("checkpoints/*/state.safetensors")))


@pytest.mark.slow
def test_two_tasks_of_slurm_train(slurm, faces, tmp_path):
    done = slurm(
        f"{sys.executable} -m kerasfer",
        *("--size", "tiny", "--set", "epochs=1"),
        SHARDS=str(faces),
        RUN=str(tmp_path / "run"),
        PYTHONPATH=str(ROOT),
    )
    assert done.returncode == 0, done.stderr
    assert "trained: " in done.stdout and state(tmp_path / "run")


@pytest.mark.slow
def test_ray_trains_with_two_workers(faces, tmp_path):
    pytest.importorskip("ray.train.tensorflow")
    recipe = [sys.executable, str(RECIPES / "ray_train.py"), "--shards", str(faces), "--output", str(tmp_path / "run")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_ADDRESS": "local"}
    subprocess.run([*recipe, "--size", "tiny", "--epochs", "1"], check=True, env=environment, cwd=tmp_path)
    assert state(tmp_path / "run")
