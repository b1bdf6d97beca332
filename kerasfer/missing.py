"""What to install where a package is missing."""

from __future__ import annotations

__all__ = ["explained"]

_WHOLE = ("av", "cv2", "keras", "matplotlib", "safetensors", "scipy", "sklearn", "tensorboard", "tensorflow", "tqdm")
"""Import names of what the extras train, cpu and cuda bring."""

_REMEDY = "pip install 'kerasfer[train]' (or kerasfer[cpu]; kerasfer[keras] beside a TensorFlow of your own)"


def explained(error: ModuleNotFoundError) -> ImportError:
    """The same error, with what helps where it is one of the packages that a device's installation leaves out."""
    name = (error.name or "").partition(".")[0]
    if name not in _WHOLE:
        return error
    return ImportError(
        f"{name} is not installed: {_REMEDY}; without it, kerasfer.lite recognizes by TFLite files", name=name
    )
