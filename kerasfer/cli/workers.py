"""Several processes of one training on this machine: started together, told apart, stopped together, started again.

    code = run(2, ["--model", "edge", "--output", "runs/edge", "--workers", "2"], "runs/edge")

Each process is `kerasfer train` with the same arguments and a TF_CONFIG of its own
(`tf.distribute.MultiWorkerMirroredStrategy`). When one is lost (killed, out of memory, crashed), the others cannot go
on alone: all are ended and started again, and go on from the last checkpoint with the losses that they would have had.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from kerasfer.cli.common import say

__all__ = ["LOST", "Workers", "ends_with_its_parent", "is_worker", "run"]

LOST = 75
"""Exit code of a process that lost another one of its training; the same command resumes it (EX_TEMPFAIL)."""

RESTARTS = 3
"""How often workers are started again that wrote no checkpoint in between."""

COMMAND = (sys.executable, "-m", "kerasfer", "train")
"""What each worker runs."""

_MARK = "KERASFER_WORKER"
_PATIENCE = 120.0
"""Seconds that the others get when one has ended as it was asked to, or because the input is bad."""


def is_worker() -> bool:
    """Whether this process was started by `run`."""
    return _MARK in os.environ


def ends_with_its_parent() -> None:
    """Lets a process that `run` started stop, saving its state, when that one is gone: its input then ends."""

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1024):
                pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_PATIENCE)
        os._exit(LOST)

    threading.Thread(target=wait, daemon=True, name="parent").start()


class Workers:
    """The processes of one attempt.

    Args:
        count: how many.
        arguments: of `kerasfer train`.
    """

    def __init__(self, count: int, arguments: Sequence[str]) -> None:
        addresses = [f"127.0.0.1:{port}" for port in _free_ports(count)]
        self._said: set[str] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self.processes: list[subprocess.Popen[str]] = []
        try:
            for index in range(count):
                process = subprocess.Popen(
                    [*COMMAND, *arguments],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=_environment(index, addresses),
                    text=True,
                    errors="replace",
                    start_new_session=True,
                )
                self.processes.append(process)
                for stream, shown in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
                    thread = threading.Thread(target=self._show, args=(index, stream, shown), daemon=True)
                    thread.start()
                    self._threads.append(thread)
        except BaseException:
            self.kill()
            raise

    def _show(self, index: int, stream: IO[str], shown: Any) -> None:
        """Prints what a worker prints, its number before each line; the same error of several workers once."""
        for line in stream:
            line = line.rstrip("\n")
            with self._lock:
                if line.startswith("error: "):
                    if line in self._said:
                        continue
                    self._said.add(line)
                say(f"worker {index} | {line}", shown)

    def codes(self) -> list[int | None]:
        """Exit code of each; negative for a signal, None while it runs."""
        return [process.poll() for process in self.processes]

    def signal(self, number: int) -> None:
        """Sends a signal to those that run."""
        for process in self.processes:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(number)

    def kill(self) -> None:
        """Ends all, and returns when they are gone."""
        self.signal(signal.SIGKILL)
        for process in self.processes:
            process.wait()
        for thread in self._threads:
            thread.join(5)
        for process in self.processes:
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    def wait(self, asked: threading.Event) -> list[int | None]:
        """Exit codes, when all have ended; None for those that were ended here.

        One that was lost ends the others at once. Where one stopped as it should, with an error of its own or because
        that was asked for, the others get some time to do the same.
        """
        since = None
        while None in (codes := self.codes()):
            ended = [code for code in codes if code not in (None, 0)]
            if any(_is_loss(code) for code in ended) and not asked.is_set():
                break
            if ended:
                since = since or time.monotonic()
                if time.monotonic() - since > _PATIENCE:
                    break
            time.sleep(0.05)
        codes = self.codes()
        self.kill()
        return codes


def _is_loss(code: int | None) -> bool:
    """Whether a process ended in a way that starting it again may mend."""
    return code is not None and (code < 0 or code == LOST)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for entry in sockets:
            entry.bind(("127.0.0.1", 0))
        return [entry.getsockname()[1] for entry in sockets]


def _environment(index: int, addresses: Sequence[str]) -> dict[str, str]:
    """The variables of one worker: its place in the cluster, and its share of the processors and of the GPUs named."""
    count = len(addresses)
    threads = str(max(1, (os.cpu_count() or 1) // count))
    task = {"cluster": {"worker": list(addresses)}, "task": {"type": "worker", "index": index}}
    found = {"OMP_NUM_THREADS": threads, "TF_NUM_INTRAOP_THREADS": threads, **os.environ}
    found |= {"TF_CONFIG": json.dumps(task), _MARK: f"{index} of {count}", "PYTHONUNBUFFERED": "1"}
    package = str(Path(__file__).resolve().parents[2])
    found["PYTHONPATH"] = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    gpus = [gpu for gpu in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu]
    if gpus:
        share = len(gpus) // count
        found["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[index * share : (index + 1) * share])
    return found


@contextlib.contextmanager
def _passed_on(asked: threading.Event, current: list[Workers]) -> Iterator[None]:
    """Ctrl-C and SIGTERM ask the workers to save and stop; a second time they are ended."""

    def handle(number: int, frame: Any) -> None:
        if asked.is_set():
            for workers in current:
                workers.signal(signal.SIGKILL)
        else:
            asked.set()
            for workers in current:
                workers.signal(signal.SIGINT)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _newest(folder: Path) -> str:
    """The name of the newest whole checkpoint of a run; "" if there is none."""
    found = (folder / "checkpoints").glob("[0-9]*-[0-9]*/state.safetensors")
    return max((path.parent.name for path in found), default="")


def run(count: int, arguments: Sequence[str], folder: str | os.PathLike[str]) -> int:
    """Trains with several processes on this machine; returns the exit code of `kerasfer train`.

    Args:
        count: of processes.
        arguments: of the command.
        folder: of the run, whose checkpoints tell whether it gets on.
    """
    folder, asked = Path(folder), threading.Event()
    current: list[Workers] = []
    in_vain, last = 0, _newest(folder)
    with _passed_on(asked, current):
        while True:
            workers = Workers(count, arguments)
            current[:] = [workers]
            if asked.is_set():
                workers.signal(signal.SIGINT)
            codes = workers.wait(asked)
            if asked.is_set():
                return 130 if any(code != 0 for code in codes) else 0
            lost = {index: code for index, code in enumerate(codes) if code is not None and _is_loss(code)}
            own = [code for code in codes if code and not _is_loss(code)]
            if own or not lost:
                # One that stopped with an error of its own would do so again; what it did to the others is no loss.
                return max(own, default=0)
            newest = _newest(folder)
            in_vain, last = (in_vain + 1 if newest == last else 1), newest
            first = min(lost, key=lambda index: lost[index] == LOST)
            how = _ending(lost[first])
            place = f"the checkpoint {newest}" if newest else "the beginning, as there is no checkpoint yet"
            if in_vain > RESTARTS:
                say(
                    f"error: worker {first} was lost ({how}) {in_vain} times without a new checkpoint; look for what "
                    "ends it (memory?), or let checkpoints come sooner (--save-every); the same command resumes it",
                    sys.stderr,
                )
                return 1
            say(f"worker {first} was lost ({how}); all {count} start again from {place}", sys.stderr)


def _ending(code: int) -> str:
    if code == LOST:
        return "it lost another one"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
