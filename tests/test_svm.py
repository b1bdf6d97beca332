"""Support vector machines as arrays and layers, beside scikit-learn's own."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.svm import SVC, LinearSVC

from kerasfer.expressions import ACTION_UNITS
from kerasfer.models import svm
from kerasfer.models.svm import (
    ABSENT,
    SVMError,
    SVMSettings,
    class_pairs,
    fit_expression_svm,
    fit_scaling,
    fit_unit_svms,
    pair_scores,
    seek,
)
from kerasfer.models.svm_layers import RBFDecision, VoteLogits

QUICK = SVMSettings(trials=0, folds=3)


def blobs(classes: int = 4, rows: int = 120, width: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features around a center for each class, some of them far from unit scale, and class numbers."""
    generator = np.random.default_rng(seed)
    numbers = np.arange(rows) % classes
    centers = generator.normal(0, 1.5, (classes, width))
    features = centers[numbers] + generator.normal(0, 1, (rows, width))
    features = features * np.geomspace(0.1, 50, width) + 7
    features[:, 3] = 2.5
    return features.astype(np.float32), numbers


def test_scaled_features_have_a_total_variance_of_one():
    features, _ = blobs()
    scaled = fit_scaling(features)(features)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-5)
    assert scaled.var(0).sum() == pytest.approx(1, abs=1e-4)
    assert (scaled[:, 3] == 0).all()
    projected = fit_scaling(features, components=5)(features)
    assert projected.shape == (120, 5) and (np.diff(projected.var(0)) < 0).all()
    whole = fit_scaling(features, components=50)(features)
    assert whole.shape == (120, 12)
    inner = scaled.astype(np.float64) @ scaled.T
    np.testing.assert_allclose(whole.astype(np.float64) @ whole.T, inner, atol=1e-5)


@pytest.mark.parametrize("components", [0, 6])
@pytest.mark.parametrize("classes", [2, 5])
def test_decisions_are_those_of_scikit_learn(classes, components):
    features, numbers = blobs(classes)
    machine = fit_expression_svm(features, numbers, classes, SVMSettings(3.0, 0.8, 0, 3, components=components))
    scaled = machine.scaling(features)
    theirs = SVC(C=3.0, gamma=0.8, tol=1e-6, decision_function_shape="ovo").fit(scaled, numbers)
    expected = theirs.decision_function(scaled).reshape(len(features), -1)
    expected = -expected if classes == 2 else expected
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(machine.decide(features), expected, atol=3e-5)
    assert (machine.classify(features) == theirs.predict(scaled)).mean() > 0.97
    layer = RBFDecision(len(machine.vectors), expected.shape[1])
    layer.build(scaled.shape)
    layer.set_weights([machine.vectors, machine.coefficients, machine.intercepts, np.array([machine.gamma])])
    np.testing.assert_allclose(layer(scaled), expected, atol=1e-4)


def test_a_class_without_faces_never_wins():
    features, numbers = blobs(4)
    machine = fit_expression_svm(features, np.array([0, 2, 3, 5])[numbers], 7, QUICK)
    assert machine.present.tolist() == [True, False, True, True, False, True, False]
    decisions = machine.decide(features)
    unused = [n for n, pair in enumerate(class_pairs(7)) if not set(pair) <= {0, 2, 3, 5}]
    assert (decisions[:, unused] == 0).all() and len(unused) == 15
    expected = SVC(C=1.0, gamma=1.0, tol=1e-6, decision_function_shape="ovo").fit(machine.scaling(features), numbers)
    used = [n for n in range(21) if n not in unused]
    np.testing.assert_allclose(decisions[:, used], expected.decision_function(machine.scaling(features)), atol=3e-5)
    assert set(machine.classify(features)) <= {0, 2, 3, 5}
    layer = VoteLogits(7)
    layer.build((None, 21))
    layer.set_weights([np.array([machine.slope]), np.where(machine.present, 0.0, ABSENT)])
    assert np.asarray(layer(decisions.astype(np.float32))).argmax(1).tolist() == machine.classify(features).tolist()


def test_votes_by_hand():
    """Three classes; pairs (0, 1), (0, 2), (1, 2) with decisions 2, -0.5 and 0.25."""
    scores = pair_scores(np.array([[2.0, -0.5, 0.25]]), 3)
    np.testing.assert_allclose(scores, [[-(0 + 1.5) / 4, -(3 + 0.75) / 4, -(0.5 + 1.25) / 4]])
    layer = VoteLogits(3)
    layer.build((None, 3))
    layer.set_weights([np.array([2.0]), np.array([0.0, 1.0, 0.0])])
    np.testing.assert_allclose(layer(np.array([[2.0, -0.5, 0.25]], np.float32)), 2 * scores + [[0, 1, 0]], atol=1e-6)


def test_nystroem_with_every_row_is_a_machine_on_the_whole_kernel():
    features, numbers = blobs(3, rows=60)
    machine = fit_expression_svm(features, numbers, 3, SVMSettings(5.0, 0.7, 0, 3, landmarks=60))
    scaled = machine.scaling(features).astype(np.float64)
    kernel = np.exp(-0.7 * ((scaled[:, None] - scaled) ** 2).sum(2))
    values, vectors = np.linalg.eigh(kernel)
    mapped = vectors * (np.maximum(values, 0) / np.sqrt(np.maximum(values, 1e-3)))
    rows = numbers != 2
    theirs = LinearSVC(C=5.0, dual=False, tol=1e-8).fit(mapped[rows], numbers[rows] == 0)
    np.testing.assert_allclose(machine.decide(features)[:, 0], theirs.decision_function(mapped), atol=1e-4)
    assert np.abs(theirs.decision_function(mapped)).max() > 0.5
    lacking = fit_expression_svm(features, 2 * numbers, 6, SVMSettings(5.0, 0.7, 0, 3, landmarks=60))
    np.testing.assert_allclose(lacking.decide(features)[:, 1], machine.decide(features)[:, 0], atol=1e-5)
    assert (lacking.decide(features)[:, 0] == 0).all() and (lacking.classify(features) % 2 == 0).all()
    few = fit_expression_svm(features, numbers, 3, SVMSettings(5.0, 0.7, 0, 3, landmarks=20))
    assert few.vectors.shape == (20, 12) and (few.classify(features) == numbers).mean() > 0.8


def test_the_exact_machine_is_the_same_whether_its_kernel_fits_in_memory(monkeypatch):
    features, numbers = blobs(3, rows=90)
    monkeypatch.setattr(svm, "_CHUNK", 40)
    whole = fit_expression_svm(features, numbers, 3, SVMSettings(5.0, 0.7, 0, 3, components=6))
    monkeypatch.setattr(svm, "_memory", lambda: 4 * 8 * 90**2)
    by_rows = fit_expression_svm(features, numbers, 3, SVMSettings(5.0, 0.7, 0, 3, components=6))
    np.testing.assert_allclose(by_rows.decide(features), whole.decide(features), atol=1e-4)


def test_the_slope_makes_probabilities_honest():
    features, numbers = blobs(3, rows=90)
    sure = fit_expression_svm(features, numbers, 3, QUICK)
    unsure = fit_expression_svm(features, np.random.default_rng(0).permutation(numbers), 3, QUICK)
    assert sure.accuracy > 0.9 and sure.slope > 3 * unsure.slope > 0


def test_the_search_finds_a_better_machine_and_repeats():
    optuna = pytest.importorskip("optuna")
    assert optuna.__version__
    tried = []

    def accuracy(c: float, gamma: float) -> float:
        tried.append((c, gamma))
        return -((np.log10(c) - 1) ** 2) - (np.log10(gamma) + 1) ** 2

    found = seek(accuracy, (1.0, 1.0), 25, seed=3)
    assert tried[0] == (1.0, 1.0) and len(tried) == 25
    assert accuracy(*found) > -0.5 and found == seek(accuracy, (1.0, 1.0), 25, seed=3)


def test_units_are_those_of_scikit_learn():
    features, numbers = blobs(4)
    units = np.zeros((120, 14), np.float32)
    units[:, 0] = numbers == 1
    units[:, 7] = 0.4 + 0.2 * (numbers >= 2)
    units[::5, 7] = np.nan
    units[:, 9] = 1.0
    machines = fit_unit_svms(features, units, SVMSettings(folds=3, unit_c=2.0))
    assert [unit for unit, known in zip(ACTION_UNITS, machines.learned) if known] == [1, 12]
    scaled = fit_scaling(features)(features)
    known = np.isfinite(units[:, 7])
    for column, rows, y in ((0, slice(None), numbers == 1), (7, known, numbers[known] >= 2)):
        theirs = LinearSVC(C=2.0, dual=False, class_weight="balanced", tol=1e-8).fit(scaled[rows], y)
        ours = features @ machines.directions[:, column] + machines.intercepts[column]
        np.testing.assert_allclose(ours, theirs.decision_function(scaled), atol=1e-4)
        assert machines.slopes[column] > 0
    assert not machines.directions[:, 9].any()
    reduced = fit_unit_svms(features, units, SVMSettings(folds=3, unit_c=2.0, components=2))
    np.testing.assert_array_equal(reduced.directions, machines.directions)


def test_units_on_wide_features_are_those_of_scikit_learn():
    generator = np.random.default_rng(1)
    features = np.repeat(generator.normal(0, 1, (90, 40)), 8, 1) + generator.normal(0, 0.3, (90, 320))
    units = np.zeros((90, 14), np.float32)
    units[:, 3] = features[:, 0] > 0
    units[:, 5] = features[:, 9] > 1
    machines = fit_unit_svms(features, units, SVMSettings(folds=3, unit_c=10.0))
    scaled = fit_scaling(features)(features)
    for column in (3, 5):
        theirs = LinearSVC(C=10.0, dual=False, class_weight="balanced", tol=1e-8).fit(scaled, units[:, column] > 0.5)
        ours = features @ machines.directions[:, column] + machines.intercepts[column]
        np.testing.assert_allclose(ours, theirs.decision_function(scaled), atol=1e-3)


def test_probabilities_of_units_are_of_faces_held_out():
    generator = np.random.default_rng(2)
    features, units = generator.normal(0, 1, (60, 200)), np.zeros((60, 14), np.float32)
    units[:, 6] = generator.permutation(60) < 30
    machines = fit_unit_svms(features, units, SVMSettings(folds=5, unit_c=100.0))
    decisions = features @ machines.directions[:, 6] + machines.intercepts[6]
    assert ((decisions > 0) == (units[:, 6] > 0.5)).all()
    chance = 1 / (1 + np.exp(-(decisions * machines.slopes[6] + machines.shifts[6])))
    assert np.abs(chance - 0.5).max() < 0.35


def test_the_order_of_the_vectors_keeps_partial_sums_small():
    features, numbers = blobs(2, rows=400)
    machine = fit_expression_svm(features, numbers, 2, SVMSettings(10.0, 0.5, 0, 3))
    running = np.abs(np.cumsum(machine.coefficients[:, 0]))
    assert running.max() < 0.5 * np.abs(machine.coefficients[:, 0]).sum() / 2


def test_float32_keeps_the_decision_of_many_large_coefficients():
    generator = np.random.default_rng(4)
    vectors = generator.normal(0, 0.1, (6000, 32)).astype(np.float32)
    coefficients = generator.uniform(5, 10, (6000, 3)).astype(np.float32) * np.repeat([[1], [-1]], 3000, 0)
    layer = RBFDecision(6000, 3)
    inputs = generator.normal(0, 0.1, (20, 32)).astype(np.float32)
    layer.build(inputs.shape)
    layer.vectors.assign(vectors)
    layer.coefficients.assign(coefficients)
    distances = ((inputs[:, None].astype(np.float64) - vectors) ** 2).sum(-1)
    expected = np.exp(-distances) @ coefficients.astype(np.float64)
    np.testing.assert_allclose(layer(inputs), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"classes": np.zeros(120, int)}, "needs faces of two expressions; there are 1"),
        ({"classes": np.full(120, -1)}, "needs faces of two expressions; there are 0"),
        ({"classes": np.arange(120) % 9}, "class numbers lie below 4, got 8"),
        ({"classes": np.zeros(7, int)}, "120 faces need as many class numbers"),
        ({"settings": SVMSettings(trials=0, folds=121)}, "120 faces are fewer than the 121 folds"),
        ({"features": np.full((120, 3), np.nan)}, "features are NaN or infinite"),
        ({"features": np.zeros((120, 3, 2))}, r"features have shape \(n, d\)"),
    ],
)
def test_what_cannot_be_fitted(change, expected):
    features, numbers = blobs()
    given = {"features": features, "classes": numbers, "settings": QUICK, **change}
    with pytest.raises(SVMError, match=expected):
        fit_expression_svm(given["features"], given["classes"], 4, given["settings"])


def test_units_that_cannot_be_fitted():
    features, _ = blobs()
    with pytest.raises(SVMError, match="of no action unit there are faces with it and faces without it"):
        fit_unit_svms(features, np.zeros((120, 14)), QUICK)
    with pytest.raises(SVMError, match=r"120 faces need units \(120, 14\)"):
        fit_unit_svms(features, np.zeros((120, 3)), QUICK)
    with pytest.raises(SVMError, match="fewer than the 500 folds"):
        fit_unit_svms(features, np.zeros((120, 14)), SVMSettings(folds=500))


def test_features_of_another_width():
    features, numbers = blobs()
    machine = fit_expression_svm(features, numbers, 4, QUICK)
    with pytest.raises(SVMError, match="features are 5 wide, the machine takes 12"):
        machine.decide(features[:, :5])


def test_a_search_with_and_without_the_kernel_as_a_matrix(monkeypatch):
    features, numbers = blobs(4)
    kept = fit_expression_svm(features, numbers, 4, QUICK)
    monkeypatch.setattr("kerasfer.models.svm._KERNEL_ROWS", 10)
    computed = fit_expression_svm(features, numbers, 4, QUICK)
    assert kept.accuracy == computed.accuracy and kept.slope == pytest.approx(computed.slope, rel=0.01)
