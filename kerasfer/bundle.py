"""Bundles: a folder that recognises faces on a device by itself, photo to expression.

    kerasfer.bundle.write_bundle("saved_models/tdgan/model_int8.tflite", "phone")

It holds the recogniser, MediaPipe's detector and face mesh, the labels, the licences, a README with code for Python,
Kotlin and Swift, and of kerasfer the modules that it takes, as the package `kerasfer_lite`. They need numpy, Pillow and
LiteRT.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
from pathlib import Path
from string import Template

from kerasfer import lite
from kerasfer.detection import graphs
from kerasfer.detection.alignment import FERPLUS_TEMPLATE
from kerasfer.detection.graphs import Graph
from kerasfer.faces import PIXEL_RANGES
from kerasfer.files import write_aside

__all__ = ["MODULES", "NETWORKS", "BundleError", "write_bundle"]

PACKAGE = "kerasfer_lite"
"""Name of the package in a bundle."""

MODULES = (
    "detection/alignment.py",
    "detection/blazeface.py",
    "detection/detectors.py",
    "detection/graphs.py",
    "detection/mesh.py",
    "detection/pose.py",
    "faces.py",
    "files.py",
    "images.py",
    "interpreter.py",
    "lite.py",
    "weights.py",
)
"""kerasfer's modules that go into a bundle."""

NETWORKS = ("face_detection_short_range.tflite", "face_landmark.tflite")
"""MediaPipe's networks that go into a bundle, as they are named in its wheel."""

_IMPORT = re.compile(r"^(\s*(?:from|import) )kerasfer(?=[. ])", re.MULTILINE)
_HERE = Path(__file__).resolve().parent


class BundleError(ValueError):
    """A bundle cannot be written; the message says why and what to do."""


def write_bundle(model: str | os.PathLike[str], folder: str | os.PathLike[str]) -> list[Path]:
    """Writes everything that a device needs to recognise expressions in photos.

    Args:
        model: a recogniser as `lite.recognizer_file` takes it.
        folder: where to; files of an earlier bundle are replaced.

    Returns:
        The files.

    Raises:
        LiteError: there is no such recogniser, or it is damaged.
        BundleError: a file cannot be written, or a licence is missing.
    """
    source = lite.recognizer_file(model)
    recognizer = lite.Recognizer(source)
    contents = {
        source.name: source.read_bytes(),
        "labels.txt": "".join(f"{label}\n" for label in recognizer.labels).encode(),
        "LICENSE": _license().encode(),
        "LICENSE-mediapipe": (graphs.FOLDER / "LICENSE").read_bytes(),
        "README.md": _readme(recognizer, source.name).encode(),
        "recognize.py": _COMMAND.encode(),
        f"{PACKAGE}/__init__.py": _INIT.encode(),
        f"{PACKAGE}/detection/__init__.py": b'"""Faces in photos."""\n',
    }
    for name in NETWORKS:
        file = Graph(name).file
        contents[file.name] = file.read_bytes()
    for name in MODULES:
        text = (_HERE / name).read_text(encoding="utf-8")
        contents[f"{PACKAGE}/{name}"] = _IMPORT.sub(rf"\g<1>{PACKAGE}", text).encode()
    written = []
    for name, content in contents.items():
        path = Path(folder) / name
        write_aside(path, content, BundleError)
        written.append(path)
    return written


def _license() -> str:
    checkout = _HERE.parent / "LICENSE"
    if checkout.is_file():
        return checkout.read_text(encoding="utf-8")
    try:
        found = importlib.metadata.distribution("kerasfer")
    except importlib.metadata.PackageNotFoundError:
        found = None
    for name in ("LICENSE", "licenses/LICENSE"):
        if found is not None and (text := found.read_text(name)):
            return text
    raise BundleError("the licence of kerasfer is not where it is installed; install kerasfer with pip")


def _readme(recognizer: lite.Recognizer, file: str) -> str:
    spec = recognizer.image_spec
    low, high = PIXEL_RANGES[spec.pixel_range]
    bytes_in = recognizer.metadata["storage"] == "int8"
    factor, shift = (high - low) / 255, low
    grey = "(0.299 * red + 0.587 * green + 0.114 * blue)"
    scaled = f"{factor:.9f} * {{}} {'-' if shift < 0 else '+'} {abs(shift):g}"
    values = [grey] if spec.channels == 1 else ["red", "green", "blue"]
    rounded = ".roundToInt()" if spec.channels == 1 else ""
    kotlin = f".put({{}}{rounded}.toByte())" if bytes_in else f".putFloat(({scaled}).toFloat())"
    swift = "UInt8({}.rounded())" if bytes_in else f"Float({scaled})"
    target = FERPLUS_TEMPLATE.points * spec.size
    return Template(_README).substitute(
        model=recognizer.metadata["model"],
        storage=recognizer.metadata["storage"],
        file=file,
        stem=Path(file).stem,
        size=spec.size,
        colour="grey" if spec.channels == 1 else "RGB",
        count=len(recognizer.labels),
        labels=", ".join(recognizer.labels),
        quoted=", ".join(f'"{label}"' for label in recognizer.labels),
        input="bytes 0 to 255" if bytes_in else f"float32, {low:g} (black) to {high:g} (white)",
        output="bytes: probability = byte / 256" if bytes_in else "float32 probabilities",
        target=", ".join(f"{value:.2f}" for value in target.ravel()),
        kotlin_target=", ".join(f"{value:.2f}f" for value in target.ravel()),
        bytes_a_face=spec.size * spec.size * spec.channels * (1 if bytes_in else 4),
        kotlin_put="".join(kotlin.format(value) for value in values),
        kotlin_answer="ByteArray" if bytes_in else "FloatArray",
        kotlin_probabilities="answer[0].map { (it.toInt() and 0xFF) / 256f }" if bytes_in else "answer[0].toList()",
        swift_type="UInt8" if bytes_in else "Float",
        swift_put="[" + ", ".join(swift.format(value) for value in values) + "]",
        swift_probabilities="answer.data.map { Float($0) / 256 }" if bytes_in else "floats(answer)",
    )


_INIT = '''"""Recognises the expressions of the faces in photos; made by kerasfer, which is not needed here.

    import kerasfer_lite

    pipeline = kerasfer_lite.load()
    for face in pipeline.recognize("photo.jpg"):
        print(face.box, face.expression, face.probabilities)
"""

from __future__ import annotations

from pathlib import Path

from kerasfer_lite.detection import graphs
from kerasfer_lite.lite import LiteError, Pipeline, Recognizer

__all__ = ["FOLDER", "LiteError", "Pipeline", "Recognizer", "load"]

FOLDER = Path(__file__).resolve().parents[1]
"""Where the networks are: the folder that holds this package."""

graphs.FOLDER = FOLDER


def load(threads: int = 1, landmarks: bool = True, minimum_score: float = 0.5) -> Pipeline:
    """The recogniser of this folder; see `Pipeline`."""
    return Pipeline(FOLDER, threads, landmarks=landmarks, minimum_score=minimum_score)
'''

_COMMAND = '''#!/usr/bin/env python3
"""Prints what the faces in photos express, as JSON, a line a photo: python recognize.py PHOTO ..."""

from __future__ import annotations

import json
import sys

import kerasfer_lite


def main() -> int:
    """Exit code 0: all done; 1: a photo could not be read; 2: nothing was done."""
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print(__doc__)
        return 2
    code = 0
    try:
        pipeline = kerasfer_lite.load()
        for path in sys.argv[1:]:
            entry = {"path": path, "error": None, "faces": []}
            try:
                entry["faces"] = [face.to_json() for face in pipeline.recognize(path)]
            except kerasfer_lite.LiteError:
                raise
            except ValueError as error:
                entry["error"], code = str(error), 1
            print(json.dumps(entry), flush=True)
    except kerasfer_lite.LiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return code


if __name__ == "__main__":
    sys.exit(main())
'''

_README = """# Facial expressions on a device

The recogniser `$model` ($storage) of kerasfer, with everything that stands before it: photo to faces to expressions.
No TensorFlow, no mediapipe, no network connection.

| file | what | takes | gives |
| --- | --- | --- | --- |
| `face_detection_short_range.tflite` | MediaPipe's BlazeFace | 1 x 128 x 128 x 3, RGB, -1 to 1 | boxes, scores |
| `face_landmark.tflite` | MediaPipe's face mesh | 1 x 192 x 192 x 3, RGB, 0 to 1 | 468 points x, y, z; a score |
| `$file` | kerasfer's recogniser | 1 x $size x $size, $colour, $input | $count values, $output |
| `labels.txt` | names of the expressions, in the order of the values: $labels | | |

An expression label says what people at a screen would call a picture. It is not a feeling. Ask the people pictured
first; in the European Union, inferring emotions at work and at school is forbidden (Regulation (EU) 2024/1689,
Article 5(1)(f)).

## Python

`pip install numpy pillow ai-edge-litert`; then, in this folder, `python recognize.py photo.jpg`, or:

```python
import kerasfer_lite

pipeline = kerasfer_lite.load(threads=1)
for face in pipeline.recognize("photo.jpg"):  # or a uint8 RGB array (height, width, 3); [] if there is no face
    print(face.box, face.expression, face.probabilities, face.landmarks, face.pose)
```

`kerasfer_lite.load(landmarks=False)` aligns by the points of the detector and leaves the face mesh out: quicker.

## The way of a picture

1. Scale the picture to 128 pixels at its longer side, centred on black, and run the detector. Anchor `i` stands at
   `x = ((i / 2) % 16 + 0.5) / 16`, `y = (i / 32 + 0.5) / 16` for i < 512 (whole-number divisions), and for the others
   with `j = i - 512` at `x = ((j / 6) % 8 + 0.5) / 8`, `y = (j / 48 + 0.5) / 8`. Its values 4 to 11, of sixteen from 0,
   divided by 128 and added to the anchor, are x and y of right eye, left eye, nose and mouth (the person's
   right). The score is `1 / (1 + exp(-s))`.
2. Move, turn and scale the picture so that these four points come nearest to
   ($target) in a square of $size pixels. Shrink large pictures first, so that nothing aliases.
3. Run the recogniser on that square.

The snippets do this for the surest face of a picture. They have not been compiled where this folder was made; the
Python code has been run.

## Android

`implementation("com.google.ai.edge.litert:litert:1.4.2")`; the three networks' files in `assets/`.

```kotlin
class Expressions(context: Context) {
    private val detector = open(context, "face_detection_short_range.tflite")
    private val recognizer = open(context, "$file")
    val labels = listOf($quoted)

    private fun open(context: Context, name: String): Interpreter {  // org.tensorflow.lite.Interpreter
        val file = context.assets.openFd(name)
        val content = file.createInputStream().channel
        return Interpreter(content.map(FileChannel.MapMode.READ_ONLY, file.startOffset, file.declaredLength))
    }

    /** Right eye, left eye, nose and mouth as x, y in pixels of the picture; null if there is no face. */
    fun points(picture: Bitmap): FloatArray? {
        val scale = 128f / max(picture.width, picture.height)
        val left = (128 - picture.width * scale) / 2
        val top = (128 - picture.height * scale) / 2
        val square = Bitmap.createBitmap(128, 128, Bitmap.Config.ARGB_8888).apply { eraseColor(Color.BLACK) }
        val place = Matrix().apply { setScale(scale, scale); postTranslate(left, top) }
        Canvas(square).drawBitmap(picture, place, Paint(Paint.FILTER_BITMAP_FLAG))
        val input = ByteBuffer.allocateDirect(128 * 128 * 3 * 4).order(ByteOrder.nativeOrder())
        for (y in 0 until 128) for (x in 0 until 128) {
            val p = square.getPixel(x, y)
            for (c in listOf(Color.red(p), Color.green(p), Color.blue(p))) input.putFloat(c / 127.5f - 1f)
        }
        val values = Array(1) { Array(896) { FloatArray(16) } }
        val scores = Array(1) { Array(896) { FloatArray(1) } }
        detector.runForMultipleInputsOutputs(arrayOf(input.rewind()), mapOf(0 to values, 1 to scores))
        val best = (0 until 896).maxByOrNull { scores[0][it][0] }!!
        if (scores[0][best][0] < 0f) return null  // a score of one half
        val (cell, cells) = if (best < 512) Pair(best / 2, 16) else Pair((best - 512) / 6, 8)
        val anchor = floatArrayOf((cell % cells + 0.5f) / cells * 128, (cell / cells + 0.5f) / cells * 128)
        return FloatArray(8) { (values[0][best][4 + it] + anchor[it % 2] - (if (it % 2 == 0) left else top)) / scale }
    }

    /** The similarity transform that brings points nearest to others. */
    private fun similarity(from: FloatArray, to: FloatArray): Matrix {
        fun mean(p: FloatArray, axis: Int) = (axis until 8 step 2).map { p[it] }.average().toFloat()
        val (fx, fy, tx, ty) = listOf(mean(from, 0), mean(from, 1), mean(to, 0), mean(to, 1))
        var size = 0f; var cosine = 0f; var sine = 0f
        for (i in 0 until 8 step 2) {
            val x = from[i] - fx; val y = from[i + 1] - fy; val u = to[i] - tx; val v = to[i + 1] - ty
            size += x * x + y * y; cosine += x * u + y * v; sine += x * v - y * u
        }
        val c = cosine / size; val s = sine / size
        return Matrix().apply {
            setValues(floatArrayOf(c, -s, tx - c * fx + s * fy, s, c, ty - s * fx - c * fy, 0f, 0f, 1f))
        }
    }

    /** Probabilities in the order of the labels; null if there is no face. */
    fun recognize(picture: Bitmap): List<Float>? {
        val from = points(picture) ?: return null
        val to = floatArrayOf($kotlin_target)
        val face = Bitmap.createBitmap($size, $size, Bitmap.Config.ARGB_8888)
        Canvas(face).drawBitmap(picture, similarity(from, to), Paint(Paint.FILTER_BITMAP_FLAG))
        val input = ByteBuffer.allocateDirect($bytes_a_face).order(ByteOrder.nativeOrder())
        for (y in 0 until $size) for (x in 0 until $size) {
            val p = face.getPixel(x, y)
            val red = Color.red(p); val green = Color.green(p); val blue = Color.blue(p)
            input$kotlin_put
        }
        val answer = Array(1) { $kotlin_answer($count) }
        recognizer.run(input.rewind(), answer)
        return $kotlin_probabilities
    }
}
```

## iOS

The pod `TensorFlowLiteSwift`; the networks' files in the app's bundle.

```swift
final class Expressions {
    let detector = try! Expressions.open("face_detection_short_range")
    let recognizer = try! Expressions.open("$stem")
    let labels = [$quoted]

    static func open(_ name: String) throws -> Interpreter {
        let network = try Interpreter(modelPath: Bundle.main.path(forResource: name, ofType: "tflite")!)
        try network.allocateTensors()
        return network
    }

    func floats(_ tensor: Tensor) -> [Float] { tensor.data.withUnsafeBytes { Array($$0.bindMemory(to: Float.self)) } }

    /// RGBA bytes of a picture drawn into a square, rows from the top; `place` is in coordinates that grow downwards.
    func draw(_ picture: CGImage, side: Int, place: CGAffineTransform) -> [UInt8] {
        var pixels = [UInt8](repeating: 0, count: side * side * 4)
        pixels.withUnsafeMutableBytes { bytes in
            let context = CGContext(data: bytes.baseAddress, width: side, height: side, bitsPerComponent: 8,
                                    bytesPerRow: side * 4, space: CGColorSpaceCreateDeviceRGB(),
                                    bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)!
            context.interpolationQuality = .high
            context.concatenate(CGAffineTransform(a: 1, b: 0, c: 0, d: -1, tx: 0, ty: CGFloat(side)))
            context.concatenate(place)
            context.concatenate(CGAffineTransform(a: 1, b: 0, c: 0, d: -1, tx: 0, ty: CGFloat(picture.height)))
            context.draw(picture, in: CGRect(x: 0, y: 0, width: picture.width, height: picture.height))
        }
        return pixels
    }

    /// Right eye, left eye, nose and mouth in pixels of the picture; nil if there is no face.
    func points(_ picture: CGImage) throws -> [CGPoint]? {
        let scale = 128 / CGFloat(max(picture.width, picture.height))
        let left = (128 - CGFloat(picture.width) * scale) / 2, top = (128 - CGFloat(picture.height) * scale) / 2
        let place = CGAffineTransform(a: scale, b: 0, c: 0, d: scale, tx: left, ty: top)
        let pixels = draw(picture, side: 128, place: place)
        var input = [Float]()
        for i in stride(from: 0, to: pixels.count, by: 4) {
            for c in 0..<3 { input.append(Float(pixels[i + c]) / 127.5 - 1) }
        }
        try detector.copy(input.withUnsafeBytes { Data($$0) }, toInputAt: 0)
        try detector.invoke()
        let values = floats(try detector.output(at: 0)), scores = floats(try detector.output(at: 1))
        let best = scores.indices.max { scores[$$0] < scores[$$1] }!
        if scores[best] < 0 { return nil }  // a score of one half
        let (cell, cells) = best < 512 ? (best / 2, 16) : ((best - 512) / 6, 8)
        let x = (Float(cell % cells) + 0.5) / Float(cells) * 128, y = (Float(cell / cells) + 0.5) / Float(cells) * 128
        return (0..<4).map { k in
            let at = 16 * best + 4 + 2 * k
            return CGPoint(x: (CGFloat(values[at] + x) - left) / scale, y: (CGFloat(values[at + 1] + y) - top) / scale)
        }
    }

    /// The similarity transform that brings points nearest to others.
    func similarity(_ from: [CGPoint], _ to: [CGPoint]) -> CGAffineTransform {
        func mean(_ p: [CGPoint]) -> CGPoint {
            CGPoint(x: p.map(\\.x).reduce(0, +) / CGFloat(p.count), y: p.map(\\.y).reduce(0, +) / CGFloat(p.count))
        }
        let f = mean(from), t = mean(to)
        var size: CGFloat = 0, cosine: CGFloat = 0, sine: CGFloat = 0
        for (p, q) in zip(from, to) {
            let x = p.x - f.x, y = p.y - f.y, u = q.x - t.x, v = q.y - t.y
            size += x * x + y * y; cosine += x * u + y * v; sine += x * v - y * u
        }
        let c = cosine / size, s = sine / size
        return CGAffineTransform(a: c, b: s, c: -s, d: c, tx: t.x - c * f.x + s * f.y, ty: t.y - s * f.x - c * f.y)
    }

    /// Probabilities in the order of the labels; nil if there is no face.
    func recognize(_ picture: CGImage) throws -> [Float]? {
        guard let from = try points(picture) else { return nil }
        let target: [CGFloat] = [$target]
        let to = stride(from: 0, to: 8, by: 2).map { CGPoint(x: target[$$0], y: target[$$0 + 1]) }
        let pixels = draw(picture, side: $size, place: similarity(from, to))
        var input = [$swift_type]()
        for i in stride(from: 0, to: pixels.count, by: 4) {
            let red = Double(pixels[i]), green = Double(pixels[i + 1]), blue = Double(pixels[i + 2])
            input += $swift_put
        }
        try recognizer.copy(input.withUnsafeBytes { Data($$0) }, toInputAt: 0)
        try recognizer.invoke()
        let answer = try recognizer.output(at: 0)
        return $swift_probabilities
    }
}
```

## Licences

The recogniser and `kerasfer_lite`: Apache 2.0 (`LICENSE`). The detector and the face mesh are MediaPipe's, copyright
the MediaPipe authors, unchanged from mediapipe's Python wheel: Apache 2.0 (`LICENSE-mediapipe`).
"""
