"""Registers kerasfer's classes with Keras without importing them: .keras files load after `import kerasfer` alone.

Keras finds a class that is not its own by its registered name, and imports no module to look for it. So as soon as
Keras is imported, whoever imports it, each name is registered with a stand-in that imports the class when a file asks
for it. `import kerasfer` itself imports neither Keras nor TensorFlow.
"""

from __future__ import annotations

import importlib
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # what annotations name would bring fifty modules of the standard library along
    from collections.abc import Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

__all__ = ["CLASSES", "PACKAGE", "announce"]

PACKAGE = "kerasfer"
"""What stands before the class's name in the registered one, "kerasfer>ConvUnit"."""

CLASSES: dict[str, str] = {
    "BatchNormalization": "kerasfer.backbones.resnet",
    "ConvUnit": "kerasfer.layers",
    "DCGANFER": "kerasfer.models.dcganfer",
    "DecoderBlock": "kerasfer.models.ipdfer",
    "Edge": "kerasfer.models.edge",
    "FESR": "kerasfer.models.fesr",
    "FaceInput": "kerasfer.backbones.face_input",
    "FusedAdam": "kerasfer.optimizers",
    "G2FER": "kerasfer.models.g2fer",
    "GrayConvTranspose": "kerasfer.layers",
    "IPDFER": "kerasfer.models.ipdfer",
    "InceptionResidual": "kerasfer.models.tdgan",
    "InstanceNormalization": "kerasfer.layers",
    "LandmarkComponents": "kerasfer.models.g2fer",
    "LandmarkMaps": "kerasfer.models.g2fer",
    "LandmarkSets": "kerasfer.models.g2fer",
    "LeakyReLU": "kerasfer.models.fesr",
    "LinearDecision": "kerasfer.models.svm_layers",
    "Luma": "kerasfer.backbones.lightcnn",
    "MaxFeatureMap": "kerasfer.backbones.lightcnn",
    "PReLU": "kerasfer.backbones.resnet",
    "Probabilities": "kerasfer.models.recognizer",
    "RBFDecision": "kerasfer.models.svm_layers",
    "Recognizer": "kerasfer.models.recognizer",
    "ResidualBlock": "kerasfer.models.tdgan",
    "ScaledFeatures": "kerasfer.models.svm_layers",
    "ShrinkingSum": "kerasfer.backbones.dlib_resnet",
    "TDGAN": "kerasfer.models.tdgan",
    "VoteLogits": "kerasfer.models.svm_layers",
    "Wild": "kerasfer.models.wild",
}
"""Registered class -> the module that holds it, whose import puts the class in the stand-in's place."""


class _StandIn:
    """In Keras' registry in place of a class that nobody has imported yet."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def from_config(self, config: Mapping[str, Any], **options: Any) -> Any:
        return getattr(importlib.import_module(CLASSES[self.__name__]), self.__name__).from_config(config, **options)


class _Announcement:
    """Finds nothing itself: has Keras' names registered when its import is done."""

    def __init__(self) -> None:
        self._looking = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "keras" or self._looking:
            return None
        import importlib.util

        self._looking = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._looking = False
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                _register(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _register(keras: ModuleType) -> None:
    known = keras.saving.get_custom_objects()
    for name in CLASSES:
        known.setdefault(f"{PACKAGE}>{name}", _StandIn(name))


def announce() -> None:
    """Registers the names with Keras now if it is imported, else as soon as it is."""
    if (keras := sys.modules.get("keras")) is not None:
        _register(keras)
    elif not any(isinstance(finder, _Announcement) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Announcement())
