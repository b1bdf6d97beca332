"""Export: recognizer and generator as SavedModel, TFLite in four formats and ONNX, each checked against the model.

    report = kerasfer.export(model, "exported", calibration=faces, parity=other_faces)
    print(report.table())
    print(kerasfer.export.export_generator(model, "exported", calibration=faces, parity=other_faces).table())

Whatever dtype a model was trained in, its inference graph is exported in float32, and the smaller formats are made from
that. Every file carries its labels, image size, color and pixel range.
"""

from __future__ import annotations

import sys
import types
from typing import Any

from kerasfer.export.exporter import export, export_generator
from kerasfer.export.parity import (
    FILES,
    FORMATS,
    GENERATOR_FILES,
    GENERATOR_LIMITS,
    LIMITS,
    OPSETS,
    OTHER_FORMATS,
    ExportError,
    GeneratorParity,
    Parity,
    Report,
)

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
    "export",
    "export_generator",
]


class _CallableModule(types.ModuleType):
    """`kerasfer.export` is this package, and by its interface the function too: the package can be called."""

    @staticmethod
    def __call__(*arguments: Any, **options: Any) -> Report:
        return export(*arguments, **options)


sys.modules[__name__].__class__ = _CallableModule
