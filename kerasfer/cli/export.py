"""Exports a trained model as SavedModel, TFLite and ONNX, and shows how near each file is to the model.

    kerasfer export --model tdgan --data DIR
    kerasfer export --model runs/tdgan --formats float32 int8 --output phone/
    kerasfer export --model runs/fesr --part all
    kerasfer export --model edge --formats onnx
    kerasfer export --model tdgan --bundle phone/

It writes the recognizer as saved_model/, model.tflite (float32), model_float16.tflite, model_dynamic.tflite (int8
weights), model_int8.tflite (int8 weights and activations) and parity.json, and if asked for as model.onnx; the
generator likewise, with generator_ in front (generator.tflite, generator.onnx). Exit code 0: all done; 1: written, but
a figure misses its target; 2: nothing was written.

A bundle is a folder that recognizes by itself, photo to expression, with numpy, Pillow and LiteRT: the recognizer
(int8, or the first of --formats), MediaPipe's detector and face mesh, labels, licenses, Python code, and a README with
snippets for Python, Kotlin and Swift.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from kerasfer import datasets
from kerasfer.cli.common import load_recognizer, locate, say
from kerasfer.datasets.base import FaceTable
from kerasfer.models import DEFAULT_RECOGNIZER

FORMATS = ("saved_model", "float32", "float16", "dynamic", "int8")
OTHER_FORMATS = ("onnx",)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model",
        default=DEFAULT_RECOGNIZER,
        metavar="NAME|DIR",
        help="bundled model, saved model or training run (default: %(default)s)",
    )
    parser.add_argument(
        "--part",
        default="recognizer",
        choices=("recognizer", "generator", "all"),
        help="recognizer: the classifier only, without what training needs; generator: of faces; all: both "
        "(default: recognizer)",
    )
    parser.add_argument("--output", metavar="DIR", help="folder to write into (default: exported/NAME)")
    parser.add_argument(
        "--formats",
        nargs="+",
        choices=(*FORMATS, *OTHER_FORMATS),
        metavar="FORMAT",
        help=f"default: {' '.join(FORMATS)}; of a bundle: int8; also {' '.join(OTHER_FORMATS)}",
    )
    parser.add_argument("--opset", type=int, default=17, help="ONNX opset, 13 to 18 (default: %(default)s)")
    parser.add_argument("--bundle", metavar="DIR", help="write a bundle for devices there, and nothing else")
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="folder with the data set's folder or zip; int8 quantization is calibrated on 200 of its training crops, "
        "all formats are compared with Keras on 500 of its validation crops (default: synthetic faces)",
    )
    parser.add_argument(
        "--dataset",
        default="ferplus",
        choices=datasets.names(),
        metavar="NAME",
        help="labeled faces in --data (default: ferplus)",
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    options = parser().parse_args(arguments)
    calibration = parity = None
    if options.data is not None:
        from kerasfer import splits

        calibration, parity, said = splits.load_training_parts(options.dataset, locate(options.dataset, options.data))
        print(said)

    if options.bundle is not None:
        return _bundle(options, calibration, parity)

    from kerasfer import export

    model = load_recognizer(options.model)
    options.formats = options.formats or FORMATS
    folder = Path(options.output or Path("exported") / Path(options.model).resolve().name)
    parts = {"recognizer": export.export, "generator": export.export_generator}
    good = True
    for part, write in parts.items():
        if options.part in (part, "all"):
            report = write(model, folder, options.formats, calibration, parity, progress=_say, opset=options.opset)
            print(report.table())
            for path in report.files.values():
                print(path)
            good = good and report.good
    if not good:
        print("a figure misses its target; calibrate on faces like those the model was trained on", file=sys.stderr)
    return 0 if good else 1


def _bundle(options: argparse.Namespace, calibration: FaceTable | None, parity: FaceTable | None) -> int:
    """Writes a bundle, of a file that is there or of one exported for it."""
    from kerasfer.bundle import write_bundle
    from kerasfer.weights import bundled

    storage = (options.formats or ("int8",))[0]
    if storage in ("saved_model", *OTHER_FORMATS):
        raise ValueError("a bundle holds a TFLite file; name float32, float16, dynamic or int8 with --formats")
    name = f"model{'' if storage == 'float32' else f'_{storage}'}.tflite"
    file = bundled().get(options.model, Path(options.model)) / name
    good = True
    if Path(options.model).suffix == ".tflite":
        written = write_bundle(options.model, options.bundle)
    elif file.is_file():
        written = write_bundle(file, options.bundle)
    else:
        from kerasfer.export import export

        with tempfile.TemporaryDirectory() as folder:
            report = export(load_recognizer(options.model), folder, [storage], calibration, parity, progress=_say)
            print(report.table())
            good = report.good
            written = write_bundle(report.files[storage], options.bundle)
    for path in written:
        print(path)
    return 0 if good else 1


def _say(name: str) -> None:
    say(f"exporting {name} ...")
