"""A model's TFLite files: how near their answers are to the model's."""

from __future__ import annotations

from pathlib import Path

from kerasfer import lite
from kerasfer.datasets.reading import prepare_faces
from kerasfer.evaluation.classification import Report, true_classes
from kerasfer.evaluation.figures import Figure
from kerasfer.evaluation.measurements.base import Bench
from kerasfer.export.parity import GeneratorParity, Parity

__all__ = ["exported", "exported_generator"]


def exported(bench: Bench, folder: Path) -> list[Figure]:
    """Writes the bundled model's TFLite files; their parity on real faces, and what int8 recognizes."""
    from kerasfer.export.exporter import export

    model, name = bench.model, bench.name
    command = f"python apps/export.py --model {name} --output DIR --data DIR"
    written = export(model, folder, ("float32", "float16", "int8"), calibration=bench.train, parity=bench.valid)
    print(written.table(), flush=True)
    figures = []
    for entry in written.parity:
        assert isinstance(entry, Parity)
        tested = f"TFLite {entry.format} beside Keras, {entry.faces} FERPlus valid faces"
        difference = f"{tested}; largest difference"
        figures += [
            bench.figure(f"{entry.format}_same_label", f"{tested}; same label", entry.same_label, "share", command),
            bench.figure(f"{entry.format}_difference", difference, entry.max_difference, "", command),
            bench.figure(f"tflite_{entry.format}_bytes", f"TFLite {entry.format}; size", entry.bytes, "bytes", command),
        ]
    recognizer = lite.Recognizer(written.files["int8"])
    answers = recognizer.recognize(prepare_faces(bench.valid, model.image_spec))
    report = Report.of(true_classes(bench.valid, model.label_space), answers.argmax(1), model.label_space)
    file = f"saved_models/{name}/{written.files['int8'].name}"
    evaluated = f"python apps/evaluate.py --tflite {file} --dataset ferplus --split valid --data DIR"
    what = f"TFLite int8: FERPlus valid, {report.n} faces, 8 classes, majority labels; accuracy"
    figures.append(bench.figure("int8_ferplus_valid_accuracy", what, report.accuracy, "share", evaluated))
    return figures


def exported_generator(bench: Bench, folder: Path) -> list[Figure]:
    """Writes the generator's TFLite files; their parity. Kept are float16, dynamic and, if it is near enough, int8."""
    from kerasfer.export.exporter import export_generator

    command = f"python apps/export.py --model {bench.name} --part generator --output DIR --data DIR"
    formats = ("float32", "float16", "dynamic", "int8")
    written = export_generator(bench.model, folder, formats, bench.train, bench.valid)
    print(written.table(), flush=True)
    figures = []
    for entry in written.parity:
        assert isinstance(entry, GeneratorParity)
        what = f"generator, TFLite {entry.format} beside Keras, {entry.faces} FERPlus valid faces"
        figures += [
            bench.figure(f"generator_{entry.format}_psnr", f"{what}; PSNR", entry.psnr, "dB", command),
            bench.figure(f"generator_{entry.format}_bytes", f"{what}; size", entry.bytes, "bytes", command),
        ]
        if entry.format == "float32" or (entry.format == "int8" and not entry.good):
            written.files[entry.format].unlink()
    return figures
