"""What every test needs: a quiet TensorFlow, Keras on TensorFlow, no window."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# To set up oneDNN's kernels takes longer than the tests' small networks compute.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
