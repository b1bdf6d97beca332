"""What the folder of a saved model holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasfer.weights import ZooError

if TYPE_CHECKING:
    from kerasfer.models.base import FERModel

__all__ = ["FORMAT", "STORAGES", "image_entry", "require_replaceable"]

FORMAT = 1
"""Number of the folder format that this version writes; it reads this one and all before it."""

STORAGES: dict[str, type[np.number]] = {"float32": np.float32, "float16": np.float16, "int8": np.int8}
"""Types that weights can be stored in; in memory they are float32."""

CONTENTS = (
    "config.json",
    "README.md",
    "metrics.json",
    "history.csv",
    "parity.json",
    "saved_model",
    "generator_parity.json",
    "generator_saved_model",
)
ENDINGS = (".safetensors", ".tflite")
"""What a saved model's folder holds, by name or by ending, exports included."""


def require_replaceable(folder: Path) -> None:
    """`ZooError` for a folder that holds anything else than a saved model, or is a file."""
    if folder.exists() and not folder.is_dir():
        raise ZooError(f"{folder}: is a file; name a folder for the model")
    if folder.is_dir():
        entries = sorted(path.name for path in folder.iterdir())
        foreign = [name for name in entries if name not in CONTENTS and not name.endswith(ENDINGS)]
        if foreign:
            raise ZooError(f"{folder}: holds something else ({foreign[0]}); name an empty or a new folder")


def image_entry(model: FERModel) -> dict[str, Any]:
    """What config.json says of the faces that a model takes."""
    spec = model.image_spec
    return {"size": spec.size, "channels": spec.channels, "pixel_range": spec.pixel_range}
