"""Training steps of two checkouts in turn: `benchmark.py train --against PATH` prints what this measures.

PATH is another checkout of kerasfer, an older one say; or, for TDGAN, what its authors released for PyTorch (with
trainer.py, models.py and LoadData.py), whose own training loop runs then, on random images instead of its data sets.

Each side has a process of its own; one step of the one, one of the other, and so on, so that what else the machine does
meets both alike. Beside the time on the clock stands the processors' time, which tells the cost on a busy machine, too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

__all__ = ["against_rows"]

HERE = Path(__file__).resolve().parent
RELEASED = ("trainer.py", "models.py", "LoadData.py")
"""Files of the authors' TDGAN."""

WARM_UP = 2
"""Steps that do not count: the first ones trace, and fill caches."""

PEOPLE, EXPRESSIONS = 20, 7


def kind_of_checkout(path: Path, model: str) -> str:
    """What is in a checkout: "kerasfer" or "released".

    Raises:
        ValueError: neither.
    """
    if (path / "kerasfer" / "__init__.py").is_file():
        return "kerasfer"
    missing = [name for name in RELEASED if not (path / name).is_file()]
    if not missing and model == "tdgan":
        return "released"
    raise ValueError(
        f"{path}: neither a checkout of kerasfer nor, for tdgan, the authors' code (with {', '.join(RELEASED)}); give "
        "the folder that holds kerasfer/, or trainer.py"
    )


def _commit(path: Path) -> str:
    """Short name of a checkout's commit; "" where there is none."""
    command = ["git", "-C", str(path), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


class _Side:
    """A process that makes a step whenever it is told to."""

    def __init__(self, path: Path, kind: str, options: argparse.Namespace, precision: str) -> None:
        names = (kind, options.model, options.size, precision, str(options.batch_size))
        command = [sys.executable, str(HERE / "against.py"), str(path), *names]
        paths = [str(path), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        # Each side chooses for itself what a user's process would.
        environment.pop("TF_ENABLE_ONEDNN_OPTS", None)
        self._path, self._errors = path, tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
        )

    def step(self) -> tuple[float, float]:
        """Seconds on the clock and of the processors that one step took.

        Raises:
            ValueError: the process ended; the message has its last words.
        """
        answer = ""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        if not answer:
            self._process.wait()
            self._errors.seek(0)
            said = self._errors.read().strip().splitlines() or ["ended without a message"]
            raise ValueError(f"{self._path}: {said[-1]}")
        clock, processors = json.loads(answer)
        return clock, processors

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
        self._errors.close()


def against_rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row a precision: both sides' images/s and processor time an image, and the ratios.

    Args:
        options: of `benchmark.py`: model, size, precision, batch_size, runs, against.

    Raises:
        ValueError: no such checkout, or a side cannot train; the message says why.
    """
    other = Path(options.against).resolve()
    kind = kind_of_checkout(other, options.model)
    if kind == "released" and options.size != "paper":
        raise ValueError(f"{other}: the authors' code has the paper's size alone; leave out --size")
    rows = []
    for precision in options.precision:
        with contextlib.ExitStack() as stack:
            sides = []
            for path, found in ((HERE.parent, "kerasfer"), (other, kind)):
                sides.append(_Side(path, found, options, precision))
                stack.callback(sides[-1].close)
                for _ in range(WARM_UP):
                    sides[-1].step()
            times = [[side.step() for side in sides] for _ in range(options.runs)]
        clock, processors = (
            [statistics.median(turn[side][which] for turn in times) for side in (0, 1)] for which in (0, 1)
        )
        rows.append(
            {
                "what": f"train {options.model} {options.size}",
                "precision": precision,
                "batch": options.batch_size,
                "images/s": round(options.batch_size / clock[0], 2),
                "theirs, images/s": round(options.batch_size / clock[1], 2),
                "times as fast": round(clock[1] / clock[0], 2),
                "processor ms/image": round(1000 * processors[0] / options.batch_size, 2),
                "theirs, processor ms/image": round(1000 * processors[1] / options.batch_size, 2),
                "times the work for a processor second": round(processors[1] / processors[0], 2),
                "theirs": " ".join(filter(None, (kind, _commit(other)))),
                "load average": round(os.getloadavg()[0], 1),
                "runs": options.runs,
            }
        )
    return rows


# -- in the process of one side ----------------------------------------------------------------------------------------


def _answer(turns: TextIO, answers: TextIO, step: Callable[[], Any]) -> None:
    """Makes a step for every line, and answers how long it took."""
    for _ in turns:
        clock, processors = time.perf_counter(), time.process_time()
        step()
        answers.write(json.dumps([time.perf_counter() - clock, time.process_time() - processors]) + "\n")
        answers.flush()


class _Turns:
    """Stands for the authors' data loader: hands out a batch when a turn comes, and answers when it is asked again."""

    def __init__(self, turns: TextIO, answers: TextIO, batch: tuple[Any, ...]) -> None:
        self.turns, self.answers, self.batch = turns, answers, batch

    def __len__(self) -> int:
        return 1 << 30

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for _ in self.turns:
            clock, processors = time.perf_counter(), time.process_time()
            yield self.batch
            self.answers.write(json.dumps([time.perf_counter() - clock, time.process_time() - processors]) + "\n")
            self.answers.flush()
        os._exit(0)


def _run_released(path: Path, precision: str, batch_size: int, turns: TextIO, answers: TextIO) -> None:
    """The authors' own loop, every network at every step as ours, with loaders and data sets that read no files."""
    sys.path.insert(0, str(path))
    try:
        import torch
    except ImportError as error:
        raise ValueError(f"the authors' code needs PyTorch ({error}); pip install torch torchvision") from error
    import LoadData
    import trainer

    random = torch.Generator().manual_seed(0)
    faces, expressions = (torch.rand((batch_size, 1, 128, 128), generator=random) for _ in range(2))
    people, classes = (torch.randint(0, n, (batch_size,), generator=random) for n in (PEOPLE, EXPRESSIONS))
    batch = (faces, people, expressions, classes)
    LoadData.getFaceData = lambda *_, **__: ([], [])
    LoadData.RAFDataset = LoadData.DualTrainDatasetRAF = lambda *_, **__: []
    torch.utils.data.DataLoader = lambda *_, **__: _Turns(turns, answers, batch)
    settings = {
        **{"Nz": 256, "D_GAP_FR": 1, "D_GAP_ER": 1, "BS": batch_size, "epoch": 1, "FR_cls_num": PEOPLE},
        **dict.fromkeys(("IMG_SAVE_GAP", "PAR_SAVE_GAP", "VAL_GAP"), 1 << 30),
        **dict.fromkeys(("LR_D_FR", "LR_D_ER", "LR_G_FR", "LR_G_ER"), 1e-4),
        **{"H_G_FR_f": 0.2, "H_G_ER_f": 0.8, "H_G_FR_PER": 1, "H_G_ER_PER": 0, "H_G_CON_FR": 5, "H_G_CON_ER": 5},
        **{"H_D_FR_r": 1, "H_D_FR_f": 1, "H_D_ER_r": 1, "H_D_ER_f": 0},
        **{"FLAG_GEN_GRAYIMG": True, "FR_DB": "CASIA", "ER_DB": "RAF", "train": True, "device": torch.device("cpu")},
    }
    half = precision == "mixed_bfloat16"
    with tempfile.TemporaryDirectory() as folder:
        cast = torch.autocast("cpu", torch.bfloat16) if half else contextlib.nullcontext()
        with cast:
            trainer.train({**settings, "save_dir": folder})


def _run_kerasfer(
    path: Path, model: str, size: str, precision: str, batch_size: int, turns: TextIO, answers: TextIO
) -> None:
    """A checkout's training step as `benchmark.py` times it; the checkout's own kerasfer is imported."""
    sys.path.insert(0, str(path))
    import kerasfer

    if not Path(kerasfer.__file__).resolve().is_relative_to(path):
        raise ValueError(f"{kerasfer.__file__} was imported instead of this checkout's kerasfer")
    sys.path.insert(1, str(HERE))
    from benchmark import training_step

    _answer(turns, answers, training_step(model, size, precision, batch_size))


def main(arguments: list[str]) -> int:
    """One side: path, kind, model, size, precision, batch size."""
    path, kind, model, size, precision, batch_size = arguments
    # What the code under measure prints must not stand between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        if kind == "released":
            _run_released(Path(path), precision, int(batch_size), sys.stdin, answers)
        else:
            _run_kerasfer(Path(path), model, size, precision, int(batch_size), sys.stdin, answers)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
