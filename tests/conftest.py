"""What every test needs: a quiet TensorFlow, Keras on TensorFlow, no window."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import kerasfer  # noqa: E402, F401  # Some tests import TensorFlow first, whose kernels `import kerasfer` chooses.
