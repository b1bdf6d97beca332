"""Converts the checkpoints that TDGAN's authors released for PyTorch, six files of one state dict each.

    Enc_FR_G.pkl   E_f                    dec.pkl       Emb and D_g
    Enc_ER_G.pkl   E_e                    Dis_FR.pkl    D_f
    fc_ER_G.pkl    M_ER                   Dis_ER.pkl    D_e

All sizes are read from the shapes of the weights. Theirs differ from ours in layout: channels come first (convolutions
are (out, in, kh, kw), deconvolutions (in, out, kh, kw)), linear layers are (out, in), and the first linear layer of a
head counts the code's numbers channel by channel.

PyTorch is needed to read the files (`pip install "kerasfer[convert]"`), and for nothing else.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasfer.backbones.torch_file import read_state
from kerasfer.expressions import BASIC6, FERPLUS8, Expression, LabelSpace
from kerasfer.models.base import ConfigError
from kerasfer.models.tdgan import TDGAN, InceptionResidual, TDGANConfig

__all__ = ["DISCRIMINATORS", "FILES", "RAF_DB", "CheckpointError", "convert", "convert_arrays"]

FILES = ("Enc_FR_G.pkl", "Enc_ER_G.pkl", "dec.pkl", "fc_ER_G.pkl", "Dis_FR.pkl", "Dis_ER.pkl")
"""Names of the released files."""

DISCRIMINATORS = ("Dis_FR.pkl", "Dis_ER.pkl")
"""Those of the files that only training needs."""

RAF_DB = LabelSpace.of(("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"))
"""Classes of the released weights, in their order: that of RAF-DB."""

STATISTICS = (".running_mean", ".running_var", ".num_batches_tracked")
"""Endings of entries that old PyTorch versions kept for instance normalization and nothing reads."""

Convert = Callable[[np.ndarray], np.ndarray]
Entry = tuple[str, tuple[str, ...], Convert]
"""A key of a state dict, the way to the weight it belongs to, and what brings its array to that weight's layout.

The way is network, layer, attribute and, where that is a dict or a layer, the key or attribute in it.
"""


class CheckpointError(ValueError):
    """A checkpoint is missing, cannot be read or does not fit; the message names file and key."""


def convert(
    checkpoints: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    expressions: str | LabelSpace | Iterable[str] | None = None,
    discriminators: bool = True,
) -> TDGAN:
    """Makes a TDGAN, as `TDGANConfig.released()`, of the authors' checkpoints.

    Args:
        checkpoints: the folder that holds the files, or the files, which may have an epoch in their names
            (dec_50.pkl).
        expressions: names of the classes in the order of the last layer's outputs, or a label space. The files hold
            none; without, 7 classes are taken for those of RAF-DB (`RAF_DB`), which the released weights have, 6 for
            "basic6", and others for the first of `Expression`, 8 of which are "ferplus8".
        discriminators: False does without the files of D_f and D_e, which then start at random with the paper's 20
            people.

    Returns:
        The model, in float32.

    Raises:
        CheckpointError: PyTorch is not installed; a file is missing or damaged; a key is missing, unknown or of
            another shape; the names of the expressions are not as many as the classes.
    """
    wanted = FILES if discriminators else tuple(name for name in FILES if name not in DISCRIMINATORS)
    paths = _find(checkpoints, wanted)
    states = {name: read_state(paths[name], CheckpointError) for name in wanted}
    return convert_arrays(states, expressions, {name: os.fspath(path) for name, path in paths.items()})


def convert_arrays(
    states: Mapping[str, Mapping[str, np.ndarray]],
    expressions: str | LabelSpace | Iterable[str] | None = None,
    origins: Mapping[str, str] | None = None,
) -> TDGAN:
    """The part of `convert` that needs no PyTorch.

    Args:
        states: a name of `FILES` -> key -> array; the two of `DISCRIMINATORS` may be left out, together.
        expressions: as for `convert`.
        origins: a name of `FILES` -> what messages call it, by default its name.

    Raises:
        CheckpointError: as for `convert`.
    """
    needed = set(FILES) - (set() if set(states) & set(DISCRIMINATORS) else set(DISCRIMINATORS))
    if set(states) != needed:
        raise CheckpointError(
            f"checkpoints of {', '.join(FILES)} are needed ({' and '.join(DISCRIMINATORS)} both or neither), "
            f"got {', '.join(sorted(states)) or 'none'}"
        )
    parts = {
        name: _Part((origins or {}).get(name, name), {_plain_key(key): array for key, array in state.items()})
        for name, state in states.items()
    }
    config = _config(parts, expressions)
    entries = {
        "Enc_FR_G.pkl": _encoder(config, "face_encoder"),
        "Enc_ER_G.pkl": _encoder(config, "expression_encoder"),
        "fc_ER_G.pkl": _head(config, "expression_classifier"),
        "dec.pkl": _embedding(config) + _decoder(config),
        "Dis_FR.pkl": _discriminator(config, "face_discriminator"),
        "Dis_ER.pkl": _discriminator(config, "expression_discriminator"),
    }
    for name, part in parts.items():
        part.require_keys(key for key, _, _ in entries[name])
    model = TDGAN(config)
    for name, part in parts.items():
        for key, way, change in entries[name]:
            variable = _weight(model, way)
            variable.assign(part.value(key, tuple(variable.shape), change))
    return model


def _weight(model: TDGAN, way: tuple[str, ...]) -> keras.Variable:
    network, layer, attribute, *rest = way
    weight = getattr(model.networks[network].get_layer(layer), attribute)
    if not rest:
        return weight
    return weight[rest[0]] if isinstance(weight, Mapping) else getattr(weight, rest[0])


class _Part:
    """One checkpoint: its state dict, and the name that messages give it."""

    def __init__(self, origin: str, state: Mapping[str, np.ndarray]) -> None:
        self.origin = origin
        self.state = {key: np.asarray(array) for key, array in state.items() if not key.endswith(STATISTICS)}

    def shape(self, key: str, rank: int) -> tuple[int, ...]:
        """Shape of an entry; `CheckpointError` if there is none of that rank."""
        if key not in self.state:
            raise CheckpointError(f"{self.origin}: no key {key!r}; is this the file of another network?")
        if self.state[key].ndim != rank:
            raise CheckpointError(f"{self.origin}: {key!r} has shape {self.state[key].shape}, not {rank} dimensions")
        return self.state[key].shape

    def count(self, pattern: str) -> int:
        """One more than the largest number in the keys that match a pattern with one group."""
        found = [int(match[1]) for match in (re.match(pattern, key) for key in self.state) if match]
        return max(found, default=-1) + 1

    def require_keys(self, keys: Iterable[str]) -> None:
        """`CheckpointError` unless the state dict has these keys and no others."""
        known = set(keys)
        for word, wrong in (("no", known - set(self.state)), ("unknown", set(self.state) - known)):
            if wrong:
                more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
                raise CheckpointError(
                    f"{self.origin}: {word} key {min(wrong)!r}{more}; the file is not of the released network"
                )

    def value(self, key: str, shape: tuple[int, ...], change: Convert) -> np.ndarray:
        """An entry in our layout, float32; `CheckpointError` if it does not have the shape or is not finite."""
        array = self.state[key]
        try:
            value = np.asarray(change(array), np.float32)
        except ValueError:
            value = None
        if value is None or value.shape != shape:
            raise CheckpointError(f"{self.origin}: {key!r} has shape {array.shape}, which does not fit our {shape}")
        if not np.isfinite(value).all():
            raise CheckpointError(f"{self.origin}: {key!r} holds values that are not finite; get the file again")
        return value


# -- which key is which weight -----------------------------------------------------------------------------------------


def _same(array: np.ndarray) -> np.ndarray:
    return array


def _conv(array: np.ndarray) -> np.ndarray:
    """(out, in, kh, kw) to (kh, kw, in, out); a deconvolution's (in, out, kh, kw) to (kh, kw, out, in)."""
    return array.transpose(2, 3, 1, 0)


def _linear(array: np.ndarray) -> np.ndarray:
    return array.transpose(1, 0)


def _linear_of_code(code: tuple[int, int, int]) -> Convert:
    """For the layer behind the flattening: its inputs from (c, h, w) order to (h, w, c) order."""
    height, width, channels = code

    def change(array: np.ndarray) -> np.ndarray:
        by_place = array.reshape(-1, channels, height, width).transpose(2, 3, 1, 0)
        return by_place.reshape(height * width * channels, -1)

    return change


def _unit(prefix: str, kernel: tuple[str, ...], gamma: tuple[str, ...], beta: tuple[str, ...]) -> list[Entry]:
    return [
        (f"{prefix}.conv.weight", kernel, _conv),
        (f"{prefix}.bn.weight", gamma, _same),
        (f"{prefix}.bn.bias", beta, _same),
    ]


def _encoder(config: TDGANConfig, network: str) -> list[Entry]:
    entries = []
    for number in range(1, len(config.encoder_channels) + 1):
        ways = ((network, f"conv{number}", attribute) for attribute in ("kernel", "gamma", "beta"))
        entries += _unit(f"conv{number}.0", *ways)
    for block in range(config.inception_blocks):
        layer = f"inception{block + 1}"
        for branch, sizes in enumerate(InceptionResidual.BRANCHES):
            for depth in range(len(sizes)):
                name = f"branch{branch}_{depth}"
                ways = ((network, layer, attribute, name) for attribute in ("kernels", "gammas", "betas"))
                entries += _unit(f"repeat.{block}.branch{branch}.{depth}", *ways)
        entries.append((f"repeat.{block}.conv2d.weight", (network, layer, "kernel"), _conv))
        entries.append((f"repeat.{block}.conv2d.bias", (network, layer, "bias"), _same))
    return entries


def _head(config: TDGANConfig, network: str) -> list[Entry]:
    side = config.image_size // 16
    change = {"fc1": _linear_of_code((side, side, config.encoder_channels[3])), "fc2": _linear, "fc3": _linear}
    weights = [(f"{name}.weight", (network, name, "kernel"), change[name]) for name in change]
    return weights + [(f"{name}.bias", (network, name, "bias"), _same) for name in change]


def _discriminator(config: TDGANConfig, name: str) -> list[Entry]:
    entries = [(f"enc.{key}", way, change) for key, way, change in _encoder(config, f"{name}_encoder")]
    return entries + [(f"fc.{key}", way, change) for key, way, change in _head(config, f"{name}_head")]


def _embedding(config: TDGANConfig) -> list[Entry]:
    layers = [("emb1.0", ("embedding", "conv"))]
    layers += [
        (f"emb2.{block}.infer.0", ("embedding", f"residual{block + 1}", "conv"))
        for block in range(config.residual_blocks)
    ]
    weights = [(f"{prefix}.weight", (*way, "kernel"), _conv) for prefix, way in layers]
    return weights + [(f"{prefix}.bias", (*way, "bias"), _same) for prefix, way in layers]


def _decoder(config: TDGANConfig) -> list[Entry]:
    numbers = range(1, len(config.decoder_channels) + 2)
    return [(f"us{number}.0.weight", ("decoder", f"deconv{number}", "kernel"), _conv) for number in numbers]


# -- sizes -------------------------------------------------------------------------------------------------------------


def _config(parts: Mapping[str, _Part], expressions: Any) -> TDGANConfig:
    """`TDGANConfig.released()` with the sizes that the shapes tell."""
    encoder, decoder, head = parts["Enc_ER_G.pkl"], parts["dec.pkl"], parts["fc_ER_G.pkl"]
    convolutions = [encoder.shape(f"conv{number}.0.conv.weight", 4) for number in range(1, 5)]
    code_channels = convolutions[3][0]
    embedding = decoder.shape("emb1.0.weight", 4)
    first = head.shape("fc1.weight", 2)
    side = math.isqrt(first[1] // code_channels)
    if side * side * code_channels != first[1] or side == 0:
        raise CheckpointError(
            f"{head.origin}: 'fc1.weight' takes {first[1]} numbers, no square of {code_channels} channels"
        )
    classes = head.shape("fc3.weight", 2)[0]
    sizes = {
        "image_size": 16 * side,
        "channels": convolutions[0][1],
        "encoder_channels": tuple(shape[0] for shape in convolutions),
        "inception_blocks": encoder.count(r"repeat\.(\d+)\."),
        "embedding_channels": embedding[0],
        "residual_blocks": decoder.count(r"emb2\.(\d+)\."),
        "noise_channels": embedding[1] - 2 * code_channels,
        "decoder_channels": tuple(decoder.shape(f"us{number}.0.weight", 4)[1] for number in range(1, 5)),
        "head_units": first[0],
        "expressions": _expressions(expressions, classes, head.origin),
    }
    if sizes["inception_blocks"]:
        sizes["inception_channels"] = encoder.shape("repeat.0.branch0.0.conv.weight", 4)[0]
    if "Dis_FR.pkl" in parts:
        sizes["identities"] = parts["Dis_FR.pkl"].shape("fc.fc3.weight", 2)[0] - 1
    if sizes["noise_channels"] < 1:
        raise CheckpointError(
            f"{decoder.origin}: 'emb1.0.weight' has {embedding[1]} input channels, which leaves none for noise"
        )
    try:
        return TDGANConfig.released().replace(**sizes)
    except ConfigError as error:
        raise CheckpointError(f"{encoder.origin}: {error}") from error


def _expressions(expressions: Any, classes: int, origin: str) -> tuple[str, ...]:
    if expressions is None:
        known = {len(space): space for space in (BASIC6, RAF_DB, FERPLUS8)}
        if classes not in known and not 1 <= classes <= len(Expression):
            raise CheckpointError(f"{origin}: has {classes} classes; name them with `expressions`")
        return known[classes].labels if classes in known else tuple(e.label for e in list(Expression)[:classes])
    try:
        labels = LabelSpace.of(expressions).labels
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    if len(labels) != classes:
        raise CheckpointError(f"{origin}: has {classes} classes, but {len(labels)} expressions are named")
    return labels


# -- reading -----------------------------------------------------------------------------------------------------------


def _find(checkpoints: Any, wanted: tuple[str, ...]) -> dict[str, Path]:
    """The file of each wanted name."""
    if isinstance(checkpoints, (str, os.PathLike)):
        folder = Path(checkpoints)
        if not folder.is_dir():
            raise CheckpointError(f"{folder}: is not a folder; name the one that holds {', '.join(wanted)}")
        paths = {name: folder / name for name in wanted if (folder / name).is_file()}
        where = f"{folder}: "
    else:
        paths, where = {}, ""
        for path in map(Path, checkpoints):
            match = re.fullmatch(r"(\w+?)(_\d+)?\.\w+", path.name)
            name = f"{match[1]}.pkl" if match else path.name
            if name not in FILES:
                raise CheckpointError(f"{path}: its name tells no network; names are {', '.join(FILES)}")
            if name in paths:
                raise CheckpointError(f"{path}: a second {name}, beside {paths[name]}; give one of each")
            paths[name] = path
    missing = [name for name in wanted if name not in paths]
    if missing:
        hint = ""
        if set(missing) <= set(DISCRIMINATORS):
            hint = " (recognition and synthesis can do without: discriminators=False, --without-discriminators)"
        raise CheckpointError(f"{where}no {', '.join(missing)}; put all of {', '.join(wanted)} there{hint}")
    return {name: paths[name] for name in wanted}


def _plain_key(key: str) -> str:
    """The key without the "module." that data parallelism puts in front of a network's names."""
    return ".".join(part for part in key.split(".") if part != "module")
