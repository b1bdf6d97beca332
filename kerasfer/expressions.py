"""Expressions, label spaces and facial action units.

The one place where the order of labels is defined. A data set's native codes are mapped to `Expression` once, in its
reader; a model names the `LabelSpace` it predicts; whatever leaves the project carries the names of its labels.

The expressions of FACS and of the public data sets are a known vocabulary, with synonyms and with the codes that those
sets write. Any other names can be classes as well: a label space is made of names, and of those that mean a known
expression it knows which.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

__all__ = [
    "ACTION_UNITS",
    "ALIASES",
    "BASIC6",
    "BASIC7",
    "CK_PLUS7",
    "EXPRESSION_ACTION_UNITS",
    "FERPLUS8",
    "KNOWN_CLASSES",
    "LABEL_CODES",
    "LABEL_SPACES",
    "MULTIPIE6",
    "UNKNOWN",
    "Expression",
    "LabelSpace",
    "class_name",
    "known_expression",
    "label_codes",
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


ALIASES = {
    "angry": "anger",
    "disgusted": "disgust",
    "fearful": "fear",
    "happy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
    "contemptuous": "contempt",
    "neutrality": "neutral",
}
"""Other words for the known expressions, as data sets and people write them -> their names."""


def parse_expression(name: str | int | Expression) -> Expression:
    """Returns the `Expression` of a name ("happiness", "Happy"), a code or an `Expression`.

    Raises:
        ValueError: the name or code is not known; the message lists the known names.
    """
    if isinstance(name, str):
        key = name.strip().lower()
        key = ALIASES.get(key, key)
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


def known_expression(name: str) -> Expression | None:
    """The known expression that a class of this name means ("Happy": happiness); None for a name of one's own."""
    try:
        return parse_expression(name)
    except ValueError:
        return None


KNOWN_CLASSES = tuple(expression.label for expression in Expression)
"""Names of the known expressions; the place of each is its code."""

LONGEST_NAME = 100
"""Characters that the name of a class may have."""

_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
_DIRECTIONS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def class_name(name: str | Expression) -> str:
    """The name of a class without blanks around it, its letters composed (Unicode's NFC).

    Raises:
        ValueError: it is no text, empty, longer than 100 characters, or holds control characters.
    """
    if isinstance(name, Expression):
        return name.label
    if not isinstance(name, str):
        raise ValueError(f"the name of a class is a text, not {name!r}")
    written = unicodedata.normalize("NFC", name.strip(" "))
    if not written:
        raise ValueError("the name of a class is empty; give every class a name")
    if len(written) > LONGEST_NAME:
        raise ValueError(f"the name of a class, {written[:20]!r}..., is longer than {LONGEST_NAME} characters")
    if any(unicodedata.category(letter) in _UNPRINTABLE or letter in _DIRECTIONS for letter in written):
        raise ValueError(f"the name of a class, {written!r}, holds control characters; leave them out")
    return written


def _as_one(name: str) -> str:
    """What is equal for names that differ in upper and lower case alone."""
    return unicodedata.normalize("NFC", name.casefold())


@dataclasses.dataclass(frozen=True)
class LabelSpace:
    """An ordered set of named classes: those of a classifier, or of a data set.

    Attributes:
        name: the space's name, unique among `LABEL_SPACES`.
        labels: names of its classes in the order of the classifier's outputs; any names, each once. An `Expression`
            stands for its name.
    """

    name: str
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        labels = tuple(class_name(label) for label in self.labels)
        object.__setattr__(self, "labels", labels)
        if not labels:
            raise ValueError(f"label space {self.name!r} has no class")
        for number, label in enumerate(labels):
            before = next((other for other in labels[:number] if _as_one(other) == _as_one(label)), None)
            if before is not None:
                alike = "" if before == label else f" ({before!r} differs in upper and lower case alone)"
                raise ValueError(f"class {label!r} is named twice{alike}; give every class a name of its own")

    def __len__(self) -> int:
        return len(self.labels)

    @functools.cached_property
    def expressions(self) -> tuple[Expression | None, ...]:
        """For each class, in order, the known expression that its name means; None for a class of one's own."""
        return tuple(known_expression(label) for label in self.labels)

    @functools.cached_property
    def _by_name(self) -> dict[str, int]:
        return {_as_one(label): number for number, label in enumerate(self.labels)}

    def find(self, name: str | Expression) -> int:
        """Returns the number of the class of this name, or else of the one class that means the same expression.

        "happy" finds "happy" where there is one, and "happiness" where there is not; -1 if there is neither.
        """
        written = class_name(name)
        number = self._by_name.get(_as_one(written), UNKNOWN)
        if number != UNKNOWN or (meant := known_expression(written)) is None:
            return number
        return self.expressions.index(meant) if self.expressions.count(meant) == 1 else UNKNOWN

    def index(self, expression: str | int | Expression) -> int:
        """Returns the class number of a class, by name, or of a known expression; `ValueError` if there is none."""
        wanted = expression if isinstance(expression, str) else parse_expression(expression)
        number = self.find(wanted)
        if number == UNKNOWN:
            raise ValueError(f"{class_name(wanted)!r} is not in label space {self.name!r}: {', '.join(self.labels)}")
        return number

    def encode(self, codes: Sequence[int] | np.ndarray, classes: Sequence[str] = KNOWN_CLASSES) -> np.ndarray:
        """Maps codes, shape (n,), to class numbers, int32, as `find` does; -1 where the space does not hold one.

        Args:
            codes: -1 for a face whose class is not known.
            classes: names of the classes that the codes count; by default they are codes of `Expression`.

        Raises:
            ValueError: a code that no class has.
        """
        lookup = np.array([*map(self.find, classes), UNKNOWN], np.int32)
        codes = np.asarray(codes, np.int64)
        if codes.size and (codes.min() < UNKNOWN or codes.max() >= len(classes)):
            raise ValueError(f"expression codes must lie between {UNKNOWN} and {len(classes) - 1}")
        return lookup[codes]

    def shared(self, other: LabelSpace) -> LabelSpace:
        """The space of the classes that both hold, in this one's order and names (for cross-database tests).

        Raises:
            ValueError: they hold none together.
        """
        both = tuple(label for label in self.labels if other.find(label) != UNKNOWN)
        return LabelSpace(f"{self.name}&{other.name}", both)

    @classmethod
    def of(cls, names: str | LabelSpace | Iterable[str | int | Expression]) -> LabelSpace:
        """Returns a space by its name, or made from the names of its classes, or from codes of `Expression`."""
        if isinstance(names, LabelSpace):
            return names
        if isinstance(names, str):
            if names in LABEL_SPACES:
                return LABEL_SPACES[names]
            raise ValueError(f"unknown label space {names!r}; known are: {', '.join(LABEL_SPACES)}")
        labels = tuple(class_name(name if isinstance(name, str) else parse_expression(name)) for name in names)
        for space in LABEL_SPACES.values():
            if space.labels == labels:
                return space
        return cls("custom", labels)


_E = Expression
_FERPLUS = tuple(Expression(code) for code in range(8))
_BASIC = (_E.HAPPINESS, _E.SURPRISE, _E.SADNESS, _E.ANGER, _E.DISGUST, _E.FEAR)


def _space(name: str, *expressions: Expression) -> LabelSpace:
    return LabelSpace(name, tuple(expression.label for expression in expressions))


FERPLUS8 = _space("ferplus8", *_FERPLUS)
BASIC7 = _space("basic7", _E.NEUTRAL, *_BASIC)
BASIC6 = _space("basic6", *_BASIC)
CK_PLUS7 = _space("ck_plus7", *_BASIC, _E.CONTEMPT)
MULTIPIE6 = _space("multipie6", _E.NEUTRAL, _E.SMILE, _E.SURPRISE, _E.SQUINT, _E.DISGUST, _E.SCREAM)
LABEL_SPACES = {space.name: space for space in (FERPLUS8, BASIC7, BASIC6, CK_PLUS7, MULTIPIE6)}

_FER2013 = (_E.ANGER, _E.DISGUST, _E.FEAR, _E.HAPPINESS, _E.SADNESS, _E.SURPRISE, _E.NEUTRAL)
_AFFECTNET = (_E.NEUTRAL, _E.HAPPINESS, _E.SADNESS, _E.SURPRISE, _E.FEAR, _E.DISGUST, _E.ANGER, _E.CONTEMPT)
_RAF_DB = (_E.SURPRISE, _E.FEAR, _E.DISGUST, _E.HAPPINESS, _E.SADNESS, _E.ANGER, _E.NEUTRAL)
_CK_PLUS = (_E.NEUTRAL, _E.ANGER, _E.CONTEMPT, _E.DISGUST, _E.FEAR, _E.HAPPINESS, _E.SADNESS, _E.SURPRISE)
_TFD = (_E.ANGER, _E.DISGUST, _E.FEAR, _E.HAPPINESS, _E.SADNESS, _E.SURPRISE, _E.NEUTRAL)

LABEL_CODES: dict[str, Mapping[int, Expression]] = {
    "affectnet": dict(enumerate(_AFFECTNET)),
    "ck_plus": dict(enumerate(_CK_PLUS)),
    "fer2013": dict(enumerate(_FER2013)),
    "ferplus": dict(enumerate(_FERPLUS)),
    "kerasfer": {int(expression): expression for expression in Expression},
    "raf_db": dict(enumerate(_RAF_DB, 1)),
    "tfd": dict(enumerate(_TFD, 1)),
}
"""The numbers that public data sets write for expressions: set -> number -> expression. "ferplus" counts the columns of
`fer2013new.csv`; "kerasfer" are the codes of `Expression`. Sets that give the same number to different expressions are
why a number alone is never taken for one."""


def label_codes(name: str) -> Mapping[int, Expression]:
    """The numbers of a data set ("raf_db", "rafdb", "RAF-DB"), as `LABEL_CODES` has them.

    Raises:
        ValueError: the numbers of no set of that name are known.
    """
    spelled = name.lower().replace("_", "").replace("-", "").replace("+", "plus")
    for known, codes in LABEL_CODES.items():
        if known.replace("_", "") == spelled:
            return codes
    raise ValueError(f"the codes of {name!r} are not known; known are those of {', '.join(LABEL_CODES)}")


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
