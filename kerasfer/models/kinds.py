"""The contents of each kind of batch."""

from __future__ import annotations

__all__ = ["BATCH_KINDS"]

BATCH_KINDS: dict[str, dict[str, str]] = {
    "unlabeled": {
        "image": "float32 (n, h, w, c) in the model's range",
    },
    "images": {
        "image": "float32 (n, h, w, c) in the model's range",
        "label": "float32 (n, K), a distribution over the expressions",
    },
    "images_together": {
        "image": "float32 (n, h, w, c) in the model's range",
        "label": "float32 (n, K), a distribution over the expressions",
    },
    "images_with_movements": {
        "image": "float32 (n, h, w, c) in the model's range",
        "label": "float32 (n, K), a distribution over the expressions, all 0 where none is known",
        "movements": "float32 (n, 52) in [0, 1], the scores of `kerasfer.faces.BLENDSHAPES`, NaN where none are known",
    },
    "images_with_pose": {
        "image": "float32 (n, h, w, c) in the model's range",
        "label": "float32 (n, K), a distribution over the expressions",
        "pose_label": "int32 (n,), class of the head's yaw, -1 where it is not known",
    },
    "expression_and_face": {
        "expression_image": "float32 (n, h, w, c) in the model's range",
        "expression_label": "float32 (n, K), a distribution over the expressions",
        "face_image": "float32 (n, h, w, c) in the model's range",
        "identity_label": "int32 (n,), number of the person",
    },
    "expression_and_person": {
        "expression_image": "float32 (n, h, w, c) in the model's range",
        "expression_label": "float32 (n, K), a distribution over the expressions",
        "face_image": "float32 (n, h, w, c) in the model's range, each person's as often",
        "identity_label": "int32 (n,), number of the person",
    },
    "landmark_pairs": {
        "image": "float32 (n, h, w, c) in the model's range",
        "label": "float32 (n, K), a distribution over the expressions",
        "landmarks": "float32 (n, 68, 2) in pixels of the image",
        "other_image": "float32 (n, h, w, c), another image, of the same person where there is one",
        "other_label": "float32 (n, K), its distribution over the expressions",
        "other_landmarks": "float32 (n, 68, 2) in its pixels",
        "paired": "float32 (n,), 1 where both images are of the same person, else 0",
    },
    "warped_pairs": {
        "image": "float32 (n, h, w, c) in the model's range",
        "label": "float32 (n, K), a distribution over the expressions",
        "landmarks": "float32 (n, 68, 2) in pixels of the image",
        "other_image": "float32 (n, h, w, c), another image of the person, or the same image warped otherwise",
        "other_label": "float32 (n, K), its distribution over the expressions",
        "other_landmarks": "float32 (n, 68, 2) in its pixels",
        "paired": "float32 (n,), 1",
    },
    "expression_pairs": {
        "image": "float32 (n, h, w, c) in the model's range",
        "label": "float32 (n, K), a distribution over the expressions",
        "positive_image": "float32 (n, h, w, c), another image of the same expression",
        "positive_label": "float32 (n, K), its distribution over the expressions",
    },
}
"""The kinds of batch that models eat: kind -> key -> type and meaning. `kerasfer.data.kinds` makes them."""
