"""TDGAN as PyTorch lays it out, in NumPy: channels first, one plain function a layer, each in the printed order.

Written from Tables I and II and Fig. 4 with the state-dict names of the authors' checkpoints; what the converter makes
of a checkpoint must compute the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

State = dict[str, np.ndarray]

TINY = {
    "side": 2,
    "channels": 1,
    "encoder": (4, 6, 8, 8),
    "blocks": 2,
    "branch": 2,
    "embedding": 7,
    "residuals": 3,
    "noise": 5,
    "decoder": (9, 8, 6, 4),
    "units": 10,
    "identities": 3,
    "expressions": 5,
}
"""Sizes of a checkpoint; `side` is that of the codes, a sixteenth of the images'."""

PAPER = {
    "side": 8,
    "channels": 1,
    "encoder": (32, 64, 128, 128),
    "blocks": 4,
    "branch": 16,
    "embedding": 128,
    "residuals": 6,
    "noise": 256,
    "decoder": (512, 256, 128, 64),
    "units": 1024,
    "identities": 20,
    "expressions": 7,
}


def random_states(size: Mapping, seed: int = 0) -> dict[str, State]:
    """Checkpoints with random weights, a quarter of the gammas negative: file name -> key -> float32 array."""
    rng = np.random.default_rng(seed)

    def weight(*shape: int) -> np.ndarray:
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 1
        return rng.normal(0, 1 / np.sqrt(fan_in), shape).astype(np.float32)

    def bias(count: int) -> np.ndarray:
        return rng.normal(0, 0.3, count).astype(np.float32)

    def unit(state: State, name: str, inputs: int, outputs: int, kernel: int) -> None:
        state[f"{name}.conv.weight"] = weight(outputs, inputs, kernel, kernel)
        sign = np.where(rng.random(outputs) < 0.25, -1, 1)
        state[f"{name}.bn.weight"] = (sign * rng.uniform(0.5, 1.5, outputs)).astype(np.float32)
        state[f"{name}.bn.bias"] = bias(outputs)

    def encoder() -> State:
        state: State = {}
        first, second, third, fourth = size["encoder"]
        narrow = size["branch"]
        unit(state, "conv1.0", size["channels"], first, 5)
        unit(state, "conv2.0", first, second, 5)
        for block in range(size["blocks"]):
            for branch, kernels in enumerate(((1,), (1, 3), (1, 3, 3))):
                for depth, kernel in enumerate(kernels):
                    name = f"repeat.{block}.branch{branch}.{depth}"
                    unit(state, name, second if depth == 0 else narrow, narrow, kernel)
            state[f"repeat.{block}.conv2d.weight"] = weight(second, 3 * narrow, 1, 1)
            state[f"repeat.{block}.conv2d.bias"] = bias(second)
        unit(state, "conv3.0", second, third, 5)
        unit(state, "conv4.0", third, fourth, 5)
        return state

    def head(classes: int) -> State:
        widths = (size["side"] ** 2 * size["encoder"][3], size["units"], size["units"], classes)
        state: State = {}
        for layer in (1, 2, 3):
            state[f"fc{layer}.weight"] = weight(widths[layer], widths[layer - 1])
            state[f"fc{layer}.bias"] = bias(widths[layer])
        return state

    def decoder() -> State:
        width = size["embedding"]
        state: State = {}
        state["emb1.0.weight"] = weight(width, 2 * size["encoder"][3] + size["noise"], 3, 3)
        state["emb1.0.bias"] = bias(width)
        for block in range(size["residuals"]):
            state[f"emb2.{block}.infer.0.weight"] = weight(width, width, 3, 3)
            state[f"emb2.{block}.infer.0.bias"] = bias(width)
        widths = (width, *size["decoder"], size["channels"])
        for layer in range(1, 6):
            kernel = 4 if layer < 5 else 3
            state[f"us{layer}.0.weight"] = weight(widths[layer - 1], widths[layer], kernel, kernel)
        return state

    def discriminator(classes: int) -> State:
        parts = {"enc": encoder(), "fc": head(classes)}
        return {f"{prefix}.{key}": array for prefix, state in parts.items() for key, array in state.items()}

    return {
        "Enc_FR_G.pkl": encoder(),
        "Enc_ER_G.pkl": encoder(),
        "dec.pkl": decoder(),
        "fc_ER_G.pkl": head(size["expressions"]),
        "Dis_FR.pkl": discriminator(size["identities"] + 1),
        "Dis_ER.pkl": discriminator(size["expressions"]),
    }


# -- layers, on float64 (n, c, h, w) ----------------------------------------------------------------------------------


def convolve(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """Cross-correlation with (out, in, k, k), stride 1, zeros around, same size."""
    margin = kernel.shape[2] // 2
    padded = np.pad(x, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[2:], axis=(2, 3))
    y = np.einsum("nchwij,ocij->nohw", windows, kernel, optimize=True)
    return y if bias is None else y + bias[:, None, None]


def deconvolve(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """Every input number lays kernel (in, out, k, k) times itself on the output; one pixel of the border is cut off."""
    size = kernel.shape[2]
    height, width = (stride * (side - 1) + size for side in x.shape[2:])
    y = np.zeros((len(x), kernel.shape[1], height, width))
    for row in range(x.shape[2]):
        for column in range(x.shape[3]):
            top, left = stride * row, stride * column
            y[:, :, top : top + size, left : left + size] += np.einsum("nc,coij->noij", x[:, :, row, column], kernel)
    return y[:, :, 1:-1, 1:-1]


def normalize(x: np.ndarray, epsilon: float) -> np.ndarray:
    mean, variance = x.mean((2, 3), keepdims=True), x.var((2, 3), keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon)


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def pool(x: np.ndarray) -> np.ndarray:
    """Maxima of 3x3 windows at every second pixel; the last window may hang over the right and the lower border."""
    height, width = (-(-side // 2) for side in x.shape[2:])
    padded = np.pad(x, ((0, 0), (0, 0), (0, 2), (0, 2)), constant_values=-np.inf)
    rows = [padded[:, :, row : row + 2 * height : 2] for row in range(3)]
    return np.max([part[:, :, :, column : column + 2 * width : 2] for part in rows for column in range(3)], axis=0)


def unit(state: State, name: str, x: np.ndarray) -> np.ndarray:
    gamma, beta = state[f"{name}.bn.weight"], state[f"{name}.bn.bias"]
    x = normalize(convolve(x, state[f"{name}.conv.weight"]), 1e-3)
    return relu(x * gamma[:, None, None] + beta[:, None, None])


# -- networks ----------------------------------------------------------------------------------------------------------


def encode(state: State, images: np.ndarray, prefix: str = "") -> np.ndarray:
    """(n, c, h, w) to (n, channels, h / 16, w / 16)."""
    state = {key[len(prefix) :]: array for key, array in state.items() if key.startswith(prefix)}
    x = pool(unit(state, "conv1.0", images.astype(np.float64)))
    x = pool(unit(state, "conv2.0", x))
    block = 0
    while f"repeat.{block}.conv2d.weight" in state:
        branches = []
        for branch in range(3):
            y = x
            for depth in range(branch + 1):
                y = unit(state, f"repeat.{block}.branch{branch}.{depth}", y)
            branches.append(y)
        y = np.concatenate(branches, 1)
        y = convolve(y, state[f"repeat.{block}.conv2d.weight"], state[f"repeat.{block}.conv2d.bias"])
        x = relu(x + 0.17 * y)
        block += 1
    x = pool(unit(state, "conv3.0", x))
    return pool(unit(state, "conv4.0", x))


def classify(state: State, code: np.ndarray, prefix: str = "") -> np.ndarray:
    """Code (n, c, h, w) to logits, without dropout."""
    x = code.reshape(len(code), -1)
    for layer in (1, 2, 3):
        x = x @ state[f"{prefix}fc{layer}.weight"].T + state[f"{prefix}fc{layer}.bias"]
        x = relu(x) if layer < 3 else x
    return x


def decode(state: State, expression: np.ndarray, face: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Codes and noise, all (n, c, h, w), to images in [0, 1]."""
    x = np.concatenate([expression, face, noise], 1)
    x = relu(convolve(x, state["emb1.0.weight"], state["emb1.0.bias"]))
    block = 0
    while f"emb2.{block}.infer.0.weight" in state:
        x = x + relu(convolve(x, state[f"emb2.{block}.infer.0.weight"], state[f"emb2.{block}.infer.0.bias"]))
        block += 1
    for layer in range(1, 5):
        x = relu(normalize(deconvolve(x, state[f"us{layer}.0.weight"], 2), 1e-5))
    return 1 / (1 + np.exp(-deconvolve(x, state["us5.0.weight"], 1)))


def first(x: np.ndarray) -> np.ndarray:
    """Channels last to channels first."""
    return np.asarray(x).transpose(0, 3, 1, 2)


def last(x: np.ndarray) -> np.ndarray:
    """Channels first to channels last."""
    return np.asarray(x).transpose(0, 2, 3, 1)
