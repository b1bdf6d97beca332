"""Workers on one machine: told apart, stopped together, started again; and the clusters that start them elsewhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from kerasfer import cluster
from kerasfer.cli import train as command
from kerasfer.cli import workers

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def script(monkeypatch, tmp_path):
    """Lets workers run a script in place of a training; `index`, `count` and the run's folder `run` are known in it."""

    def write(text: str) -> None:
        path = tmp_path / "worker.py"
        path.write_text(
            "import json, os, pathlib, signal, sys, time\n"
            "place = json.loads(os.environ['TF_CONFIG'])\n"
            "index, count = place['task']['index'], len(place['cluster']['worker'])\n"
            f"run = pathlib.Path({str(tmp_path / 'run')!r})\n"
            "def save(name):\n"
            "    (run / 'checkpoints' / name).mkdir(parents=True, exist_ok=True)\n"
            "    (run / 'checkpoints' / name / 'state.safetensors').write_text('')\n"
            f"{text}\n"
        )
        monkeypatch.setattr(workers, "COMMAND", (sys.executable, str(path)))

    return write


def test_each_worker_knows_its_place_and_its_share(script, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    script(
        "print(json.dumps([sys.argv[1:], os.environ['CUDA_VISIBLE_DEVICES'], os.environ['OMP_NUM_THREADS'], place]))\n"
        "print('to the error stream', file=sys.stderr)"
    )
    assert workers.run(2, ["--model", "edge"], tmp_path / "run") == 0
    out, err = capfd.readouterr()
    told = {line.partition(" | ")[0]: json.loads(line.partition(" | ")[2]) for line in out.splitlines()}
    assert set(told) == {"worker 0", "worker 1"}
    clusters = [told[f"worker {index}"][3]["cluster"] for index in range(2)]
    assert clusters[0] == clusters[1] and len(set(clusters[0]["worker"])) == 2
    for index, gpus in enumerate(("4,5", "6,7")):
        arguments, visible, threads, place = told[f"worker {index}"]
        assert (arguments, visible, threads) == (["--model", "edge"], gpus, "3")
        assert place["task"] == {"type": "worker", "index": index}
    assert sorted(err.splitlines()) == ["worker 0 | to the error stream", "worker 1 | to the error stream"]


def test_an_error_of_all_workers_is_told_once_and_nothing_starts_again(script, tmp_path, capfd):
    script("print('error: faces.zip: no such file', file=sys.stderr)\nsys.exit(2)")
    assert workers.run(3, [], tmp_path / "run") == 2
    assert capfd.readouterr().err.count("faces.zip: no such file") == 1


def test_a_worker_that_is_killed_starts_again_with_all_others(script, tmp_path, capfd):
    script(
        "starts = run.parent / f'starts{index}'\n"
        "starts.write_text(starts.read_text() + '.' if starts.exists() else '.')\n"
        "if len(starts.read_text()) == 1:\n"
        "    if index == 1:\n"
        "        other = run.parent / 'starts0'\n"
        "        while not (other.exists() and other.read_text()):\n"
        "            time.sleep(0.01)\n"
        "        save('00002-0000005')\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    time.sleep(600)\n"
    )
    assert workers.run(2, [], tmp_path / "run") == 0
    assert [(tmp_path / f"starts{index}").read_text() for index in range(2)] == ["..", ".."]
    said = capfd.readouterr().err
    assert said == "worker 1 was lost (SIGKILL); all 2 start again from the checkpoint 00002-0000005\n"


def test_the_one_that_noticed_the_loss_is_no_error_of_its_own(script, tmp_path, capfd):
    script(
        "first = run.parent / f'was here {index}'\n"
        "if not first.exists():\n"
        "    first.write_text('')\n"
        f"    sys.exit({workers.LOST})\n"
    )
    assert workers.run(2, [], tmp_path / "run") == 0
    assert "it lost another one" in capfd.readouterr().err


def test_workers_that_never_get_on_are_given_up(script, tmp_path, capfd):
    script(
        "starts = run.parent / 'starts'\n"
        "starts.write_text(starts.read_text() + '.' if starts.exists() else '.')\n"
        "if len(starts.read_text()) == 2: save('00000-0000007')\n"
        "os.kill(os.getpid(), signal.SIGSEGV)"
    )
    assert workers.run(1, [], tmp_path / "run") == 1
    said = capfd.readouterr().err
    # The second start got on, so those after it count anew: it and three more.
    assert (tmp_path / "starts").read_text() == "." * (2 + workers.RESTARTS)
    assert "the beginning, as there is no checkpoint yet" in said and "SIGSEGV" in said
    assert "--save-every" in said.splitlines()[-1] and said.splitlines()[-1].startswith("error: ")


STOPS_AS_ASKED = (
    "def stop(number, frame):\n"
    "    print('saved', flush=True)\n"
    "    sys.exit(130)\n"
    "signal.signal(signal.SIGINT, stop)\n"
    "signal.signal(signal.SIGTERM, stop)\n"
    "(run.parent / f'ready{index}').write_text('')\n"
    "time.sleep(600)"
)


def when_ready(folder: Path, count: int, action) -> threading.Thread:
    def wait() -> None:
        while not all((folder / f"ready{index}").exists() for index in range(count)):
            time.sleep(0.02)
        action()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_stops_all(script, tmp_path, capfd, number):
    script(STOPS_AS_ASKED)
    before = signal.getsignal(number)
    when_ready(tmp_path, 2, lambda: os.kill(os.getpid(), number))
    assert workers.run(2, [], tmp_path / "run") == 130
    assert sorted(capfd.readouterr().out.splitlines()) == ["worker 0 | saved", "worker 1 | saved"]
    assert signal.getsignal(number) is before


def test_a_second_signal_ends_what_does_not_stop(script, tmp_path):
    script(
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n(run.parent / f'ready{index}').write_text('')\ntime.sleep(600)"
    )

    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    when_ready(tmp_path, 2, twice)
    assert workers.run(2, [], tmp_path / "run") == 130


def test_workers_stop_when_the_one_that_started_them_is_gone(script, tmp_path):
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from kerasfer.cli import workers\n"
        "from pathlib import Path\n"
        f"workers.COMMAND = (sys.executable, {str(tmp_path / 'worker.py')!r})\n"
        f"workers.run(2, [], {str(tmp_path / 'run')!r})\n"
    )
    script(
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from kerasfer.cli import workers\n"
        "workers.ends_with_its_parent()\n"
        + STOPS_AS_ASKED.replace("print('saved', flush=True)", "(run.parent / f'saved{index}').touch()")
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    thread = when_ready(tmp_path, 2, parent.kill)
    parent.wait()
    thread.join()
    for _ in range(1000):
        if all((tmp_path / f"saved{index}").exists() for index in range(2)):
            return
        time.sleep(0.02)
    pytest.fail("the workers went on without their parent")


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["--workers", "0"], {}, "--workers and --save-every are more than 0"),
        (["--save-every", "nan"], {}, "--workers and --save-every are more than 0"),
        (["--workers", "2", "--replicas", "2"], {}, "--workers and --replicas say what shares a batch"),
        (["--workers", "2", "--cluster", "slurm"], {}, "--workers and --cluster say"),
        (["--workers", "2"], {"TF_CONFIG": "{}"}, "--workers and the variable TF_CONFIG say"),
        (["--replicas", "2"], {"TF_CONFIG": "{}"}, "--replicas and the variable TF_CONFIG say"),
        (["--cluster", "slurm"], {}, "slurm: SLURM_STEP_NODELIST is not set; start each process by srun"),
        (["--cluster", "jobset"], {}, "jobset: JOBSET_NAME is not set; give the pods"),
    ],
)
def test_bad_input_of_the_command(monkeypatch, arguments, environment, message):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        command.main(["--model", "edge", *arguments])


def test_a_run_whose_folder_is_not_known_is_refused():
    with pytest.raises(ValueError, match="--output"):
        command.main(["--start-from", "edge", "--workers", "2"])


# -- clusters ----------------------------------------------------------------------------------------------------------


def test_the_place_of_a_task_of_slurm():
    found = cluster.tf_config(
        "slurm",
        {"SLURM_STEP_NODELIST": "n[2,10],gpu-a", "SLURM_STEP_TASKS_PER_NODE": "2(x2),1", "SLURM_PROCID": "2"},
        port=5000,
    )
    addresses = ["n2:5000", "n2:5001", "n10:5000", "n10:5001", "gpu-a:5000"]
    assert found == {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": 2}}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("localhost", ["localhost"]),
        ("a[08-11]", ["a08", "a09", "a10", "a11"]),
        ("a[1,3-4].x,b", ["a1.x", "a3.x", "a4.x", "b"]),
        ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
    ],
)
def test_lists_of_hosts(text, names):
    assert cluster.host_names(text) == names


@pytest.mark.parametrize("text", ["", "a[1-", "a]1", "a[3-1]", "a[x]", "a b", "a[1-999999999]", "a[[1]]"])
def test_what_is_no_list_of_hosts(text):
    with pytest.raises(ValueError, match="is no list of hosts"):
        cluster.host_names(text)


def test_the_place_of_a_pod():
    names = {"JOBSET_NAME": "fer", "REPLICATED_JOB": "workers", "WORKERS": "2", "JOB_COMPLETION_INDEX": "1"}
    found = cluster.tf_config("jobset", names)
    assert found["cluster"]["worker"] == ["fer-workers-0-0.fer:12345", "fer-workers-0-1.fer:12345"]
    assert found["task"] == {"type": "worker", "index": 1}
    for change, message in (
        ({"JOB_COMPLETION_INDEX": "2"}, "process 2 is none of 2"),
        ({"WORKERS": "two"}, "WORKERS is 'two', which is no number"),
    ):
        with pytest.raises(cluster.ClusterError, match=message):
            cluster.tf_config("jobset", {**names, **change})


def test_bad_variables_of_slurm():
    names = {"SLURM_STEP_NODELIST": "a,b", "SLURM_STEP_TASKS_PER_NODE": "1(x2)", "SLURM_PROCID": "0"}
    for change, message in (
        ({"SLURM_STEP_TASKS_PER_NODE": "2"}, "SLURM_STEP_NODELIST has 2 hosts, SLURM_STEP_TASKS_PER_NODE tells of 1"),
        ({"SLURM_STEP_TASKS_PER_NODE": "x"}, "tells no numbers of tasks"),
        ({"SLURM_PROCID": "2"}, "process 2 is none of 2"),
    ):
        with pytest.raises(cluster.ClusterError, match=message):
            cluster.tf_config("slurm", {**names, **change})
    with pytest.raises(cluster.ClusterError, match="known are jobset, slurm"):
        cluster.tf_config("mesos", {})


# -- whole trainings ---------------------------------------------------------------------------------------------------


def training(folder: Path, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "kerasfer", "train", "--model", "edge", "--size", "tiny", "--images", "200", "--quiet"),
        *("--set", "epochs=2", "--output", str(folder), "--deterministic", "--save-every", "1", *more),
    ]


def state(folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(max(folder.glob("checkpoints/*/state.safetensors")))


def assert_same_state(folder: Path, other: Path) -> None:
    found, expected = state(folder), state(other)
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    subprocess.run(training(folder, "--workers", "2"), check=True, cwd=ROOT, capture_output=True)
    return folder


@pytest.mark.slow
def test_a_training_whose_worker_is_killed_ends_as_the_undisturbed_one(undisturbed, tmp_path):
    folder = tmp_path / "run"
    parent = subprocess.Popen(training(folder, "--workers", "2"), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    for nth in (1, 2):
        while len(list(folder.glob("checkpoints/0*"))) < nth and parent.poll() is None:
            time.sleep(0.05)
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        os.kill(int(children[-1 if nth == 1 else 0]), signal.SIGKILL)
        time.sleep(0.5)
    said = parent.communicate()[1]
    assert parent.returncode == 0 and said.count("was lost (SIGKILL)") == 2
    assert_same_state(folder, undisturbed)


@pytest.mark.slow
def test_ctrl_c_saves_and_the_same_command_goes_on(undisturbed, tmp_path):
    folder = tmp_path / "run"
    parent = subprocess.Popen(training(folder, "--workers", "2"), cwd=ROOT)
    while not list(folder.glob("checkpoints/0*")) and parent.poll() is None:
        time.sleep(0.05)
    parent.send_signal(signal.SIGINT)
    assert parent.wait() == 130
    subprocess.run(training(folder, "--workers", "2"), check=True, cwd=ROOT, capture_output=True)
    assert_same_state(folder, undisturbed)
