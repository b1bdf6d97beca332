"""Recognition and synthesis on a device: numpy and the LiteRT interpreter, never TensorFlow.

    pipeline = Pipeline("tdgan")  # a bundled model, a folder or a .tflite file; needs Pillow too
    for face in pipeline.recognize("photo.jpg"):
        print(face.box, face.expression, face.probabilities)

    recognizer = Recognizer("saved_models/tdgan/model_int8.tflite")  # of faces that are cut out already
    probabilities = recognizer.recognize(face)
    print(recognizer.labels[probabilities.argmax()])

The files are those of `kerasfer.export`. What must be known to use one (labels, image size, color, pixel range) is in
the file itself, as JSON in a metadata buffer named "kerasfer".
"""

from __future__ import annotations

from kerasfer.lite.metadata import METADATA, UNSEALED, LiteError, read_metadata, require_whole, sealed
from kerasfer.lite.networks import Generator, Recognizer
from kerasfer.lite.pipeline import RECOGNIZERS, Pipeline, recognizer_file
from kerasfer.lite.preparation import prepare, resize

__all__ = [
    "METADATA",
    "RECOGNIZERS",
    "UNSEALED",
    "Generator",
    "LiteError",
    "Pipeline",
    "Recognizer",
    "prepare",
    "read_metadata",
    "recognizer_file",
    "require_whole",
    "resize",
    "sealed",
]
