"""Measuring models: recognition, and what a code gives away."""

from __future__ import annotations

from kerasfer.evaluation.classification import Report, evaluate, predict
from kerasfer.evaluation.disentanglement import Probe, disentanglement, linear_probe

__all__ = ["Probe", "Report", "disentanglement", "evaluate", "linear_probe", "predict"]
