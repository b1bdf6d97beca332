"""After os.fork() kerasfer.lite answers, and Keras models say at once that they cannot; spawned processes always do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

FORKED = """
def in_child(function):
    import os

    inside, outside = os.pipe()
    child = os.fork()
    if not child:
        try:
            answer = repr(function())
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(outside, answer.encode())
        os._exit(0)
    os.close(outside)
    with os.fdopen(inside) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer
"""


def run(code):
    """What a program prints. A minute is an hour for it: it would hang, or it would not."""
    done = subprocess.run(
        [sys.executable, "-c", FORKED + code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


LITE = """
import numpy as np
from kerasfer import images, lite

photo = images.read("kerasfer/astronaut.jpg")
photo = np.hstack([photo, photo])
"""


@needs_fork
@pytest.mark.parametrize("threads", [1, 2])
def test_a_pipeline_goes_on_in_a_child_and_in_its_child(threads):
    code = f"""
pipeline = lite.Pipeline("edge", threads={threads})
def look():
    return [(face.expression, round(face.confidence, 3)) for face in pipeline.recognize(photo)]
print(look(), in_child(look), in_child(lambda: in_child(look)), look(), sep="\\n")
"""
    answers = run(LITE + code)
    assert len({answer.strip('"') for answer in answers}) == 1 and answers[0].count("(") == 2


@needs_fork
def test_a_recognizer_goes_on_whatever_other_threads_do_meanwhile():
    """A thread that holds the lock, or opens a file with stderr turned off, is not there in the child."""
    code = """
import threading
from kerasfer import interpreter
recognizer = lite.Recognizer("saved_models/edge/model_float16.tflite", threads=2)
face = photo[:200, 100:300]
expected = recognizer.recognize(face)
held, go = threading.Event(), threading.Event()
def hold():
    with recognizer._lock:
        held.set()
        go.wait()
threading.Thread(target=hold).start()
held.wait()
print(in_child(lambda: bool(np.abs(recognizer.recognize(face) - expected).max() < 1e-6)))
go.set()
print(bool(np.abs(recognizer.recognize(face) - expected).max() < 1e-6))
stop = threading.Event()
def reopen():
    while not stop.is_set():
        lite.Recognizer("saved_models/edge/model_int8.tflite")
threading.Thread(target=reopen).start()
def stderr_is_there():
    import os
    lite.Recognizer("saved_models/edge/model_int8.tflite")
    return os.fstat(2).st_ino != os.stat(os.devnull).st_ino
print({in_child(stderr_is_there) for _ in range(20)})
stop.set()
"""
    assert run(LITE + code) == ["True", "True", "{'True'}"]


@needs_fork
def test_keras_models_refuse_at_once_and_lite_does_not():
    code = """
import kerasfer
model = kerasfer.create("edge", size="tiny")
recognizer = model.recognizer()
faces = np.zeros((2, *model.image_spec.shape), np.float32)
recognizer(faces)
print(in_child(lambda: recognizer(faces)))
print(in_child(lambda: recognizer.predict(faces)))
print(in_child(lambda: recognizer.predict_on_batch(faces)))
print(in_child(lambda: model(faces)))
import keras, tempfile
path = tempfile.mkdtemp() + "/recognizer.keras"
recognizer.save(path)
again = keras.models.load_model(path)
print(in_child(lambda: again(faces)))
print(in_child(lambda: kerasfer.recognize(photo, model=model)))
print(in_child(lambda: kerasfer.create("edge", size="tiny")))
print(in_child(lambda: kerasfer.load("edge")))
print(in_child(lambda: len(kerasfer.recognize(photo, model="saved_models/edge/model_int8.tflite"))))
print(recognizer(faces).shape[0])
"""
    *refused, lite, parent = run(LITE + code)
    assert len(refused) == 8 and lite == "2" and parent == "2"
    for line in refused:
        assert line.startswith("ForkError: TensorFlow cannot compute in a process made by os.fork()")
        assert "multiprocessing.get_context('spawn')" in line


@pytest.mark.slow
@needs_fork
def test_a_model_that_is_first_made_in_a_child_works_there():
    code = """
import numpy as np
import kerasfer
def first():
    model = kerasfer.create("edge", size="tiny")
    return model.recognizer()(np.zeros((2, *model.image_spec.shape), np.float32)).shape[0]
print(in_child(first), in_child(first))
"""
    assert run(code) == ["2 2"]


def test_a_pool_of_spawned_processes(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        """
import multiprocessing
import numpy as np

def look(number):
    from kerasfer import lite
    recognizer = lite.Recognizer("saved_models/edge/model_int8.tflite", threads=2)
    return recognizer.recognize(np.full((48, 48), number, np.uint8)).tolist()

if __name__ == "__main__":
    here = [look(number) for number in (3, 150)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(look, [3, 150]) == here)
"""
    )
    assert run(
        f"import runpy, sys; sys.argv = [{str(program)!r}]; runpy.run_path(sys.argv[0], run_name='__main__')"
    ) == ["True"]
