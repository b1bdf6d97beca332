"""Support vector machines as arrays: fitted by scikit-learn, run by Keras layers (`kerasfer.models.svm_layers`).

A fitted machine is a handful of arrays, so that it is stored as weights like any other, and goes into a SavedModel or a
TFLite file with the network whose features it takes. Its decision function is scikit-learn's. Features first go
through `kerasfer.models.svm_scaling`.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from kerasfer.expressions import ACTION_UNITS
from kerasfer.models.svm_scaling import Scaling, SVMError, fit_scaling, matrix

__all__ = [
    "ABSENT",
    "PRESENT",
    "ExpressionSVM",
    "SVMError",
    "SVMSettings",
    "Scaling",
    "UnitSVMs",
    "class_pairs",
    "fit_expression_svm",
    "fit_scaling",
    "fit_unit_svms",
    "pair_scores",
    "pair_sides",
    "seek",
]

PRESENT = 0.5
"""An action unit counts as present above this intensity."""

ABSENT = -30.0
"""Logit, before the temperature, of a class that the machine never saw."""

C_RANGE = (1e-2, 1e3)
GAMMA_RANGE = (1e-2, 1e2)
"""Where C and gamma are sought, evenly on a logarithmic scale."""

_KERNEL_ROWS = 5000
"""The kernel of at most so many rows is kept as a matrix while C and gamma are sought."""

_SMALLEST_EIGENVALUE = 1e-3
"""Nystroem's directions of less are damped: they would make coefficients too large for float32 and float16."""

_TOLERANCE = 1e-5
"""Of the RBF machines: with LIBSVM's own, 1e-3, decisions of two implementations differ by as much."""

_UNIT_SEARCH = {"maxiter": 500, "ftol": 1e-9, "gtol": 1e-7}
"""Of the action units' machines: further steps change decisions by about 1e-4."""

_CHUNK = 2048


@dataclasses.dataclass(frozen=True)
class SVMSettings:
    """How the machines are fitted.

    Attributes:
        c, gamma: of the RBF machine; where they are sought, what the search begins with.
        trials: pairs of C and gamma to try; 0 or 1 takes those given.
        folds: of the cross-validations.
        search_rows: rows, drawn evenly from each class, that the search and the slope use; 0 for all.
        components: principal components to project onto; 0 for none.
        landmarks: 0 for the exact machine; else the number of rows of Nystroem's approximation (Williams and Seeger
            2001) of the kernel, which bounds the size. C, gamma and slope are the exact machine's either way.
        unit_c: C of the linear machines.
    """

    c: float = 1.0
    gamma: float = 1.0
    trials: int = 30
    folds: int = 10
    search_rows: int = 0
    components: int = 0
    landmarks: int = 0
    unit_c: float = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class ExpressionSVM:
    """An RBF machine for K classes, one against one.

    The decision of the pair (i, j), i < j, is sum_v coefficients[v, pair] exp(-gamma |x - vectors[v]|^2) +
    intercepts[pair], positive for i: the "ovo" decision function of `sklearn.svm.SVC`.

    Attributes:
        scaling: of the features.
        vectors: float32 (v, m), support vectors or, of Nystroem's approximation, landmarks.
        coefficients: float32 (v, K (K - 1) / 2).
        intercepts: float32 (K (K - 1) / 2,).
        c, gamma: as found.
        slope: what the scores are multiplied by before the softmax, fitted by cross-validation.
        present: bool (K,), classes that there were faces of.
        accuracy: mean over the folds of the cross-validation.
        trials: how many pairs of C and gamma were tried.
    """

    scaling: Scaling
    vectors: np.ndarray
    coefficients: np.ndarray
    intercepts: np.ndarray
    c: float
    gamma: float
    slope: float
    present: np.ndarray
    accuracy: float
    trials: int

    def decide(self, features: np.ndarray) -> np.ndarray:
        """Decisions of all pairs, float64 (n, K (K - 1) / 2), of features (n, d)."""
        scaled = self.scaling(features).astype(np.float64)
        vectors, weights = self.vectors.astype(np.float64), self.coefficients.astype(np.float64)
        parts = [
            _kernel(scaled[start : start + _CHUNK], vectors, self.gamma) @ weights + self.intercepts
            for start in range(0, max(len(scaled), 1), _CHUNK)
        ]
        return np.concatenate(parts)

    def classify(self, features: np.ndarray) -> np.ndarray:
        """Class numbers, int (n,), of features (n, d)."""
        scores = pair_scores(self.decide(features), len(self.present))
        return np.where(self.present, scores, -np.inf).argmax(1)


@dataclasses.dataclass(frozen=True, eq=False)
class UnitSVMs:
    """A linear machine for each action unit, on the features as they are.

    Attributes:
        directions: float32 (d, 14).
        intercepts: float32 (14,).
        slopes, shifts: float32 (14,), of Platt's sigmoid: the probability is 1 / (1 + exp(-(slope f + shift))).
        learned: bool (14,), units that faces with and without were seen of.
    """

    directions: np.ndarray
    intercepts: np.ndarray
    slopes: np.ndarray
    shifts: np.ndarray
    learned: np.ndarray


# -- fitting -----------------------------------------------------------------------------------------------------------


def class_pairs(classes: int) -> list[tuple[int, int]]:
    """The pairs (i, j), i < j, in the order of the decisions."""
    return list(itertools.combinations(range(classes), 2))


def pair_sides(classes: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 (pairs, K) each: 1 where a class is a pair's first, and where it is its second."""
    first, second = (np.zeros((len(class_pairs(classes)), classes), np.float32) for _ in range(2))
    for number, (i, j) in enumerate(class_pairs(classes)):
        first[number, i] = second[number, j] = 1.0
    return first, second


def pair_scores(decisions: np.ndarray, classes: int) -> np.ndarray:
    """A score for each class, (n, K): minus its mean hinge loss over its pairs, halved (Allwein et al. 2000)."""
    first, second = pair_sides(classes)
    losses = np.maximum(1 - decisions, 0) @ first + np.maximum(1 + decisions, 0) @ second
    return -losses / (2 * max(classes - 1, 1))


def _kernel(x: np.ndarray, y: np.ndarray, gamma: float) -> np.ndarray:
    distances = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
    return np.exp(-gamma * np.maximum(distances, 0))


def fit_expression_svm(
    features: np.ndarray,
    classes: np.ndarray,
    class_count: int,
    settings: SVMSettings = SVMSettings(),
    seed: int = 0,
    scaling: Scaling | None = None,
) -> ExpressionSVM:
    """Fits the machine for expressions.

    Args:
        features: (n, d).
        classes: class numbers, int (n,); rows of -1 are left out.
        class_count: K.
        settings: how.
        seed: of the folds, the search and the landmarks.
        scaling: of the features, if it is known already.

    Raises:
        SVMError: fewer than two classes, fewer rows than folds, shapes that do not fit, or a search without Optuna.
    """
    features, classes = matrix(features), np.asarray(classes)
    if classes.shape != (len(features),):
        raise SVMError(f"{len(features)} faces need as many class numbers, got shape {classes.shape}")
    known = classes >= 0
    features, classes = features[known], classes[known].astype(int)
    if len(classes) and classes.max() >= class_count:
        raise SVMError(f"class numbers lie below {class_count}, got {classes.max()}")
    if len(np.unique(classes)) < 2:
        raise SVMError(f"a machine needs faces of two expressions; there are {len(np.unique(classes))}")
    if len(classes) < settings.folds:
        raise SVMError(f"{len(classes)} faces are fewer than the {settings.folds} folds; take more, or fewer folds")
    scaling = fit_scaling(features, settings.components, seed) if scaling is None else scaling
    scaled = scaling(features)
    rows = _even_rows(classes, settings.search_rows, seed)
    folds = _folds(classes[rows], settings.folds, seed)

    def accuracy(c: float, gamma: float) -> float:
        held_out = _cross_validated(scaled[rows], classes[rows], folds, c, gamma, class_count)
        return float((held_out.argmax(1) == classes[rows]).mean())

    c, gamma = settings.c, settings.gamma
    if settings.trials > 1:
        c, gamma = seek(accuracy, (c, gamma), settings.trials, seed)
    held_out = _cross_validated(scaled[rows], classes[rows], folds, c, gamma, class_count)
    fitted = (
        _nystroem(scaled, classes, c, gamma, class_count, settings.landmarks, seed)
        if settings.landmarks
        else _exact(scaled, classes, c, gamma, class_count)
    )
    present = np.isin(np.arange(class_count), classes)
    return ExpressionSVM(
        scaling,
        *fitted,
        c,
        gamma,
        _slope(held_out[:, present], np.searchsorted(np.flatnonzero(present), classes[rows])),
        present,
        float((held_out.argmax(1) == classes[rows]).mean()),
        max(settings.trials, 1),
    )


def seek(
    accuracy: Callable[[float, float], float], start: tuple[float, float], trials: int, seed: int
) -> tuple[float, float]:
    """The C and gamma of the best accuracy that Bayesian optimization finds (Optuna's tree of Parzen estimators).

    Args:
        accuracy: of C and gamma.
        start: what to try first.
        trials: how many pairs to try.
        seed: of the search.

    Raises:
        SVMError: Optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise SVMError(
            "C and gamma are sought with Optuna, which is not installed: pip install 'optuna>=4', or give both and "
            "set search_trials=0"
        ) from error

    def objective(trial: optuna.Trial) -> float:
        return accuracy(
            trial.suggest_float("c", *C_RANGE, log=True), trial.suggest_float("gamma", *GAMMA_RANGE, log=True)
        )

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(10, max(trials // 3, 1)))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    c, gamma = (float(np.clip(value, *limits)) for value, limits in zip(start, (C_RANGE, GAMMA_RANGE)))
    study.enqueue_trial({"c": c, "gamma": gamma})
    study.optimize(objective, n_trials=trials)
    return study.best_params["c"], study.best_params["gamma"]


def _even_rows(classes: np.ndarray, count: int, seed: int) -> np.ndarray:
    """At most `count` rows, with each class' share of them; all for 0."""
    if not 0 < count < len(classes):
        return np.arange(len(classes))
    order = np.random.default_rng(seed).permutation(len(classes))
    ranked = order[np.argsort(classes[order], kind="stable")]
    return np.sort(ranked[np.linspace(0, len(ranked) - 1, count).astype(int)])


def _folds(classes: np.ndarray, count: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to train on and rows to test, `count` times; each class is spread over the folds."""
    order = np.random.default_rng(seed).permutation(len(classes))
    ranked = order[np.argsort(classes[order], kind="stable")]
    fold = np.empty(len(classes), int)
    fold[ranked] = np.arange(len(classes)) % count
    return [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(count)]


def _cross_validated(
    scaled: np.ndarray,
    classes: np.ndarray,
    folds: list[tuple[np.ndarray, np.ndarray]],
    c: float,
    gamma: float,
    class_count: int,
) -> np.ndarray:
    """Scores (n, K) of each row by a machine that did not see it; those of classes that it did not see are -inf."""
    scores = np.full((len(classes), class_count), -np.inf)
    kernel = _kernel(scaled, scaled, gamma) if len(scaled) <= _KERNEL_ROWS else None

    def hold_out(fold: tuple[np.ndarray, np.ndarray]) -> None:
        train, test = fold
        seen = np.isin(np.arange(class_count), classes[train])
        scores[test] = np.where(seen, 0.0, -np.inf)
        if seen.sum() < 2:
            return
        given = None if kernel is None else kernel[np.ix_(train, train)]
        support, weights, intercepts = _machine(scaled[train], classes[train], c, gamma, class_count, given)
        rows = train[support]
        between = _kernel(scaled[test], scaled[rows], gamma) if kernel is None else kernel[np.ix_(test, rows)]
        scores[test] = np.where(seen, pair_scores(between @ weights + intercepts, class_count), -np.inf)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(hold_out, folds))
    return scores


def _exact(
    scaled: np.ndarray, classes: np.ndarray, c: float, gamma: float, class_count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Support vectors (v, m), coefficients (v, pairs) and intercepts (pairs,) of the exact machine."""
    kernel = None
    if 8 * len(scaled) ** 2 < _memory() / 4:
        kernel = np.empty((len(scaled), len(scaled)))
        for start in range(0, len(scaled), _CHUNK):
            kernel[start : start + _CHUNK] = _kernel(scaled[start : start + _CHUNK], scaled, gamma)
    support, coefficients, intercepts = _machine(scaled, classes, c, gamma, class_count, kernel)
    # LIBSVM lists them class by class. Sums of float32 then grow to thousands before they come back to the decision.
    order = np.random.default_rng(0).permutation(len(support))
    return scaled[support[order]], coefficients[order], intercepts


def _memory() -> float:
    """Bytes of memory that this machine has; 0 where it does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0


def _machine(
    scaled: np.ndarray,
    classes: np.ndarray,
    c: float,
    gamma: float,
    class_count: int,
    kernel: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of the support vectors, int (v,), and float32 coefficients (v, pairs) and intercepts (pairs,).

    With the kernel of the rows, (n, n), at hand LIBSVM need not compute it. (scikit-learn-intelex finds the same
    machine, but of tens of thousands of faces it was seen to take several times as long.)
    """
    from sklearn.svm import SVC

    how = {"kernel": "rbf", "gamma": gamma} if kernel is None else {"kernel": "precomputed"}
    machine = SVC(C=c, tol=_TOLERANCE, cache_size=1000, decision_function_shape="ovo", **how)
    machine.fit(scaled if kernel is None else kernel, classes)
    seen = machine.classes_
    sign = -1.0 if len(seen) == 2 else 1.0  # Of two classes, scikit-learn's decision is positive for the second.
    dual, offsets = sign * machine.dual_coef_, sign * machine.intercept_
    owner = np.repeat(np.arange(len(seen)), machine.n_support_)
    places = {pair: number for number, pair in enumerate(class_pairs(class_count))}
    coefficients = np.zeros((len(machine.support_), len(places)), np.float32)
    intercepts = np.zeros(len(places), np.float32)
    for number, (i, j) in enumerate(class_pairs(len(seen))):
        place = places[int(seen[i]), int(seen[j])]
        coefficients[owner == i, place] = dual[j - 1, owner == i]
        coefficients[owner == j, place] = dual[i, owner == j]
        intercepts[place] = offsets[number]
    return machine.support_, coefficients, intercepts


def _nystroem(
    scaled: np.ndarray, classes: np.ndarray, c: float, gamma: float, class_count: int, landmarks: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The machine with the kernel k(x, L) k(L, L)^-1 k(L, y) of landmarks L: linear machines on k(x, L) k(L, L)^-1/2.

    Directions fold into coefficients of the landmarks, so that the decision has the form of the exact machine's.
    """
    chosen = scaled[_even_rows(classes, landmarks, seed)].astype(np.float64)
    values, vectors = np.linalg.eigh(_kernel(chosen, chosen, gamma))
    root = (vectors / np.sqrt(np.maximum(values, _SMALLEST_EIGENVALUE))) @ vectors.T
    mapped = np.concatenate(
        [
            (_kernel(scaled[start : start + _CHUNK], chosen, gamma) @ root).astype(np.float32)
            for start in range(0, len(scaled), _CHUNK)
        ]
    )
    first, second = (np.stack([classes == pair[side] for pair in class_pairs(class_count)], 1) for side in (0, 1))
    seen = first.any(0) & second.any(0)
    coefficients, intercepts = np.zeros((len(chosen), len(seen)), np.float32), np.zeros(len(seen), np.float32)
    directions, intercepts[seen] = _linear_machines(mapped, first[:, seen], c, balanced=False)(
        (first | second)[:, seen]
    )
    coefficients[:, seen] = root @ directions
    return chosen.astype(np.float32), coefficients, intercepts


def _slope(scores: np.ndarray, classes: np.ndarray) -> float:
    """The factor of scores (n, K) whose softmax gives the classes the most probability.

    As in Platt's method the targets stop short of 1, so that a machine without a mistake is not taken for infallible:
    each class is as if one more face, of which nothing is known, had been seen.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    count, width = scores.shape
    scores = np.where(np.isfinite(scores), scores, np.nan_to_num(scores, neginf=0).min() - 1)
    targets = (count * np.eye(width)[classes] + 1) / (count + width)

    def loss(exponent: float) -> float:
        return -float((targets * log_softmax(np.exp(exponent) * scores, 1)).sum(1).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 5.0), method="bounded").x))


def fit_unit_svms(
    features: np.ndarray,
    units: np.ndarray,
    settings: SVMSettings = SVMSettings(),
    seed: int = 0,
) -> UnitSVMs:
    """Fits a linear machine for each action unit, with squared hinge loss and both sides weighted equally.

    They take the features as they are: what tells an action unit is lost among the first principal components.

    Args:
        features: (n, d).
        units: intensities, float (n, 14); NaN where not known. A unit is present above `PRESENT`.
        settings: how.
        seed: of the folds.

    Returns:
        The machines. A unit is not learned if no face, or every face, shows it.

    Raises:
        SVMError: no unit can be learned, fewer rows than folds, or shapes that do not fit.
    """
    from sklearn.linear_model import LogisticRegression

    features, units = matrix(features), np.asarray(units, np.float64)
    if units.shape != (len(features), len(ACTION_UNITS)):
        raise SVMError(f"{len(features)} faces need units ({len(features)}, {len(ACTION_UNITS)}), got {units.shape}")
    if len(features) < settings.folds:
        raise SVMError(f"{len(features)} faces are fewer than the {settings.folds} folds; take more, or fewer folds")
    shown = units > PRESENT
    learned = np.array([shown[:, n].any() and (units[:, n] <= PRESENT).any() for n in range(len(ACTION_UNITS))])
    if not learned.any():
        raise SVMError("of no action unit there are faces with it and faces without it; take other faces")
    scaling = fit_scaling(features)
    scaled = scaling(features)
    shown, known = shown[:, learned], np.isfinite(units[:, learned])
    fold = np.full(shown.shape, -1)
    for number, unit in enumerate(shown.T):
        rows = np.flatnonzero(known[:, number])
        count = min(settings.folds, int(unit[rows].sum()), int((~unit[rows]).sum()))
        for held, (_, test) in enumerate(_folds(unit[rows].astype(int), count, seed) if count > 1 else ()):
            fold[rows[test], number] = held
    solve = _linear_machines(scaled, shown, settings.unit_c)
    weights, offsets = whole = solve(known)
    held_out = scaled @ weights + offsets
    for held in range(fold.max() + 1):
        weights, offsets = solve(known & (fold != held), whole)
        held_out = np.where(fold == held, scaled @ weights + offsets, held_out)
    directions, intercepts = np.zeros((features.shape[1], len(learned))), np.zeros(len(learned))
    slopes, shifts = np.ones(len(learned)), np.zeros(len(learned))
    directions[:, learned] = whole[0] * scaling.scale[:, None]
    intercepts[learned] = whole[1] - scaling.mean.astype(np.float64) @ directions[:, learned]
    for number, unit in enumerate(np.flatnonzero(learned)):
        rows = known[:, number]
        sigmoid = LogisticRegression(C=1e3).fit(held_out[rows, number, None], shown[rows, number])
        slopes[unit], shifts[unit] = sigmoid.coef_[0, 0], sigmoid.intercept_[0]
    return UnitSVMs(*(value.astype(np.float32) for value in (directions, intercepts, slopes, shifts)), learned)


def _linear_machines(
    x: np.ndarray, shown: np.ndarray, c: float, balanced: bool = True
) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """A solver of linear machines, one for each column of `shown`, bool (n, u), on the same features x, float32 (n, d).

    The solver takes the rows that each machine is fitted to, bool (n, u), and, if wished, directions and intercepts to
    start from; it gives directions (d, u) and intercepts (u,).

    The loss is that of scikit-learn's LinearSVC: |w|^2 / 2 + c sum_i s_i max(0, 1 - y_i w x_i)^2, with the intercept as
    the weight of one more feature; s_i is 1 or, where classes are to be balanced, gives both sides equal weight. Of
    thousands of dense features LinearSVC takes hours, since it keeps them as sparse ones and fits one machine at a
    time. Here all are found at once by L-BFGS, in coordinates in which the second derivative is the identity while
    every face lies within the margin.
    """
    from scipy.linalg import cholesky, solve_triangular
    from scipy.optimize import minimize

    x = np.column_stack([x, np.ones(len(x))])
    sides = np.where(shown, 1.0, -1.0)
    shape = x.shape[1], shown.shape[1]
    curvature = x.T @ x
    curvature *= 2 * c
    curvature[np.diag_indices(shape[0])] += 1
    root = cholesky(curvature, lower=True, overwrite_a=True)

    def weights_of(point: np.ndarray) -> np.ndarray:
        return solve_triangular(root, point.reshape(shape), lower=True, trans="T")

    def solve(rows: np.ndarray, start: tuple[np.ndarray, np.ndarray] | None = None) -> tuple[np.ndarray, np.ndarray]:
        shares = rows.astype(float)
        for side in (rows & shown, rows & ~shown) if balanced else ():
            shares[side] = (side * rows.sum(0) / np.maximum(2 * side.sum(0), 1))[side]

        def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
            weights = weights_of(point)
            short = np.maximum(1 - sides * (x @ weights), 0)
            value = 0.5 * (weights**2).sum() + c * (shares * short**2).sum()
            slope = weights - 2 * c * (x.T @ (shares * short * sides))
            return float(value), solve_triangular(root, slope, lower=True).ravel()

        first = np.zeros(shape) if start is None else root.T @ np.vstack([start[0], start[1][None]])
        found = minimize(loss, first.ravel(), jac=True, method="L-BFGS-B", options=_UNIT_SEARCH)
        weights = weights_of(found.x)
        return weights[:-1], weights[-1]

    return solve
