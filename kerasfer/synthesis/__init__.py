"""Using the faces that models generate, by what controls them.

A paper's model names its controls (`FERModel.controls`) and defines what they are made of: `synthesize`, encoders and
decoders. Whatever is built from these, for a user, is here, and the same for every paper that has the control.

    model = kerasfer.load("fesr")
    controls = kerasfer.synthesis.of(model)          # {"names": NamedExpressions, "noise": FromNoise}
    controls["names"].each(faces, intensity=0.7)     # every face with every expression
    kerasfer.synthesis.NamedExpressions(model).new_people(16)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kerasfer.models.base import FERModel
from kerasfer.synthesis.control import PREVIEWED, Control
from kerasfer.synthesis.landmarks import ByLandmarks
from kerasfer.synthesis.names import NamedExpressions
from kerasfer.synthesis.noise import FromNoise
from kerasfer.synthesis.photos import ByPhoto

__all__ = ["CONTROLS", "ByLandmarks", "ByPhoto", "Control", "FromNoise", "NamedExpressions", "of", "preview"]

CONTROLS: dict[str, type[Control]] = {
    "photos": ByPhoto,
    "names": NamedExpressions,
    "landmarks": ByLandmarks,
    "noise": FromNoise,
}
"""What `FERModel.controls` may name -> class. A control of one paper alone is a class in the paper's file."""


def of(model: Any) -> dict[str, Any]:
    """The controls of a model, ready to use.

    Args:
        model: what `kerasfer.load` gives.

    Returns:
        Name -> control, in the order in which the model names them; {} if it, or this variant of it, draws nothing.

    Raises:
        ValueError: the model names a control that there is not.
    """
    if not isinstance(model, FERModel) or not model.generates:
        return {}
    found = {}
    for each in model.controls:
        if isinstance(each, str) and each not in CONTROLS:
            raise ValueError(
                f"{type(model).__name__} names an unknown control {each!r}; known are {', '.join(CONTROLS)}"
            )
        control: Any = CONTROLS[each] if isinstance(each, str) else each
        found[control.name] = control(model)
    return found


def preview(model: Any, batch: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Pictures that show what a model has learned to draw, made from a training batch.

    Args:
        model: a `FERModel`.
        batch: of the model's kind.

    Returns:
        Rows of a grid, each float32 (columns, h, w, c) in the model's range, the first of the batch's own faces; [] if
        the model draws nothing.
    """
    rows = [row for control in of(model).values() for row in control.preview(batch)]
    if not rows:
        return []
    faces = np.asarray(batch["face_image" if "face_image" in batch else "image"])[:PREVIEWED]
    return [faces, *rows]
