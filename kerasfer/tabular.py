"""Results as a table, one row a face."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from kerasfer.faces import Prediction

if TYPE_CHECKING:
    import pandas

__all__ = ["to_dataframe"]

_FIRST = ("path", "frame", "time", "person", "face")
_FACE = ("left", "top", "right", "bottom", "score", "expression", "confidence")
_AFTER = ("yaw", "pitch", "roll", "valence", "arousal")
_TEXTS = ("path", "expression", "error")
_WHOLE = ("frame", "person", "face")


def to_dataframe(results: Any) -> pandas.DataFrame:
    """What was recognized, as a pandas table; Polars and PyArrow read it as they read any (`polars.from_pandas`,
    `pyarrow.table`).

    Args:
        results: what `recognize` and `recognize_faces` give for one photo or for many, or the frames of a video: one
            `Prediction`, `PhotoResult` or `FrameResult`, or any nesting of them in lists.

    Returns:
        A row for each face, in order, and one without a face for each photo or frame that has none or is bad. Columns:
        path of the photo, or frame, time (seconds) and person in a video; face (its number in the photo, from 0); left,
        top, right, bottom (pixels of the upright image); score (of the detector); expression; confidence; each
        expression's probability under its name ("probability_" before it where another column has that name); yaw,
        pitch, roll (degrees); valence, arousal (in [-1, 1]); AU1 and so on, and movements of the face, where they were
        asked for; error. Missing are NaN or NA.

    Raises:
        ImportError: pandas is not installed.
        TypeError: something else is among the results.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError("to_dataframe needs pandas: pip install 'kerasfer[pandas]'", name="pandas") from error
    rows = list(_rows(results, ()))
    labels, others = _names(rows)
    kinds = {kind for known, _, _ in rows for kind in known}
    columns = [name for name in _FIRST if name == "face" or name in kinds]
    columns += [*_FACE, *labels.values(), *_AFTER, *others, *(["error"] if "path" in kinds else [])]
    table = []
    for known, prediction, wrong in rows:
        row = {**known, "error": wrong}
        table.append(row if prediction is None else {**row, **_face(prediction, labels)})
    data = {}
    for name in columns:
        values = [row.get(name) for row in table]
        kind = "string" if name in _TEXTS else "Int64" if name in _WHOLE else "float64"
        data[name] = pandas.Series(values, dtype=kind)
    return pandas.DataFrame(data)


def _rows(results: Any, place: tuple[int, ...]) -> Iterator[tuple[dict[str, Any], Prediction | None, str | None]]:
    """Of each row what says where it is from, the face and what went wrong."""
    if isinstance(results, Prediction):
        yield {"face": place[-1] if place else 0}, results, None
    elif hasattr(results, "predictions"):
        known = {"path": results.path}
        for number, prediction in enumerate(results.predictions):
            yield {**known, "face": number}, prediction, None
        if not results.predictions:
            yield known, None, results.error
    elif hasattr(results, "faces") and hasattr(results, "time"):
        known = {"frame": results.number, "time": results.time, "person": None}
        for number, face in enumerate(results.faces):
            yield {**known, "person": face.person, "face": number}, face.prediction, None
        if not results.faces:
            yield known, None, None
    elif isinstance(results, Iterable) and not isinstance(results, (str, bytes)):
        for number, entry in enumerate(results):
            yield from _rows(entry, (*place, number))
    else:
        raise TypeError(f"results are what recognize and recognize_faces give, not {type(results).__name__}")


def _names(rows: list[tuple[dict[str, Any], Prediction | None, str | None]]) -> tuple[dict[str, str], list[str]]:
    """Columns of the expressions, by name, and of what only some predictions have."""
    faces = [prediction for _, prediction, _ in rows if prediction is not None]
    units = sorted({unit for face in faces for unit in face.action_units or {}})
    shapes = list(dict.fromkeys(shape for face in faces for shape in face.blendshapes or {}))
    details = list(dict.fromkeys(name for face in faces for name in face.unit_details or {}))
    others = [*(f"AU{unit}" for unit in units), *details, *shapes]
    taken = {*_FIRST, *_FACE, *_AFTER, *others, "error"}
    labels = dict.fromkeys(label for face in faces for label in face.probabilities)
    return {label: f"probability_{label}" if label in taken else label for label in labels}, others


def _face(prediction: Prediction, labels: dict[str, str]) -> dict[str, Any]:
    return {
        **dataclasses.asdict(prediction.box),
        "score": prediction.score,
        "expression": prediction.expression,
        "confidence": prediction.confidence,
        **{labels[label]: value for label, value in prediction.probabilities.items()},
        **({} if prediction.pose is None else dataclasses.asdict(prediction.pose)),
        "valence": prediction.valence,
        "arousal": prediction.arousal,
        **{f"AU{unit}": value for unit, value in (prediction.action_units or {}).items()},
        **(prediction.unit_details or {}),
        **(prediction.blendshapes or {}),
    }
