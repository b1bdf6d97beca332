"""Measuring models: recognition, verification of people, and what a latent code reveals."""

from __future__ import annotations

from kerasfer.evaluation.classification import Report, evaluate, predict
from kerasfer.evaluation.disentanglement import Probe, disentanglement, linear_probe
from kerasfer.evaluation.resampling import PairedTest, paired_test
from kerasfer.evaluation.transfer import TransferReport, transfer
from kerasfer.evaluation.verification import FacePairs, VerificationReport, draw_pairs, pair_distances, verification

__all__ = [
    "FacePairs",
    "PairedTest",
    "Probe",
    "Report",
    "TransferReport",
    "VerificationReport",
    "disentanglement",
    "draw_pairs",
    "evaluate",
    "linear_probe",
    "pair_distances",
    "paired_test",
    "predict",
    "transfer",
    "verification",
]
