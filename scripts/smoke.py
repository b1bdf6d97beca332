"""Whether an installed kerasfer works: from a photo to expressions, and as far as the environment goes.

    python scripts/smoke.py whole    with TensorFlow: recognize by Keras and by TFLite, train, save, load, export
    python scripts/smoke.py lite     without TensorFlow: recognize by TFLite, and say clearly what else would need
    python scripts/smoke.py --numpy 1.26 --python 3.10 whole    and these versions are the ones that run

Works in an empty folder of its own, outside the checkout, so that it is the installed package that is tried. Prints
the versions and what was done; exit code 1 with the reason if something fails. scripts/matrix.sh runs it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHOWN = ("numpy", "pillow", "ai-edge-litert", "tensorflow", "tensorflow-cpu", "keras", "opencv-python-headless")
SHOWN = (*SHOWN, "scikit-learn", "scipy", "matplotlib", "safetensors", "protobuf", "pandas", "mediapipe", "av")


def check(condition: bool, what: str) -> None:
    """Says that something holds, or stops."""
    if not condition:
        sys.exit(f"FAILED: {what}")
    print(f"  ok: {what}")


def recognize(photo: str) -> None:
    """What needs no TensorFlow."""
    from kerasfer import lite
    from kerasfer.detection import blendshapes

    for name in ("ipdfer", "edge"):
        (face,) = lite.Pipeline(name).recognize(photo)
        check(face.expression == "happiness", f"{name}'s TFLite file sees {face.expression}")
    from kerasfer import images

    (scores,) = blendshapes(images.read(photo))
    check(scores is not None and scores["mouthSmileLeft"] > 0.3, "the blendshapes see the smile")


def command(*words: str, code: int = 0) -> str:
    """Runs kerasfer's command; returns what it prints, on stderr if it is to fail."""
    found = Path(sys.executable).with_name("kerasfer")
    done = subprocess.run([found, *words], capture_output=True, text=True, check=False)
    if done.returncode != code:
        sys.exit(f"FAILED: kerasfer {' '.join(words)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    print(f"  ok: kerasfer {' '.join(words)}")
    return done.stderr if code else done.stdout


def without_tensorflow(photo: str) -> None:
    """What a device's environment says of what it lacks."""
    import kerasfer

    for module in ("tensorflow", "keras", "cv2", "scipy", "sklearn", "matplotlib", "safetensors"):
        check(importlib.util.find_spec(module) is None, f"{module} is not installed")
    try:
        kerasfer.load("edge")
    except ImportError as error:
        check("pip install" in str(error) and "kerasfer[train]" in str(error), f"kerasfer.load says: {error}")
    else:
        sys.exit("FAILED: kerasfer.load works without Keras")


def with_tensorflow(photo: str) -> None:
    """Recognizes by Keras, trains a tiny model for a few steps, saves, loads and exports it."""
    import numpy as np

    import kerasfer
    from kerasfer import detection, lite

    (face,) = kerasfer.recognize(photo)
    check(face.expression == "happiness", f"the default model sees {face.expression}")
    check(len(kerasfer.list_models(trained=True)) >= 7, "the bundled models are there")
    for name in ("haar", "mtcnn", "mediapipe_solutions"):
        try:
            detection.find_detector(name)
        except detection.DetectionError as error:
            check("pip install" in str(error), f"{error}")
            continue
        (found,) = kerasfer.recognize(photo, model="edge", detector=name)
        check(found.box.intersection_over_union(face.box) > 0.5, f"{name} sees the same face")
    least = ["--size", "tiny", "--images", "200", "--set", "epochs=1", "--set", "batch_size=16"]
    command("train", "--model", "edge", *least, "--output", "run", "--quiet")
    model = kerasfer.load("run")
    kerasfer.save(model, "saved")
    faces = np.zeros((2, *model.image_spec.shape), np.float32)
    answer = np.asarray(model.recognizer()(faces))
    again = np.asarray(kerasfer.load("saved").recognizer()(faces))
    check(bool(np.array_equal(answer, again)), "trained, saved and loaded, it answers the same")
    kerasfer.export(model, "exported", formats=("float32",))
    run = lite.Recognizer("exported/model.tflite").run(faces)
    check(float(np.abs(run - answer).max()) < 1e-4, "its TFLite file answers the same")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("whole", "lite"))
    parser.add_argument("--numpy", help="beginning of the version that numpy must have")
    parser.add_argument("--python", help="the same of Python")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        import kerasfer
        from kerasfer import sample

        versions = {distribution.metadata["Name"].lower() for distribution in importlib.metadata.distributions()}
        shown = [f"{name} {importlib.metadata.version(name)}" for name in SHOWN if name in versions]
        print(f"Python {platform.python_version()} on {platform.platform()}: {', '.join(shown)}")
        check(not Path(kerasfer.__file__).is_relative_to(ROOT / "kerasfer"), "the package installed is the one tried")
        if options.python:
            check(platform.python_version().startswith(options.python), f"Python is {options.python}")
        if options.numpy:
            check(importlib.metadata.version("numpy").startswith(options.numpy), f"NumPy is {options.numpy}")
        photo = str(sample.PHOTO)
        recognize(photo)
        text = command("recognize", photo)
        check("happiness" in text, "the command sees happiness")
        check(not list(Path(folder).iterdir()), "nothing was written unasked")
        {"lite": without_tensorflow, "whole": with_tensorflow}[options.what](photo)
        os.chdir("/")
    print("all well")
    return 0


if __name__ == "__main__":
    sys.exit(main())
