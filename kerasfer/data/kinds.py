"""The kinds of batch that the papers' models take, one class each: what it needs of a table, its streams, its rows.

    batches = Images(table, spec, FERPLUS8, batch_size=32, seed=1)
    for batch in batches.epoch(3, start_step=17): ...

A batch is a pure function of the seed, the epoch and the step, so a run that was killed resumes at any step with the
very batches it would have had. What is drawn each step (shuffling, partners, augmentation) comes from counters and
stateless random operations.

An element is one global batch. Under `tf.distribute`, `strategy.experimental_distribute_dataset(batches.epoch(n))`
gives each replica its part of it; set `AutoShardPolicy.DATA` (the data set has no files), which every data set made
here already asks for.

A model says which kind it eats: by a name of `KINDS` (`batch_kind_of`), or, for a kind of the paper's own, by a class
made here of `Batches` (`Batch = TheKind` in the model's class).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from kerasfer.data.augment import PAPER_AUGMENTATION, Augmentation
from kerasfer.data.batches import Batches, Stream
from kerasfer.data.sampling import Groups, Order, identity_names, label_distributions, often
from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.expressions import LabelSpace
from kerasfer.faces import MIRRORED_BLENDSHAPES, yaw_class
from kerasfer.models.kinds import BATCH_KINDS

__all__ = [
    "KINDS",
    "Batches",
    "ExpressionAndFace",
    "ExpressionAndPerson",
    "ExpressionPairs",
    "Images",
    "ImagesWithMovements",
    "ImagesWithPose",
    "LandmarkPairs",
    "Stream",
    "Unlabeled",
    "WarpedPairs",
    "kind_of",
]


class Images(Batches):
    """Images with their expression.

    A batch is {"image": float32 (n, *spec.shape) in the spec's range, "label": float32 (n, K), a distribution}.
    """

    keys = BATCH_KINDS["images"]

    def streams(self, table: FaceTable, faces: FaceTable | None) -> list[Stream]:
        table, targets = self.usable(table)
        return [Stream("image", table, {"label": targets})]


class ImagesTogether(Images):
    """Images with their expression, of one set or of several, which become one table."""

    keys = BATCH_KINDS["images_together"]
    further = None

    @classmethod
    def together(cls, table: FaceTable, faces: Sequence[FaceTable]) -> tuple[FaceTable, FaceTable | None]:
        return joined([table, *faces]) if faces else table, None

    def facts(self, table: FaceTable, sets: Sequence[FaceTable]) -> dict[str, Any]:
        return {"images_of_sets": {part.name: len(part) for part in sets}}


class ImagesWithMovements(Batches):
    """Images with their expression and how strongly each of 52 movements shows (`kerasfer.detection.blendshapes`).

    A face needs an expression or movements: what is not known is 0 in the label, NaN in the movements. Further sets
    become one table with the first.

    `columns` are "label" and "movements".
    """

    keys = BATCH_KINDS["images_with_movements"]
    needs = ("blendshapes",)
    further = None
    one_flip = True
    counted = "images with an expression or movements"

    def streams(self, table: FaceTable, faces: FaceTable | None) -> list[Stream]:
        targets = label_distributions(table, self.label_space, self.labels)
        kept = (targets.sum(1) > 0) | np.isfinite(table["blendshapes"]).all(1)
        table, targets = table.select(kept), targets[kept]
        movements = np.asarray(table["blendshapes"], np.float32)
        sided = {"movements": MIRRORED_BLENDSHAPES}
        return [Stream("image", table, {"label": targets, "movements": movements}, sided=sided)]

    def adapt_columns(self) -> dict[str, np.ndarray]:
        return dict(self._streams[0].columns)

    @classmethod
    def together(cls, table: FaceTable, faces: Sequence[FaceTable]) -> tuple[FaceTable, FaceTable | None]:
        return joined([table, *faces]) if faces else table, None

    def facts(self, table: FaceTable, sets: Sequence[FaceTable]) -> dict[str, Any]:
        return {"faces_with_movements": {part.name: len(part) for part in sets}}


class ImagesWithPose(Batches):
    """Images with their expression and the class of their yaw (IPD-FER); see `kerasfer.faces.yaw_class`.

    The table has a pose column; NaN where a face's pose is not known.
    """

    keys = BATCH_KINDS["images_with_pose"]
    needs = ("pose",)

    def streams(self, table: FaceTable, faces: FaceTable | None) -> list[Stream]:
        table, targets = self.usable(table)
        classes = yaw_class(table["pose"][:, 0])
        if len(table) and (classes < 0).all():
            raise DatasetError(
                f"{table.name}: not one face has a pose; estimate them with kerasfer.detection, or train a variant "
                "without"
            )
        return [Stream("image", table, {"label": targets, "pose_label": classes})]


class ExpressionAndFace(Batches):
    """An expression image and, drawn independently of it, a face image with a name (TDGAN, section IV-A).

    An epoch is one pass over the expression images; `faces`, of which rows without a name are left out, go on from
    epoch to epoch in passes of their own.
    """

    keys = BATCH_KINDS["expression_and_face"]
    further = 1

    def streams(self, table: FaceTable, faces: FaceTable | None) -> list[Stream]:
        expressions, targets = self.usable(table)
        faces = table if faces is None else faces
        faces = faces.select(faces["identity"] != "")
        if not len(faces):
            raise DatasetError(f"{faces.name}: no face has a name")
        self.identity_names = identity_names(faces)
        numbers = np.searchsorted(self.identity_names, faces["identity"]).astype(np.int32)
        self._face_order = Order(self.seed, 1, len(faces), self.batch_size, cyclic=True)
        return [
            Stream("expression_image", expressions, {"expression_label": targets}),
            Stream("face_image", faces, {"identity_label": numbers}),
        ]

    def rows(self, epoch: int, step: int) -> tuple[np.ndarray, ...]:
        return self.first_rows(epoch, step), self._face_order.rows(epoch, step, self.steps_per_epoch)

    @classmethod
    def people(cls, config: Any) -> int | None:
        return config.identities

    @classmethod
    def together(cls, table: FaceTable, faces: Sequence[FaceTable]) -> tuple[FaceTable, FaceTable | None]:
        return table, faces[0]

    def facts(self, table: FaceTable, sets: Sequence[FaceTable]) -> dict[str, Any]:
        people = sets[-1]
        return {"faces": {"name": people.name, "images": len(people), "people": len(self.identity_names)}}


class ExpressionAndPerson(ExpressionAndFace):
    """As `ExpressionAndFace`, but a person is drawn first, and then one of the person's images.

    Nobody's images count for more because there are more of them.
    """

    keys = BATCH_KINDS["expression_and_person"]

    def streams(self, table: FaceTable, faces: FaceTable | None) -> list[Stream]:
        expressions, people = super().streams(table, faces)
        self._people = Groups(people.columns["identity_label"])
        return [expressions, people]

    def rows(self, epoch: int, step: int) -> tuple[np.ndarray, ...]:
        people, images = self.draws(epoch, step, 2)
        groups = (people * len(self._people.counts)).astype(np.int64)
        chosen = (images * self._people.counts[groups]).astype(np.int64)
        return self.first_rows(epoch, step), self._people.order[self._people.starts[groups] + chosen]


class LandmarkPairs(Batches):
    """Two images with their landmarks, of one person where the set has pairs (G2-FER); both are flipped, or neither.

    Every labeled image is the first of a pair once an epoch. The second is drawn from the person's other images; for
    a person with one image, or of whom the name is not known, from all other images. Landmarks are float32 (n, 68, 2)
    in pixels of the augmented images. Further sets become one table with the first, their people apart.

    `columns` are "landmarks", in pixels of the model's images, "label" and "paired".
    """

    keys = BATCH_KINDS["landmark_pairs"]
    needs = ("landmarks",)
    further = None
    one_flip = True

    def streams(self, table: FaceTable, faces: FaceTable | None) -> list[Stream]:
        table, targets = self.usable(table)
        if "landmarks" not in table or not np.isfinite(table["landmarks"]).all():
            raise DatasetError(
                f"{table.name}: some faces have no landmarks; locate them with kerasfer.detection.landmarked first"
            )
        if len(table) == 1:
            raise DatasetError(f"{table.name}: pairs need two images")
        named = table["identity"] != "" if "identity" in table else np.zeros(len(table), bool)
        people = self.identity_names = identity_names(table) if named.any() else []
        numbers = np.arange(len(table)) + len(people)
        numbers[named] = np.searchsorted(people, table["identity"][named]) if people else 0
        self._people = Groups(numbers)
        self._paired = (self._people.mates() > 0).astype(np.float32)
        return [
            Stream("image", table, {"label": targets, "paired": self._paired}, "landmarks"),
            Stream("other_image", table, {"other_label": targets}, "other_landmarks"),
        ]

    def rows(self, epoch: int, step: int) -> tuple[np.ndarray, ...]:
        rows = self.first_rows(epoch, step)
        draws, count = self.draws(epoch, step, 2), len(self._paired)
        anyone = (rows + 1 + (draws[1] * (count - 1)).astype(np.int64)) % count
        mates = self._paired[rows] > 0
        anyone[mates] = self._people.same(rows[mates], draws[0, mates])
        return rows, anyone

    def adapt_columns(self) -> dict[str, np.ndarray]:
        faces = self._faces[0]
        landmarks = faces.every_landmark() * (self.spec.size / faces.spec.size)
        return {"landmarks": landmarks, "label": self._streams[0].columns["label"], "paired": self._paired}

    @classmethod
    def together(cls, table: FaceTable, faces: Sequence[FaceTable]) -> tuple[FaceTable, FaceTable | None]:
        return joined([table, *faces]) if faces else table, None

    def facts(self, table: FaceTable, sets: Sequence[FaceTable]) -> dict[str, Any]:
        paired = int(self._paired.sum())
        return {"landmark_pairs": {"name": table.name, "images": len(table), "with_another_of_the_person": paired}}


class WarpedPairs(LandmarkPairs):
    """Two images of one person for everybody (G2-FER): another of the person's, or two warps of the one there is.

    A warp turns, moves and resizes the face and turns its head a little (`Augmentation.yaw`), its landmarks with it; so
    that both images of a pair differ, an augmentation that does none of that is given `Augmentation.warps`' share. Of
    people with several images `OWN_SHARE` of the pairs are warps of one, too, since those of one photograph have its
    light, hair and background in common. Two photographs are flipped together, two warps each by itself.

    `columns` are those of `LandmarkPairs`.
    """

    keys = BATCH_KINDS["warped_pairs"]
    OWN_SHARE: ClassVar[float] = 0.3

    def __init__(self, *arguments: Any, augmentation: Augmentation = PAPER_AUGMENTATION, **options: Any) -> None:
        if not (augmentation.shift or augmentation.scale or augmentation.rotation or augmentation.yaw):
            warps = Augmentation.warps()
            augmentation = dataclasses.replace(
                augmentation, shift=warps.shift, scale=warps.scale, rotation=warps.rotation, yaw=warps.yaw
            )
        super().__init__(*arguments, augmentation=augmentation, **options)

    def streams(self, table: FaceTable, faces: FaceTable | None) -> list[Stream]:
        first, second = super().streams(table, faces)
        self._several, self._paired = self._paired > 0, np.ones_like(self._paired)
        return [dataclasses.replace(first, columns={**first.columns, "paired": self._paired}), second]

    def rows(self, epoch: int, step: int) -> tuple[np.ndarray, ...]:
        rows = self.first_rows(epoch, step)
        draws = self.draws(epoch, step, 2)
        mates = self._several[rows] & (draws[1] >= self.OWN_SHARE)
        others = rows.copy()
        others[mates] = self._people.same(rows[mates], draws[0, mates])
        return rows, others

    def mirrored(self, epoch: int, step: int, rows: Sequence[np.ndarray]) -> list[np.ndarray | None]:
        together = self.flipped_together(epoch, step)
        alone = np.random.default_rng([self.seed, 2, epoch, step]).random(self.batch_size) < self.augmentation.flip
        return [together, np.where(rows[0] == rows[1], alone, together)]

    def facts(self, table: FaceTable, sets: Sequence[FaceTable]) -> dict[str, Any]:
        several = int(self._several.sum())
        pairs = {"name": table.name, "images": len(table), "with_another_of_the_person": several, "pairs": "everybody"}
        return {"landmark_pairs": pairs, "augmentation": dataclasses.asdict(self.augmentation)}


class ExpressionPairs(Batches):
    """An image and another of the same expression (FESR's x and x^{p,r}).

    Faces of an expression that the table shows once are left out. With votes, a face's expression is the one with the
    most.
    """

    keys = BATCH_KINDS["expression_pairs"]
    counted = "images of expressions with two or more"

    def streams(self, table: FaceTable, faces: FaceTable | None) -> list[Stream]:
        table, targets = often(*self.usable(table))
        self._expressions = Groups(targets.argmax(1))
        return [
            Stream("image", table, {"label": targets}),
            Stream("positive_image", table, {"positive_label": targets}),
        ]

    def rows(self, epoch: int, step: int) -> tuple[np.ndarray, ...]:
        rows = self.first_rows(epoch, step)
        return rows, self._expressions.same(rows, self.draws(epoch, step, 1)[0])


class Unlabeled(Batches):
    """Images alone, of one set or of several together, all rows shuffled (DCGAN-FER); a face needs no expression."""

    keys = BATCH_KINDS["unlabeled"]
    further = None
    labeled = False
    counted = "images"

    def streams(self, table: FaceTable, faces: FaceTable | None) -> list[Stream]:
        return [Stream("image", table, {})]

    @classmethod
    def together(cls, table: FaceTable, faces: Sequence[FaceTable]) -> tuple[FaceTable, FaceTable | None]:
        if not faces:
            return table, None
        return FaceTable.concatenate("+".join(part.name for part in (table, *faces)), (table, *faces)), None

    def facts(self, table: FaceTable, sets: Sequence[FaceTable]) -> dict[str, Any]:
        return {"unlabeled": {part.name: len(part) for part in sets}}


KINDS: dict[str, type[Batches]] = {
    "images": Images,
    "images_together": ImagesTogether,
    "images_with_movements": ImagesWithMovements,
    "images_with_pose": ImagesWithPose,
    "expression_and_face": ExpressionAndFace,
    "expression_and_person": ExpressionAndPerson,
    "landmark_pairs": LandmarkPairs,
    "warped_pairs": WarpedPairs,
    "expression_pairs": ExpressionPairs,
    "unlabeled": Unlabeled,
}
"""Name of a kind of batch, as a model asks for it -> its class."""


def kind_of(model: Any, config: Any) -> type[Batches]:
    """The kind of batch that a model's class, or a model, eats under a config."""
    kind = model.batch_kind_of(config)
    return KINDS[kind] if isinstance(kind, str) else kind


def joined(tables: Sequence[FaceTable]) -> FaceTable:
    """Several sets as one table; who is not named is "", one label counts ten votes.

    Two sets may call different people the same: a name gets its set's before it.
    """
    filled = []
    for number, table in enumerate(tables):
        columns: dict[str, Any] = {"identity": [""] * len(table)}
        if "identity" in table:
            columns["identity"] = [name and f"{number}/{name}" for name in map(str, table["identity"])]
        if "box" not in table:
            columns["box"] = np.full((len(table), 4), np.nan)
        if "votes" not in table:
            columns["votes"] = 10.0 * (table["expression"][:, None] == np.arange(len(table.classes)))
            table = table.replace(vote_space=LabelSpace("votes", table.classes), columns={**table.columns, **columns})
        else:
            table = table.with_columns(**columns)
        filled.append(table)
    return FaceTable.concatenate(" and ".join(table.name for table in tables), filled)
