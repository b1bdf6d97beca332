"""What can be exported, and how far each format is from the Keras model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasfer import markup
from kerasfer.faces import PIXEL_RANGES, ImageSpec

if TYPE_CHECKING:
    pass

__all__ = [
    "FILES",
    "FORMATS",
    "GENERATOR_FILES",
    "GENERATOR_LIMITS",
    "LIMITS",
    "OPSETS",
    "OTHER_FORMATS",
    "ExportError",
    "GeneratorParity",
    "Parity",
    "Report",
]

FORMATS = ("saved_model", "float32", "float16", "dynamic", "int8")
"""What is written if nothing else is asked for."""

OTHER_FORMATS = ("onnx",)
"""What is written if it is asked for: it takes packages more (`pip install 'kerasfer[onnx]'`)."""

OPSETS = range(13, 19)
"""Versions of ONNX's operators that can be written."""

FILES = {
    "saved_model": "saved_model",
    "float32": "model.tflite",
    "float16": "model_float16.tflite",
    "dynamic": "model_dynamic.tflite",
    "int8": "model_int8.tflite",
    "onnx": "model.onnx",
}
"""Format -> name of its file or folder."""

LIMITS: dict[str, tuple[float, float]] = {
    "saved_model": (1e-4, 1.0),
    "saved_model, encoded images": (1e-4, 1.0),
    "float32": (1e-4, 1.0),
    "float16": (1.0, 0.995),
    "dynamic": (1.0, 0.98),
    "int8": (1.0, 0.97),
    "onnx": (1e-4, 1.0),
}
"""What is compared -> largest difference in probability and least share of equal labels that are good enough."""

GENERATOR_FILES = {
    "saved_model": "generator_saved_model",
    "float32": "generator.tflite",
    "float16": "generator_float16.tflite",
    "dynamic": "generator_dynamic.tflite",
    "int8": "generator_int8.tflite",
    "onnx": "generator.onnx",
}
"""Format -> name of its file or folder, for a generator."""

GENERATOR_LIMITS = {"saved_model": 60.0, "float32": 60.0, "float16": 40.0, "dynamic": 40.0, "int8": 30.0, "onnx": 60.0}
"""Format -> least PSNR in dB, beside the Keras model's images, that is good enough."""


class ExportError(ValueError):
    """A model cannot be exported as asked; the message says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Parity:
    """How far one exported format is from the Keras model in float32.

    Attributes:
        format: what was compared, a key of `LIMITS`.
        faces: number of faces compared on.
        max_difference: largest difference of a probability.
        mean_difference: mean absolute difference of the probabilities.
        same_label: share of the faces that get the same label.
        bytes: size of the file or folder.
    """

    format: str
    faces: int
    max_difference: float
    mean_difference: float
    same_label: float
    bytes: int

    @property
    def good(self) -> bool:
        """Whether the figures keep to `LIMITS`."""
        difference, same = LIMITS[self.format]
        return self.max_difference <= difference and self.same_label >= same

    @staticmethod
    def heading() -> str:
        """What stands above lines of such figures."""
        return f"{'format':28} {'size':>10} {'same label':>11} {'largest diff.':>14} {'mean diff.':>11}  target"

    def __str__(self) -> str:
        difference, same = LIMITS[self.format]
        target = f"difference at most {difference:g}" if difference < 1 else f"same label on {same:.1%}"
        return (
            f"{self.format:28} {self.bytes / 1e6:7.2f} MB {self.same_label:11.2%} {self.max_difference:14.2e} "
            f"{self.mean_difference:11.2e}  {target}: {'kept' if self.good else 'MISSED'}"
        )


@dataclasses.dataclass(frozen=True)
class GeneratorParity:
    """How far an exported generator's images are from the Keras model's in float32.

    Attributes:
        format: a key of `FORMATS`.
        faces: number of images compared.
        max_difference: largest difference of a pixel, as a part of the model's range.
        mean_difference: mean absolute difference of the pixels, as a part of the model's range.
        psnr: peak signal-to-noise ratio over all pixels in dB, at most 120.
        bytes: size of the file or folder.
    """

    format: str
    faces: int
    max_difference: float
    mean_difference: float
    psnr: float
    bytes: int

    @property
    def good(self) -> bool:
        """Whether the figures keep to `GENERATOR_LIMITS`."""
        return self.psnr >= GENERATOR_LIMITS[self.format]

    @staticmethod
    def heading() -> str:
        """What stands above lines of such figures."""
        return f"{'generator':28} {'size':>10} {'PSNR':>11} {'largest diff.':>14} {'mean diff.':>11}  target"

    def __str__(self) -> str:
        return (
            f"{self.format:28} {self.bytes / 1e6:7.2f} MB {self.psnr:8.1f} dB {self.max_difference:14.2e} "
            f"{self.mean_difference:11.2e}  {GENERATOR_LIMITS[self.format]:g} dB: {'kept' if self.good else 'MISSED'}"
        )


@dataclasses.dataclass(frozen=True, repr=False)
class Report:
    """What was exported, and how near it is to the model.

    Attributes:
        files: format -> file or folder.
        parity: one entry for each thing compared.
        calibration: what int8 was calibrated on; empty without int8.
        compared_on: what the parity figures were measured on.
    """

    files: dict[str, Path]
    parity: tuple[Parity, ...] | tuple[GeneratorParity, ...]
    calibration: str
    compared_on: str

    @property
    def good(self) -> bool:
        """Whether every figure keeps to its limit."""
        return all(entry.good for entry in self.parity)

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return {
            "calibration": self.calibration,
            "compared_on": self.compared_on,
            "formats": [{**dataclasses.asdict(entry), "good": entry.good} for entry in self.parity],
        }

    def __repr__(self) -> str:
        missed = [entry.format for entry in self.parity if not entry.good]
        return f"Report({', '.join(self.files)}: {f'MISSED by {len(missed)}' if missed else 'every figure kept'})"

    @markup.optional
    def _repr_html_(self) -> str:
        own = "same_label" if self.parity and isinstance(self.parity[0], Parity) else "psnr"
        rows = [
            (
                entry.format,
                f"{entry.bytes / 1e6:.2f} MB",
                f"{entry.same_label:.2%}" if isinstance(entry, Parity) else f"{entry.psnr:.1f} dB",
                f"{entry.max_difference:.2e}",
                "kept" if entry.good else "MISSED",
            )
            for entry in self.parity
        ]
        said = f"compared on {self.compared_on}" + (
            f"; int8 calibrated on {self.calibration}" if self.calibration else ""
        )
        return markup.page(
            markup.table(("format", "size", own.replace("_", " "), "largest difference", "target"), rows),
            said,
            markup.table((), [(name, str(path)) for name, path in self.files.items()]),
        )

    def table(self) -> str:
        """The figures as lines of text."""
        calibration = f"; int8 calibrated on {self.calibration}" if self.calibration else ""
        heading = self.parity[0].heading() if self.parity else ""
        return "\n".join([heading, *map(str, self.parity), f"compared on {self.compared_on}{calibration}"])


def generated(generate: Callable[..., dict[str, Any]], inputs: dict[str, np.ndarray], size: int = 50) -> np.ndarray:
    """The images that a generator makes of named inputs, so many rows at a time."""
    import tensorflow as tf

    count = len(next(iter(inputs.values())))
    parts = [
        np.asarray(
            generate(**{name: tf.constant(values[row : row + size]) for name, values in inputs.items()})["image"]
        )
        for row in range(0, count, size)
    ]
    return np.concatenate(parts)


def images_compared(name: str, images: np.ndarray, expected: np.ndarray, spec: ImageSpec, size: int) -> GeneratorParity:
    """How far images, (n, h, w, c) in the range of a spec, are from those of the Keras model."""
    low, high = PIXEL_RANGES[spec.pixel_range]
    difference = np.abs(images.astype(np.float64) - expected) / (high - low)
    psnr = -10 * np.log10(max(float(np.mean(difference**2)), 1e-12))
    return GeneratorParity(name, len(expected), float(difference.max()), float(difference.mean()), float(psnr), size)


def answers_of(network: Callable[[np.ndarray], Any], faces: np.ndarray, size: int = 100) -> np.ndarray:
    """What a network answers to faces, so many at a time."""
    parts = [np.asarray(network(faces[start : start + size])) for start in range(0, len(faces), size)]
    return np.concatenate(parts)


def compared(name: str, answers: np.ndarray, expected: np.ndarray, size: int) -> Parity:
    """How far answers, (n, K), are from those of the Keras model."""
    difference = np.abs(answers.astype(np.float64) - expected)
    same = (answers.argmax(1) == expected.argmax(1)).mean()
    return Parity(name, len(expected), float(difference.max()), float(difference.mean()), float(same), size)


def size_of(path: Path) -> int:
    """Bytes of a file, or of the files in a folder."""
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())
