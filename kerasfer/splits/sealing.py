"""A split whose test part is given out once."""

from __future__ import annotations

import hashlib

from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.splits.division import Split, check_subjects_apart, holdout

__all__ = ["SealedSplit", "seal"]


class SealedSplit:
    """A split as an experiment may see it; made by `seal`.

    Attributes:
        name: of the split.
        seed: of the run.
        train: the faces to train on.
        selection: faces of the train side to choose an epoch or a setting on; None if none were set aside.
        fingerprint: 16 hexadecimal digits that tell which faces stand on which side.
    """

    def __init__(self, name: str, seed: int, train: FaceTable, selection: FaceTable | None, test: FaceTable) -> None:
        self.name = name
        self.seed = seed
        self.train = train
        self.selection = selection
        self._test: FaceTable | None = test
        digest = hashlib.sha256()
        for part in (train, selection, test):
            digest.update(b"part")
            for path, code in () if part is None else zip(part["path"].tolist(), part["expression"].tolist()):
                digest.update(f"{path}:{code};".encode())
        self.fingerprint = digest.hexdigest()[:16]

    def release_test(self) -> FaceTable:
        """Gives the test part out, the first time that it is asked for.

        Raises:
            DatasetError: it was given out before.
        """
        if self._test is None:
            raise DatasetError(f"{self.name}: the test part was given out already; select models on `selection`")
        test, self._test = self._test, None
        return test


def seal(split: Split, selection: float = 0.1, seed: int = 0) -> SealedSplit:
    """Divides the train side of a split into a part to train on and a part to select on, and seals the test side.

    Args:
        split: what is trained and tested on.
        selection: share of the train side to select on, as in `holdout`; 0 for none.
        seed: of that division, and of the run.

    Raises:
        DatasetError: a person, or where nobody is known an image, is on both sides; or the train side is too small.
    """
    same_set = split.train.name == split.test.name
    if same_set and "identity" in split.train and "identity" in split.test:
        check_subjects_apart(split, named_only=True)
    elif same_set:
        shared = set(split.train["path"].tolist()) & set(split.test["path"].tolist())
        if shared:
            raise DatasetError(f"{split.name}: {len(shared)} images on both sides, for example {min(shared)!r}")
    if not selection:
        return SealedSplit(split.name, seed, split.train, None, split.test)
    inner = holdout(split.train, selection, seed)
    return SealedSplit(split.name, seed, inner.train, inner.test, split.test)
