"""A photo to try kerasfer with, wherever it is installed."""

from __future__ import annotations

from pathlib import Path

__all__ = ["PHOTO"]

PHOTO = Path(__file__).with_name("astronaut.jpg")
"""Eileen Collins, astronaut, 512 x 512 pixels, one face. Photo: NASA, public domain, as scikit-image ships it."""
