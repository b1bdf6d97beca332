"""Expressions, label spaces and facial action units.

The one place where the order of labels is defined. A data set's native codes are mapped to `Expression` once, in its
reader; a model names the `LabelSpace` it predicts; whatever leaves the project carries the names of its labels.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Sequence

import numpy as np

__all__ = [
    "ACTION_UNITS",
    "BASIC6",
    "BASIC7",
    "CK_PLUS7",
    "EXPRESSION_ACTION_UNITS",
    "FERPLUS8",
    "LABEL_SPACES",
    "MULTIPIE6",
    "UNKNOWN",
    "Expression",
    "LabelSpace",
    "parse_expression",
]

UNKNOWN = -1
"""Code of a face whose expression is not known."""


class Expression(enum.IntEnum):
    """Every expression that kerasfer knows; the first eight are in FERPlus' order."""

    NEUTRAL = 0
    HAPPINESS = 1
    SURPRISE = 2
    SADNESS = 3
    ANGER = 4
    DISGUST = 5
    FEAR = 6
    CONTEMPT = 7
    SMILE = 8
    SQUINT = 9
    SCREAM = 10

    @property
    def label(self) -> str:
        """The name as written in tables, files and on the command line, in lower case."""
        return self.name.lower()


_ALIASES = {
    "angry": "anger",
    "disgusted": "disgust",
    "fearful": "fear",
    "happy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
    "contemptuous": "contempt",
    "neutrality": "neutral",
}


def parse_expression(name: str | int | Expression) -> Expression:
    """Returns the `Expression` of a name ("happiness", "Happy"), a code or an `Expression`.

    Raises:
        ValueError: the name or code is not known; the message lists the known names.
    """
    if isinstance(name, str):
        key = name.strip().lower()
        key = _ALIASES.get(key, key)
        for expression in Expression:
            if expression.label == key:
                return expression
    else:
        try:
            return Expression(int(name))
        except ValueError:
            pass
    known = ", ".join(expression.label for expression in Expression)
    raise ValueError(f"unknown expression {name!r}; known are: {known}")


@dataclasses.dataclass(frozen=True)
class LabelSpace:
    """An ordered set of expressions: the classes of a classifier.

    Attributes:
        name: the space's name, unique among `LABEL_SPACES`.
        expressions: its classes in the order of the classifier's outputs.
    """

    name: str
    expressions: tuple[Expression, ...]

    def __post_init__(self) -> None:
        if len(set(self.expressions)) != len(self.expressions) or not self.expressions:
            raise ValueError(f"label space {self.name!r} needs at least one expression, each once")

    def __len__(self) -> int:
        return len(self.expressions)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in order."""
        return tuple(expression.label for expression in self.expressions)

    def index(self, expression: str | int | Expression) -> int:
        """Returns the class number of an expression; `ValueError` if the space does not hold it."""
        parsed = parse_expression(expression)
        if parsed not in self.expressions:
            raise ValueError(f"{parsed.label!r} is not in label space {self.name!r}: {', '.join(self.labels)}")
        return self.expressions.index(parsed)

    def encode(self, codes: Sequence[int] | np.ndarray) -> np.ndarray:
        """Maps `Expression` codes, shape (n,), to class numbers, int32; -1 where the space does not hold one."""
        lookup = np.full(max(Expression) + 2, UNKNOWN, np.int32)
        for index, expression in enumerate(self.expressions):
            lookup[expression] = index
        codes = np.asarray(codes, np.int64)
        if codes.size and (codes.min() < UNKNOWN or codes.max() > max(Expression)):
            raise ValueError(f"expression codes must lie between {UNKNOWN} and {int(max(Expression))}")
        return lookup[codes]

    def shared(self, other: LabelSpace) -> LabelSpace:
        """The space of the classes that both hold, in this one's order (for cross-database tests)."""
        both = tuple(expression for expression in self.expressions if expression in other.expressions)
        return LabelSpace(f"{self.name}&{other.name}", both)

    @classmethod
    def of(cls, names: str | LabelSpace | Iterable[str | int | Expression]) -> LabelSpace:
        """Returns a space by its name, or made from the names of its classes."""
        if isinstance(names, LabelSpace):
            return names
        if isinstance(names, str):
            if names in LABEL_SPACES:
                return LABEL_SPACES[names]
            raise ValueError(f"unknown label space {names!r}; known are: {', '.join(LABEL_SPACES)}")
        expressions = tuple(parse_expression(name) for name in names)
        for space in LABEL_SPACES.values():
            if space.expressions == expressions:
                return space
        return cls("custom", expressions)


_E = Expression
FERPLUS8 = LabelSpace("ferplus8", tuple(Expression(code) for code in range(8)))
BASIC7 = LabelSpace("basic7", (_E.NEUTRAL, _E.HAPPINESS, _E.SURPRISE, _E.SADNESS, _E.ANGER, _E.DISGUST, _E.FEAR))
BASIC6 = LabelSpace("basic6", BASIC7.expressions[1:])
CK_PLUS7 = LabelSpace("ck_plus7", (*BASIC6.expressions, _E.CONTEMPT))
MULTIPIE6 = LabelSpace("multipie6", (_E.NEUTRAL, _E.SMILE, _E.SURPRISE, _E.SQUINT, _E.DISGUST, _E.SCREAM))
LABEL_SPACES = {space.name: space for space in (FERPLUS8, BASIC7, BASIC6, CK_PLUS7, MULTIPIE6)}

ACTION_UNITS = (1, 2, 4, 5, 6, 7, 9, 12, 15, 17, 23, 24, 25, 27)
"""FACS action units that kerasfer detects and renders, by number (DCGAN-FER's fourteen), in column order."""

EXPRESSION_ACTION_UNITS: dict[Expression, frozenset[int]] = {
    _E.NEUTRAL: frozenset(),
    _E.HAPPINESS: frozenset({6, 12, 25}),
    _E.SADNESS: frozenset({1, 4, 15, 17}),
    _E.FEAR: frozenset({1, 2, 5, 15, 25}),
    _E.SURPRISE: frozenset({1, 2, 5, 25, 27}),
    _E.ANGER: frozenset({4, 5, 7, 17, 23, 24}),
    _E.DISGUST: frozenset({9, 15, 17, 25}),
    _E.CONTEMPT: frozenset({12}),
}
"""Action units of each expression (Alharbawee and Pugeault, "Generative Adversarial Networks for Facial Expression
Recognition in the Wild", Table VI)."""
