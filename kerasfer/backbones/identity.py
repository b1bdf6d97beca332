"""Identity networks: from a face to features that tell who it is, whatever the expression."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasfer.backbones.dlib_resnet import SIZE, THRESHOLD, WEIGHTS, build_dlib_resnet, load_dlib_weights
from kerasfer.backbones.face_input import FaceInput
from kerasfer.backbones.resnet import build_resnet18, fill_resnet18, read_resnet18, resnet18_settings
from kerasfer.faces import ImageSpec
from kerasfer.files import atomic_write
from kerasfer.version import __version__
from kerasfer.weights import ZooError, pack, seal

__all__ = ["KIND", "LIFT", "IdentityNetwork", "identity_network", "load_identity", "save_dlib_weights"]

KIND = "identity"
"""What config.json says that the network in a folder is; a model that recognizes expressions has no kind there."""

_FORMAT = 1
_BATCH = 32
_DEFAULT_SPEC = ImageSpec(112, 3, "signed")

LIFT = 0.08
"""By what share of the height the eyes of `FERPLUS_TEMPLATE` stand lower than dlib's network has seen them."""

RESNET_INPUTS = {
    "face": (112, (127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "plain": (112, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}
"""Style of a ResNet-18 -> size, mean and deviation, as bytes, of the faces that such weights are usually trained on."""


class IdentityNetwork:
    """A network that tells people apart.

    Args:
        network: aligned faces in the format of the spec to one row of features each.
        image_spec: the faces that it takes.
        threshold: L2 distance of two faces' features below which they count as one person's.

    Attributes:
        network, image_spec, threshold: as given.
    """

    def __init__(self, network: keras.Model, image_spec: ImageSpec, threshold: float) -> None:
        self.network = network
        self.image_spec = image_spec
        self.threshold = threshold

    def embed(self, faces: np.ndarray) -> np.ndarray:
        """The features of aligned faces.

        Args:
            faces: (n, h, w, c) of `image_spec`: uint8 pixels, or floats in its range.

        Returns:
            float32 (n, d).

        Raises:
            ValueError: the faces have another shape.
        """
        faces = np.asarray(faces)
        if faces.ndim != 4 or faces.shape[1:] != self.image_spec.shape:
            raise ValueError(f"faces have shape (n, {', '.join(map(str, self.image_spec.shape))}), got {faces.shape}")
        features = [np.zeros((0, self.network.output_shape[-1]), np.float32)]
        for start in range(0, len(faces), _BATCH):
            batch = faces[start : start + _BATCH]
            if batch.dtype == np.uint8:
                batch = self.image_spec.scale(batch)
            features.append(np.asarray(self.network(batch, training=False), np.float32))
        return np.concatenate(features)


def save_dlib_weights(weights: Mapping[str, np.ndarray], folder: str | os.PathLike[str]) -> Path:
    """Writes the folder that `load_identity` reads: weights as float16, and a config.json with their checksum.

    Args:
        weights: as `dlib_resnet.folded_weights` gives them.
        folder: where to; files of the same names are replaced.

    Raises:
        ZooError: a weight is not finite as float16, or a file cannot be written.
    """
    folder = Path(folder)
    content = pack(weights, np.float16)
    description = {
        "format": _FORMAT,
        "kerasfer": __version__,
        "kind": KIND,
        "model": "dlib_resnet",
        "image": {"size": SIZE, "channels": 3, "pixel_range": "unit"},
        "threshold": THRESHOLD,
        "files": {
            "network": {
                "file": WEIGHTS,
                "storage": "float16",
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        },
    }
    atomic_write(folder / WEIGHTS, content, ZooError)
    atomic_write(folder / "config.json", (json.dumps(seal(description), indent=2) + "\n").encode(), ZooError)
    return folder


def load_identity(folder: Path, description: Mapping[str, Any]) -> IdentityNetwork:
    """Loads the identity network of a folder, under the dtype policy in force.

    Args:
        folder: that of `save_dlib_weights`.
        description: its config.json.

    Raises:
        ZooError: a file is missing, damaged or of another network.
    """
    path = folder / "config.json"
    if description.get("format") != _FORMAT or description.get("model") != "dlib_resnet":
        raise ZooError(
            f"{path}: is of identity network {description.get('model')!r} in format {description.get('format')!r}; "
            f"this kerasfer reads dlib_resnet in format {_FORMAT}; install a newer one"
        )
    try:
        spec = ImageSpec(**description["image"])
        threshold = float(description["threshold"])
    except (KeyError, TypeError, ValueError) as error:
        raise ZooError(
            f"{path}: has no valid image format or threshold ({error}); restore the file as saved"
        ) from error
    network = build_dlib_resnet(
        input_size=spec.size, channels=spec.channels, pixel_range=spec.pixel_range, name="dlib_resnet"
    )
    load_dlib_weights(network, folder)
    return IdentityNetwork(network, spec, threshold)


def identity_network(
    identity: str | os.PathLike[str] = "dlib_resnet",
    spec: ImageSpec = _DEFAULT_SPEC,
    name: str = "identity",
    lift: float = LIFT,
    size: int = SIZE,
) -> keras.Model:
    """A frozen network that tells who a face is, whatever faces a model has.

    Args:
        identity: "dlib_resnet", which comes with kerasfer; or the path of a ResNet-18 state dict of PyTorch, as
            `backbones.resnet.resnet18_arrays` knows them.
        spec: the faces that it is to take, aligned as `kerasfer.detection.align` does.
        name: of the model.
        lift: share of the height by which faces are moved up for dlib's network, which was trained on faces that stand
            higher in the picture.
        size: side in pixels that dlib's network sees faces at, 150 in its training.

    Returns:
        A functional model without trainable weights, built under the dtype policy in force: float (n, size, size,
        channels) in the spec's range to float32 (n, d), not normalized.

    Raises:
        ZooError: the bundled weights are missing or damaged.
        ResNetError: the path is not that of a ResNet-18 that can be read.
    """
    if identity == "dlib_resnet":
        network = build_dlib_resnet(name, spec.size, spec.channels, spec.pixel_range, internal_size=size, lift=lift)
        load_dlib_weights(network)
    else:
        network = _resnet18(Path(identity), spec, name)
    network.trainable = False
    return network


def _resnet18(path: Path, spec: ImageSpec, name: str) -> keras.Model:
    """A ResNet-18 with the weights of a file, behind what brings faces to its size and range."""
    arrays = read_resnet18(path)
    settings = resnet18_settings(arrays)
    size, mean, deviation = RESNET_INPUTS[settings["style"]]
    inputs = keras.Input(spec.shape, name="face")
    x = FaceInput(size, spec.pixel_range, mean, deviation, name="normalize")(inputs)
    resnet = build_resnet18("resnet18", (size, size, 3), **settings)
    fill_resnet18(resnet, arrays, path)
    return keras.Model(inputs, resnet(x), name=name)
