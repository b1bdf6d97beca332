"""Expression and pose by 68 landmarks: G2-FER."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from kerasfer.detection.pose import head_poses
from kerasfer.faces import LANDMARK_GROUPS, checked_landmarks
from kerasfer.models.base import in_batches
from kerasfer.synthesis.control import PREVIEWED, Control, between

__all__ = ["ByLandmarks"]


class ByLandmarks(Control):
    """A face with the expression and the pose of landmarks: one's own, or those that the training set has shown.

    The model defines `synthesize(faces, landmarks)` and, of what it has kept of its training set, `kept` with `sets`,
    `labels`, `means`, `counts` and `yaws` (see `kerasfer.models.g2fer.LandmarkSets`), `in_pixels(geometry)` and
    `draw_geometry(faces, geometry)`. Images are float32 (n, h, w, c) in the model's range, landmarks in their pixels.
    """

    name = "landmarks"

    @property
    def yaws(self) -> tuple[float, ...]:
        """Yaws in degrees at which the mean landmarks of each expression are kept."""
        return self.model.kept.yaws

    def seen(self) -> np.ndarray:
        """Number of faces that the training set showed of each expression at each of `yaws`, int (K, yaws)."""
        return self.model.kept.counts.numpy().astype(int)

    def landmarks_of(self, expression: str | int, yaw: float = 0.0) -> np.ndarray:
        """The mean landmarks of an expression at a yaw, as the training set showed them.

        Args:
            expression: its name or class number.
            yaw: degrees as in `HeadPose`; between two of `yaws` the landmarks lie between theirs.

        Returns:
            float32 (68, 2) in pixels of the model's images.

        Raises:
            ValueError: an unknown expression, or one that the training set did not show at that yaw.
        """
        labels = self.model.label_space.labels
        number = self.model.label_space.find(expression) if isinstance(expression, str) else expression
        if not 0 <= number < len(labels):
            raise ValueError(f"unknown expression {expression!r}; this model has {', '.join(labels)}")
        known = np.flatnonzero(self.seen()[number])
        if not len(known):
            shown = [label for label, row in zip(labels, self.seen()) if row.any()]
            others = f"it has of {', '.join(shown)}" if shown else "train it"
            raise ValueError(f"this model has seen no landmarks of {labels[number]}; {others}")
        degrees = np.array(self.yaws)[known]
        if not degrees[0] <= yaw <= degrees[-1]:
            raise ValueError(
                f"{labels[number]} at a yaw of {yaw:g} degrees was not in the training set, which shows it from "
                f"{degrees[0]:g} to {degrees[-1]:g}"
            )
        means = self.model.kept.means.numpy()[number, known]
        geometry = [np.interp(yaw, degrees, coordinate) for coordinate in means.T]
        return self.model.in_pixels(np.array(geometry))[0]

    def checked_landmarks(self, landmarks: np.ndarray) -> np.ndarray:
        """Landmarks in pixels of the model's images as float32 (n, 68, 2); see `kerasfer.faces.checked_landmarks`."""
        return checked_landmarks(landmarks, self.model.image_spec.size)

    def doubts(self, landmarks: np.ndarray) -> list[str]:
        """What is unusual about landmarks that can be drawn nevertheless: one sentence each, none if all is well.

        Args:
            landmarks: as for `checked_landmarks`.

        Raises:
            ValueError: as `checked_landmarks`.
        """
        points = self.checked_landmarks(landmarks)
        yaws = np.array(self.yaws)[self.seen().any(0)]
        said = []
        if not len(yaws):
            said.append("this model was not trained: what it draws means nothing")
        inner = points[:, LANDMARK_GROUPS["jaw"].stop :]
        outside = ((inner < 0) | (inner > self.model.image_spec.size)).any(2).sum(1)
        half = (self.yaws[1] - self.yaws[0]) / 2
        for number, (pose, count) in enumerate(zip(head_poses(points), outside)):
            if len(yaws) and not yaws[0] - half <= pose[0] <= yaws[-1] + half:
                said.append(
                    f"set {number} turns the head by {pose[0]:.0f} degrees; the training set shows {yaws[0]:g} to "
                    f"{yaws[-1]:g}"
                )
            if count:
                said.append(f"{count} points of eyes, brows, nose or mouth of set {number} lie outside the image")
        return said

    def transfer(self, faces: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """Gives faces the expression and the pose of landmarks.

        Args:
            faces: float32 (n, h, w, c) in the model's range.
            landmarks: (n, 68, 2), one set a face, or (68, 2) for all; in pixels of the model's images.

        Returns:
            float32 (n, h, w, c) in the model's range.

        Raises:
            ValueError: shapes that do not fit, or landmarks that `checked_landmarks` refuses.
        """
        return self.model.synthesize(faces, landmarks)

    def pose_grid(
        self, face: np.ndarray, expressions: Sequence[str] | None = None, yaws: Sequence[float] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """One face in every pose with every expression (G2-FER's Fig. 7).

        Args:
            face: float32 (h, w, c) in the model's range.
            expressions: names; by default all m of the model.
            yaws: degrees; by default all of `yaws`.

        Returns:
            float32 (yaws, m, h, w, c) in the model's range; and bool (yaws, m): False, and the image all zero, where
            the training set did not show the expression at that yaw.

        Raises:
            ValueError: an unknown expression, or none that was shown at any of the yaws.
        """
        yaws = self.yaws if yaws is None else yaws
        expressions = self.model.label_space.labels if expressions is None else expressions
        unknown = [name for name in expressions if self.model.label_space.find(name) < 0]
        if unknown:
            self.landmarks_of(unknown[0])
        shown = np.zeros((len(yaws), len(expressions)), bool)
        points = []
        for row, yaw in enumerate(yaws):
            for column, expression in enumerate(expressions):
                known = np.array(self.yaws)[self.seen()[self.model.label_space.index(expression)] > 0]
                if len(known) and known[0] <= yaw <= known[-1]:
                    shown[row, column] = True
                    points.append(self.landmarks_of(expression, yaw))
        if not points:
            raise ValueError("the training set showed none of these expressions at these yaws")
        grid = np.zeros((*shown.shape, *self.model.image_spec.shape), np.float32)
        grid[shown] = self.transfer(np.repeat(np.asarray(face)[None], len(points), 0), np.stack(points))
        return grid, shown

    def interpolate(self, face: np.ndarray, source: np.ndarray, target: np.ndarray, steps: int = 8) -> np.ndarray:
        """One face, its landmarks going in a straight line from `source` to `target` (G2-FER's Fig. 8).

        Args:
            face: float32 (h, w, c) in the model's range.
            source: landmarks at the start, (68, 2) in pixels of the model's images.
            target: landmarks at the end, like `source`.
            steps: number of images, at least 2.

        Returns:
            float32 (steps, h, w, c) in the model's range.
        """
        ends = np.concatenate([self.checked_landmarks(points) for points in (source, target)])
        return self.transfer(np.repeat(np.asarray(face)[None], steps, 0), between(ends, steps))

    def enlarge(self, faces: np.ndarray, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """More images of each person, with landmarks drawn from the kept sets.

        Args:
            faces: float32 (n, h, w, c) in the model's range.
            count: images a face.
            seed: of the draw; a face gets different sets as long as there are enough.

        Returns:
            float32 (n, count, h, w, c) in the model's range; and their labels, float32 (n, count, K).

        Raises:
            ValueError: the model was not trained, or count is not positive.
        """
        labels = self.model.kept.labels.numpy()
        if not labels.any() or count < 1:
            raise ValueError(f"sets of landmarks come with the training, and count is at least 1; got {count}")
        generator = np.random.default_rng(seed)
        sets = len(labels)
        rows = np.stack([np.resize(generator.permutation(sets), count) for _ in faces])
        every = np.repeat(self.model.checked(faces), count, 0)
        images = in_batches(self.model.draw_geometry, every, self.model.kept.sets.numpy()[rows.ravel()])
        return images.reshape(len(faces), count, *self.model.image_spec.shape), labels[rows]

    def preview(self, batch: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Other faces, the faces with their landmarks and with their own, and with each expression from the front."""
        faces, others = (np.asarray(batch[name])[:PREVIEWED] for name in ("image", "other_image"))
        given = [np.asarray(batch[name])[:PREVIEWED] for name in ("other_landmarks", "landmarks")]
        known = np.flatnonzero(self.seen()[:, self.yaws.index(0.0)])
        given += [self.landmarks_of(int(number)) for number in known]
        return [others, *(self.transfer(faces, points) for points in given)]
