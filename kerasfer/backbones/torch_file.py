"""Reads the state dicts in PyTorch's files as arrays; nothing else needs PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["read_state"]


def read_state(path: Path, error: type[ValueError]) -> dict[str, np.ndarray]:
    """The tensors of the largest state dict in a PyTorch file; nothing in the file is executed.

    Args:
        path: a file of `torch.save`.
        error: what is raised, with one line that names the file and the remedy.

    Returns:
        Key -> float32 array, keys as they stand in the file.

    Raises:
        error: PyTorch is not installed, or the file is missing, damaged or without a state dict.
    """
    if not path.is_file():
        raise error(f"{path}: no such file; check the path")
    try:
        import torch
    except ImportError as absent:
        raise error(f'{path}: reading it needs PyTorch; pip install "kerasfer[convert]" (or torch)') from absent
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as failure:
        # A damaged file fails in many ways: UnpicklingError, RuntimeError, EOFError, zipfile's and zlib's errors.
        reason = str(failure).strip().partition("\n")[0] or type(failure).__name__
        raise error(f"{path}: not a readable PyTorch file of weights alone ({reason}); get it again") from failure
    tensors = _most_tensors(content, torch.is_tensor)
    if not tensors:
        raise error(f"{path}: holds no state dict; save the network's state_dict()")
    return {str(key): tensor.detach().to(torch.float32).numpy() for key, tensor in tensors.items()}


def _most_tensors(content: Any, is_tensor: Callable[[Any], bool]) -> dict[Any, Any]:
    """Of nested dicts the one with the most tensors in it, those alone."""
    if not isinstance(content, Mapping):
        return {}
    own = {key: value for key, value in content.items() if is_tensor(value)}
    return max([own, *(_most_tensors(value, is_tensor) for value in content.values())], key=len)
