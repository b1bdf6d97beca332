"""Faces that landmarks drive: what their judges' figures are made of."""

from __future__ import annotations

import types

import numpy as np
import pytest
from tiny_training import face_landmarks, noise_table

from kerasfer.evaluation.geometry import linear_fit, rank_one, sharpness
from kerasfer.evaluation.measurements import Bench, DrivenFaces, driven
from kerasfer.expressions import UNKNOWN
from kerasfer.models.g2fer import G2FER, G2FERConfig


def test_rank_one_counts_who_is_nearest_to_oneself():
    gallery = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 9.0]])
    assert rank_one(gallery + [1.0, 0.5], gallery) == 1
    assert rank_one(np.array([[0.5, 0.0], [1.0, 0.0], [0.0, 1.0]]), gallery) == pytest.approx(1 / 3)


def test_sharpness_falls_with_detail():
    checks = np.uint8(255 * (np.indices((8, 8)).sum(0) % 2))[None, ..., None]
    # A pixel's four neighbors differ from it by 1 each: the Laplacian is 4 or -4; its border is mirrored.
    assert sharpness(checks) == pytest.approx(16)
    assert sharpness(np.repeat(checks // 2, 3, -1)) == pytest.approx(16 * (127 / 255) ** 2)
    assert sharpness(np.full((2, 8, 8, 1), 9, np.uint8)) == 0


def test_a_linear_fit_tells_what_is_there():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(400, 5))
    rows = np.arange(400) < 200
    assert linear_fit(features, 20 * features[:, 1] + 3, rows, ~rows) == pytest.approx(1, abs=1e-3)
    assert linear_fit(features, generator.normal(size=400), rows, ~rows) < 0.1


def test_driven_faces_are_of_people_left_aside(monkeypatch, tmp_path):
    """The bench of a tiny model that nobody trained: which figures there are, and whom they are measured on."""
    table = noise_table(40, size=42, people=20).with_columns(pose=np.tile([5.0, 0.0, 0.0], (40, 1)))
    assert (table["expression"] != UNKNOWN).all()
    model = G2FER(G2FERConfig.tiny())
    model.adapt({"landmarks": face_landmarks(32, 4), "label": np.eye(8, dtype=np.float32)[[0, 0, 1, 3]]})
    seen: list = []

    def located(images, wanted):
        seen.append(len(images))
        return types.SimpleNamespace(error=0.1 * len(seen), found=len(images) - 1, n=len(images))

    monkeypatch.setattr(driven, "align_table", lambda faces, size, channels, cache: faces)
    monkeypatch.setattr(driven, "landmark_report", located)
    judge = types.SimpleNamespace(name="a judge", features=lambda faces: np.asarray(faces).reshape(len(faces), -1))
    monkeypatch.setattr(driven, "judge_of", lambda name, model: judge)
    monkeypatch.setattr(driven.zoo, "load", lambda name: model)
    monkeypatch.setattr(Bench, "load", lambda self, name: table)
    bench = Bench("g2fer", {"made": model}, "made", lambda name: None, tmp_path, "x")
    figures = {figure["key"]: figure for figure in DrivenFaces(0.25, yaws=(0.0,)).judge(bench)}
    assert seen == [4, 4] and "4 people of LFW left aside" in figures["driven_drawn_found"]["what"]
    assert figures["driven_drawn_found"]["value"] == pytest.approx(0.75)
    assert figures["driven_error_ratio"]["value"] == pytest.approx(0.5)
    assert {"driven_read_neutral", "driven_read_happiness", "driven_read_sadness", "driven_read"} <= set(figures)
    assert "driven_read_fear" not in figures and "driven_rank_one_0" in figures and "driven_yaw_r2" in figures
    assert "driven_code_r2_1" in figures
    assert figures["driven_sharpness_real"]["value"] > 0 and figures["driven_sharpness_drawn"]["value"] > 0


def test_what_the_geometry_code_tells_of_coarse_and_of_fine_components(tmp_path):
    """A code that holds the four directions in which landmarks differ most, and nothing of the next four."""
    generator = np.random.default_rng(0)
    directions = np.linalg.qr(generator.normal(size=(136, 8)))[0]
    geometry = (generator.normal(size=(400, 8)) * [8, 7, 6, 5, 4, 3, 2, 1] / 20) @ directions.T

    class Codes:
        image_spec = types.SimpleNamespace(size=32)
        networks = {"geometry_encoder": lambda geometry: geometry @ directions[:, :4]}

    faces = noise_table(40).select(np.zeros(400, int)).with_columns(landmarks=(geometry.reshape(-1, 68, 2) + 1) * 16)
    side = np.asarray(faces.read(0)).shape[0]
    faces = faces.with_columns(landmarks=faces["landmarks"] * (side / 32))
    bench = Bench("g2fer", {"made": Codes()}, "made", lambda name: None, tmp_path, "x")
    found = {figure["key"]: figure["value"] for figure in DrivenFaces(0.25)._geometry(bench, faces)}
    assert found["driven_code_r2_1"] == pytest.approx(1, abs=0.01) and abs(found["driven_code_r2_5"]) < 0.1
