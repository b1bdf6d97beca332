"""People: each number is a person with a shape, colors, hair, beard and glasses of their own."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from kerasfer.expressions import ACTION_UNITS
from kerasfer.rendering.curves import (
    BROW,
    JAW_X,
    JAW_Y,
    LOWER_INNER,
    LOWER_LID,
    LOWER_OUTER,
    UPPER_INNER,
    UPPER_LID,
    UPPER_OUTER,
    mirrored,
    smooth_curve,
    whole_of,
)
from kerasfer.rendering.motion import PointSet, lid_motion, lip_motion, skin_motion
from kerasfer.rendering.surface import (
    COLUMNS,
    EYE_HALF,
    EYE_X,
    ROWS,
    SHELL_COLUMNS,
    SKIN_ROWS,
    depth_at,
    gauss,
    head_grid,
    head_ring,
    smooth_step,
)

__all__ = ["BEARDS", "GLASSES", "HAIR_STYLES", "Person", "person"]

_PERSON_STREAM = 11

_SKINS = np.array(
    [
        (246, 213, 188),
        (238, 198, 166),
        (228, 182, 146),
        (205, 152, 112),
        (166, 114, 80),
        (122, 82, 58),
        (88, 59, 44),
    ],
    np.float64,
)
_HAIRS = np.array(
    [
        (26, 22, 21),
        (52, 36, 27),
        (86, 56, 36),
        (128, 88, 54),
        (196, 160, 104),
        (148, 72, 38),
        (146, 143, 140),
        (208, 205, 200),
    ],
    np.float64,
)
_IRISES = np.array([(64, 40, 24), (92, 62, 34), (70, 98, 130), (84, 108, 74), (108, 116, 120)], np.float64)
_CLOTHES = np.array(
    [(60, 72, 96), (120, 44, 48), (50, 92, 72), (198, 196, 190), (40, 40, 44), (170, 140, 90), (110, 96, 140)],
    np.float64,
)
HAIR_STYLES = ("shaved", "short", "receding", "fringe", "side_parted", "bob", "long", "curly", "tied")
BEARDS = ("none", "stubble", "moustache", "full")
GLASSES = ("none", "round", "square")


class Person:
    """One identity: shape, colors, hair, beard and glasses, and the points of the head with their motion.

    Args:
        identity: the person's number.
        seed: the population's seed.

    Attributes:
        traits: name -> value of the categorical and color traits.
        shape: name -> value of the continuous traits of the shape, in millimeters or as factors.
    """

    def __init__(self, identity: int, seed: int = 0) -> None:
        rng = np.random.default_rng((seed, _PERSON_STREAM, identity))

        def normal(scale: float, low: float = -2.0, high: float = 2.0) -> float:
            return float(scale * np.clip(rng.standard_normal(), low, high))

        heavy = rng.random()
        tone = rng.random() * (len(_SKINS) - 1)
        skin = np.stack([np.interp(tone, range(len(_SKINS)), _SKINS[:, channel]) for channel in range(3)])
        skin = np.clip(skin * (1 + np.array([normal(0.02), normal(0.02), normal(0.03)])), 20, 252)
        dark = tone > 3.2
        weights = np.array([4, 3, 0.3, 0, 0.1, 0, 0.8, 0.3] if dark else [1.5, 2, 2, 1.6, 1.8, 1.2, 0.8, 0.5])
        color = int(rng.choice(len(_HAIRS), p=weights / weights.sum()))
        hair = np.clip(_HAIRS[color] * (1 + normal(0.08)), 12, 230)
        bearded = heavy > 0.5
        style_weights = (
            [1.3, 2.5, 1.0, 1.2, 1.6, 0.2, 0.5, 1.0, 0.2] if bearded else [0.15, 0.8, 0, 1.5, 1.5, 2.0, 2.0, 1.0, 1.5]
        )
        style = str(rng.choice(HAIR_STYLES, p=np.array(style_weights) / sum(style_weights)))
        beard = str(rng.choice(BEARDS, p=[0.45, 0.2, 0.12, 0.23])) if bearded else "none"
        glasses = str(rng.choice(GLASSES, p=[0.7, 0.15, 0.15]))
        iris = _IRISES[0] if dark else _IRISES[int(rng.integers(len(_IRISES)))]
        lip_red = rng.random() * (0.35 if bearded else 1.0)
        lips = skin * np.array([0.86, 0.62, 0.62]) * (1 - lip_red) + np.array([178, 62, 70]) * lip_red
        lips = lips if not dark else 0.6 * lips + 0.4 * skin * 0.75
        self.identity, self.seed = identity, seed
        self.traits: dict[str, Any] = {
            "skin_tone": tone / (len(_SKINS) - 1),
            "hair_style": style,
            "hair_color": color,
            "beard": beard,
            "glasses": glasses,
            "parting": 1.0 if rng.random() < 0.5 else -1.0,
        }
        self.shape: dict[str, float] = {
            "face_width": 1.0 + normal(0.05),
            "jaw_width": 1.0 + 0.10 * (heavy - 0.5) + normal(0.05),
            "jaw_length": 1.0 + normal(0.05),
            "middle_length": 1.0 + normal(0.045),
            "forehead": 1.0 + normal(0.05),
            "nose_width": 1.0 + 0.1 * (heavy - 0.5) + 0.12 * (tone / 6 - 0.4) + normal(0.10),
            "nose_length": normal(2.0),
            "nose_bridge": normal(2.0),
            "eye_spacing": normal(1.3),
            "eye_width": 1.0 + normal(0.05),
            "eye_opening": 1.02 - 0.12 * (heavy - 0.5) + normal(0.11),
            "eye_tilt": normal(0.05),
            "brow_height": -2.0 * (heavy - 0.5) + normal(1.5),
            "brow_arch": -2.5 * (heavy - 0.5) + normal(1.2),
            "brow_thickness": 1.0 + 0.7 * (heavy - 0.5) + normal(0.22),
            "brow_ridge": 3.0 * (heavy - 0.5) + normal(0.7),
            "cheekbones": normal(1.5),
            "mouth_width": 1.0 + normal(0.07),
            "upper_lip": 1.0 + 0.25 * (tone / 6 - 0.4) - 0.3 * (heavy - 0.5) + normal(0.18),
            "lower_lip": 1.0 + 0.2 * (tone / 6 - 0.4) - 0.2 * (heavy - 0.5) + normal(0.15),
            "chin": 3.0 * (heavy - 0.5) + normal(1.5),
            "age": rng.random() if color < 6 else 0.6 + 0.4 * rng.random(),
            "freckles": max(0.0, normal(0.5)) if tone < 2 else 0.0,
        }
        brow = 0.75 * hair + 0.25 * skin * 0.5 if color != 7 else hair * 0.75
        self.colors: dict[str, np.ndarray] = {
            "skin": skin,
            "hair": hair,
            "brow": np.minimum(brow, skin * 0.72),
            "lips": np.clip(lips, 25, 235),
            "iris": iris,
            "clothes": _CLOTHES[int(rng.integers(len(_CLOTHES)))],
            "frame": np.array([(28, 26, 28), (96, 58, 34), (120, 122, 128)][int(rng.integers(3))], np.float64),
        }
        self.inks = self._inks()
        self._build()
        self.tint = self._tint(rng)

    def _warp(self, points: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Canonical (n, 2) and z to this person's head, (n, 3)."""
        shape = self.shape
        x, y = points[:, 0], points[:, 1]
        width = np.interp(
            y,
            [-116, -80, -20, 20, 60],
            [
                shape["jaw_width"],
                shape["jaw_width"],
                0.5 * (1 + shape["face_width"]),
                shape["face_width"],
                shape["face_width"],
            ],
        )
        middle = -50.0 * shape["middle_length"]
        chin = middle - 66.0 * shape["jaw_length"]
        high = np.interp(
            y, [-150, -116, -50, 0, 30, 150], [chin - 34, chin, middle, 0, 30, 30 + 120 * shape["forehead"]]
        )
        return np.stack([x * width, high, z], -1)

    def _build(self) -> None:
        shape = self.shape
        points = PointSet(shape)
        eye, wide, open_, tilt = shape["eye_spacing"], shape["eye_width"], shape["eye_opening"], shape["eye_tilt"]
        center = np.array([-EYE_X - eye, 0.0])

        def lid(curve: Sequence[tuple[float, float]]) -> np.ndarray:
            local = np.asarray(curve) - (-EYE_X, 0.0)
            local = local * (wide, open_)
            local[:, 1] -= tilt * local[:, 0]
            return center + local

        def brow(curve: Sequence[tuple[float, float]]) -> np.ndarray:
            curve = np.asarray(curve, np.float64).copy()
            arch = np.array([-0.3, 0.8, 1.0, 0.3, -0.3])
            curve[:, 0] -= eye * 0.6
            curve[:, 1] += shape["brow_height"] + shape["brow_arch"] * arch
            return curve

        mouth = shape["mouth_width"]

        def lip(half: Sequence[tuple[float, float]], thickness: float) -> np.ndarray:
            half = np.asarray(half, np.float64)
            middle = np.array([0.0, -0.5, -0.7, -0.9]) - 70.5
            half = np.stack([half[:, 0] * mouth, middle + (half[:, 1] - middle) * thickness], -1)
            half[0, 1] = -71.0
            return whole_of(half)

        outer_upper, inner_upper = lip(UPPER_OUTER, shape["upper_lip"]), lip(UPPER_INNER, 1.0)
        outer_lower, inner_lower = lip(LOWER_OUTER, shape["lower_lip"]), lip(LOWER_INNER, 1.0)
        nose_width, nose_length = shape["nose_width"], shape["nose_length"]
        base = -50.0 - nose_length

        # The 68 landmarks
        jaw = np.array([*zip(-np.array(JAW_X), JAW_Y), (0.0, -113.0)])
        jaw = np.concatenate([jaw, mirrored(jaw[:-1])[::-1]])
        points.add("jaw", jaw)
        right_brow = brow(BROW)
        brow_thickness = 5.2 * shape["brow_thickness"] * np.array([0.35, 0.85, 1.0, 1.05, 0.9])
        upper_brow = right_brow + brow_thickness[:, None] * (0.0, 0.25)
        points.add("right_brow", upper_brow, lift=1.0)
        points.add("left_brow", mirrored(upper_brow)[::-1], lift=1.0)
        tip = -41.0 - nose_length
        points.add("nose_bridge", np.array([(0, 3.0), (0, 3 + (tip - 3) / 3), (0, 3 + (tip - 3) * 2 / 3), (0, tip)]))
        nose_base = np.array([(-14.0, 3.0), (-7.0, 0.3), (0.0, -1.5), (7.0, 0.3), (14.0, 3.0)])
        points.add("nose_base", nose_base * (nose_width, 1.0) + (0, base))
        upper, lower = lid(UPPER_LID), lid(LOWER_LID)
        fine_upper, fine_lower = smooth_curve(upper, 13), smooth_curve(lower, 13)
        eye_z = depth_at(center[:1], center[1:], shape)[0]

        def lid_z(curve: np.ndarray) -> np.ndarray:
            local = (curve - center) / (EYE_HALF * wide, EYE_HALF)
            return (
                eye_z
                + 2.0
                - 6.5 * local[:, 0] ** 2
                - 2.0 * local[:, 1] ** 2
                + np.where(local[:, 0] > 0, 2.0, 0.0) * (local[:, 0] ** 2)
            )

        for name, sign in (("right", 1.0), ("left", -1.0)):
            around = np.stack([upper[0], upper[2], upper[4], upper[6], lower[4], lower[2]])
            is_upper = np.array([True, True, True, True, False, False])
            z = lid_z(around)
            if sign < 0:
                around, z = mirrored(around[[3, 2, 1, 0, 5, 4]]), z[[3, 2, 1, 0, 5, 4]]
            x, y = around.T
            motion = np.where(is_upper[None, :, None], lid_motion(x, y, True, shape), lid_motion(x, y, False, shape))
            points.add(f"{name}_eye", around, motion, z=z)

        def lips(name: str, curve: np.ndarray, upper_lip: bool, inner: bool) -> None:
            motion = lip_motion(curve[:, 0] / mouth, curve[:, 1], upper_lip, inner)
            motion[..., 0] *= mouth
            points.add(name, curve, motion, lift=-1.5 if inner else 0.0)

        lips("outer_upper", outer_upper, True, False)
        lips("outer_lower", outer_lower[-2:0:-1], False, False)
        lips("inner_upper", inner_upper[[0, 2, 3, 4, 6]], True, True)
        lips("inner_lower", inner_lower[[4, 3, 2]], False, True)
        self.landmark_rows = self._landmark_rows(points)

        # Fine curves for drawing
        lips("draw_outer_upper", smooth_curve(outer_upper, 25), True, False)
        lips("draw_outer_lower", smooth_curve(outer_lower, 25), False, False)
        lips("draw_inner_upper", smooth_curve(inner_upper, 25), True, True)
        lips("draw_inner_lower", smooth_curve(inner_lower, 25), False, True)

        for name, sign in (("right", 1.0), ("left", -1.0)):
            mirror = (lambda curve: curve) if sign > 0 else mirrored
            for part, curve, is_upper in (("upper", fine_upper, True), ("lower", fine_lower, False)):
                placed = mirror(curve)
                motion = lid_motion(placed[:, 0], placed[:, 1], is_upper, shape)
                points.add(f"{name}_{part}_lid", placed, motion, z=lid_z(curve))
                cover = curve + (0.0, 7.5 if is_upper else -7.0) * np.clip(
                    1.15 - ((curve[:, :1] - center[0]) / (EYE_HALF * wide * 1.05)) ** 2, 0, 1
                )
                placed = mirror(cover)
                points.add(f"{name}_{part}_cover", placed, motion * 0.6, z=lid_z(curve) + 0.5)
            crease = _curve_beside(fine_upper, 3.0, center[0], EYE_HALF * wide)
            placed = mirror(crease)
            crease_motion = lid_motion(placed[:, 0], placed[:, 1], True, shape) * 0.6
            points.add(f"{name}_crease", placed, crease_motion + 0.15 * skin_motion(*placed.T), z=lid_z(crease) + 0.5)
            bag = _curve_beside(fine_lower, -4.0 - 1.0 * shape["age"], center[0], EYE_HALF * wide)[2:-1]
            points.add(f"{name}_bag", mirror(bag))
            circle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
            ring = np.stack([np.cos(circle), np.sin(circle)], -1)
            place = center + (0.0, 0.4)
            points.fixed(f"{name}_iris", mirror(place + 6.1 * ring), eye_z + 3.0)
            points.fixed(f"{name}_pupil", mirror(place + 2.5 * ring), eye_z + 3.4)
            points.fixed(f"{name}_glint", mirror(place) + 1.25 * ring + (-1.8, 2.2), eye_z + 3.6)
            spine = smooth_curve(right_brow, 15)
            profile = np.interp(np.linspace(0, 4, 15), range(5), brow_thickness)[:, None] * (0.0, 0.5)
            points.add(f"{name}_brow_top", mirror(spine + profile), lift=1.0)
            points.add(f"{name}_brow_bottom", mirror(spine - profile), lift=1.0)
            nostril = np.stack([4.2 * nose_width * np.cos(circle), 1.7 * np.sin(circle)], -1)
            nostril[:, 1] -= 0.12 * nostril[:, 0]
            nostril += (-7.3 * nose_width, base + 2.6)
            points.add(f"{name}_nostril", mirror(nostril), lift=1.0)
            wing = np.array([(-15.5, 12.0), (-17.6, 7.5), (-16.8, 3.2), (-13.5, 1.6)]) * (nose_width, 1.0) + (0, base)
            points.add(f"{name}_wing", mirror(smooth_curve(wing, 9)))
            fold = np.array([(-19.5, -43.0), (-25.0, -52.0), (-30.0, -62.0), (-32.5, -71.0)])
            points.add(f"{name}_fold", mirror(smooth_curve(fold, 11)))
            bridge = np.array([(-9.0, 8.0), (-8.0, -4.0), (-9.0, -16.0), (-11.0, -28.0), (-15.0, -40.0)])
            points.add(f"{name}_bridge_side", mirror(smooth_curve(bridge, 9)))
            for number, height in enumerate((2.5, -1.5, -5.5)):
                crow = np.array([(-50.0, height * 0.4 + 0.5), (-56.0, height), (-61.0, height * 1.6)])
                points.add(f"{name}_crow{number}", mirror(smooth_curve(crow, 5)))
            furrow = np.array([(-5.5, 13.0), (-5.0, 20.0), (-6.5, 27.0)])
            points.add(f"{name}_furrow", mirror(smooth_curve(furrow, 6)))
            for number, height in enumerate((2.0, -4.0)):
                scrunch = np.array([(-11.0, height + 4.0), (-5.0, height), (-1.0, height - 1.0)])
                points.add(f"{name}_scrunch{number}", mirror(smooth_curve(scrunch, 6)))
            ear = np.linspace(0, np.pi, 15)
            ear_points = np.stack([-(71.5 + 9.0 * np.sin(ear)), -9.0 + 29.0 * np.cos(ear)], -1)
            points.fixed(f"{name}_ear", mirror(ear_points), -2.0 - 22.0 * np.sin(ear))
            hollow = np.stack([-(71.5 + 6.0 * np.sin(ear)), -7.0 + 18.0 * np.cos(ear)], -1)
            points.fixed(f"{name}_ear_hollow", mirror(hollow), 0.0 - 13.0 * np.sin(ear))
            round_lens = self.traits["glasses"] != "square"
            power = 1.0 if round_lens else 0.55
            lens = np.sign(ring) * np.abs(ring) ** power * ((22.0, 20.5) if round_lens else (24.0, 17.0))
            lens = lens + center + (-0.5, -2.0)
            points.fixed(f"{name}_lens", mirror(lens), eye_z + 15.0 - 0.012 * (lens[:, 0] - center[0] - 20) ** 2 * 0.5)
            hinge = np.array([(center[0] - 22.0, 3.0), (-73.0, 3.0), (-78.0, 2.0)])
            points.fixed(f"{name}_temple", mirror(hinge), np.array([eye_z + 3.0, 25.0, -8.0]))
        inner_rim = -center[0] - 22.0
        points.fixed(
            "glasses_bridge",
            np.array([(-inner_rim, 1.0), (-inner_rim / 2, 4.0), (inner_rim / 2, 4.0), (inner_rim, 1.0)]),
            eye_z + 15.0,
        )
        for number, height in enumerate((40.0, 48.0, 56.0)):
            line = np.array(
                [(-36.0, height - 2), (-18.0, height), (0.0, height - 1.5), (18.0, height), (36.0, height - 2)]
            )
            points.add(f"forehead{number}", smooth_curve(line, 15))
        for name, sign in (("right", 1.0), ("left", -1.0)):
            for number, (across, top, low) in enumerate(
                ((-5.0, -55.0, -61.0), (-10.5, -56.0, -63.0), (-6.0, -82.5, -87.0), (-12.0, -80.0, -84.5))
            ):
                pucker = np.array([(across * 1.06, top), (across, (top + low) / 2), (across * 0.94, low)])
                points.add(f"{name}_pucker{number}", pucker * (sign * mouth, 1.0))
            bracket = np.array([(-27.5, -66.0), (-29.5, -70.5), (-29.0, -76.0)]) * (sign * mouth, 1.0)
            points.add(f"{name}_bracket", smooth_curve(bracket, 7))
        points.add("chin_dimple", smooth_curve(np.array([(-11.0, -87.0), (0.0, -84.5), (11.0, -87.0)]), 7), lift=0.0)
        points.add("ridge", np.stack([np.zeros(9), np.linspace(8, tip, 9)], -1))
        moustache = np.array(
            [
                (-24, -71),
                (-16, -62.5),
                (-5, -57),
                (5, -57),
                (16, -62.5),
                (24, -71),
                (14, -66.0),
                (0, -63.4),
                (-14, -66.0),
            ],
            float,
        )
        points.add("moustache", smooth_curve(moustache * (mouth, 1.0), 36, True), lift=1.0)
        self._hair(points)

        xy, z = head_grid(COLUMNS, ROWS, shape)
        self.grid_xy = xy.reshape(-1, 2)
        flat, depth, motion = points.collect()
        self.runs = {**points.runs, "grid": slice(len(flat), len(flat) + z.size)}
        flat, depth = np.concatenate([flat, self.grid_xy]), np.concatenate([depth, z.reshape(-1)])
        self.points = np.ascontiguousarray(self._warp(flat, depth).T, np.float32)
        self.motion = np.ascontiguousarray(motion.transpose(0, 2, 1), np.float32)
        self.side = np.tanh(flat[:, 0] / 6.0).astype(np.float32)
        self.order, self.shapes = self._shapes()
        self.teeth = float(self._warp(np.array([(0.0, -74.6)]), np.zeros(1))[0, 1])

    def _shapes(self) -> tuple[np.ndarray, dict[str, list[slice]]]:
        """Numbers of the points in the order of drawing; name -> the polygons that one color draws, as runs of it."""

        def rows(name: str) -> np.ndarray:
            return np.arange(self.runs[name].start, self.runs[name].stop)

        def between(first: str, second: str) -> np.ndarray:
            return np.concatenate([rows(first), rows(second)[::-1]])

        sides = ("right", "left")
        shapes = {
            "sclera": [between(f"{side}_upper_lid", f"{side}_lower_lid") for side in sides],
            "upper_patch": [between(f"{side}_upper_lid", f"{side}_upper_cover") for side in sides],
            "lower_patch": [between(f"{side}_lower_lid", f"{side}_lower_cover") for side in sides],
            "brow": [between(f"{side}_brow_top", f"{side}_brow_bottom") for side in sides],
            "crow": [rows(f"{side}_crow{number}") for side in sides for number in range(3)],
            "scrunch": [rows(f"{side}_scrunch{number}") for side in sides for number in range(2)],
            "forehead": [rows(f"forehead{number}") for number in range(3)],
            "pucker": [rows(f"{side}_pucker{number}") for side in sides for number in range(4)],
            "bracket": [rows(f"{side}_bracket") for side in sides],
            "opening": [between("draw_inner_upper", "draw_inner_lower")],
            "upper_lip": [between("draw_outer_upper", "draw_inner_upper")],
            "lower_lip": [between("draw_inner_lower", "draw_outer_lower")],
            "strands": list(rows("strands").reshape(7, 6)),
            "dark_strands": list(rows("strands").reshape(7, 6)[1::2]),
        }
        for part in (
            "ear",
            "ear_hollow",
            "iris",
            "pupil",
            "glint",
            "upper_lid",
            "lower_lid",
            "crease",
            "wing",
            "nostril",
            "fold",
            "bag",
        ):
            shapes[part] = [rows(f"{side}_{part}") for side in sides]
        for part in ("furrow", "lens"):
            shapes[part] = [rows(f"{side}_{part}") for side in sides]
        for side in sides:
            shapes[f"{side}_occluder"] = [between("ridge", f"{side}_bridge_side")]
        for name in self.runs.keys() - {"grid"}:
            shapes.setdefault(name, [rows(name)])
        order, runs, count = [], {}, 0
        for name, polygons in shapes.items():
            runs[name] = []
            for polygon in polygons:
                runs[name].append(slice(count, count + len(polygon)))
                order.append(polygon)
                count += len(polygon)
        return np.concatenate(order), runs

    def _inks(self) -> dict[str, tuple[float, float, float]]:
        """Name -> RGB color of what is drawn."""
        skin, hair, lips = self.colors["skin"], self.colors["hair"], self.colors["lips"]
        inks = {
            **self.colors,
            "bun": hair * 0.8,
            "strand": hair * 1.15,
            "dark_strand": hair * 0.8,
            "fringe": hair * 1.04,
            "neck": skin * (0.62, 0.54, 0.50),
            "ear": skin * 0.9,
            "ear_hollow": skin * 0.69,
            "wing": skin * 0.74,
            "nostril": skin * (0.36, 0.28, 0.26),
            "lower_lid": skin * (0.70, 0.58, 0.56),
            "crease": skin * (0.70, 0.64, 0.62),
            "lashes": np.minimum(skin * 0.28, 48),
            "upper_lip": lips * 0.86,
            "lower_lip": lips * 1.04,
            "lip_line": lips * (0.42, 0.34, 0.34),
            "lip_edge": lips * (0.55, 0.45, 0.45),
        }
        return {name: tuple(float(value) for value in color) for name, color in inks.items()}

    @staticmethod
    def _landmark_rows(points: PointSet) -> np.ndarray:
        order = ("jaw", "right_brow", "left_brow", "nose_bridge", "nose_base", "right_eye", "left_eye")
        order += ("outer_upper", "outer_lower", "inner_upper", "inner_lower")
        return np.concatenate([np.arange(points.runs[name].start, points.runs[name].stop) for name in order])

    def _hair(self, points: PointSet) -> None:
        """Adds the hairline, the shell of hair around the skull and the fringe."""
        style, parting = self.traits["hair_style"], self.traits["parting"]
        low_hair = style in ("bob", "long")
        top = {"receding": 84.0, "fringe": 62.0, "curly": 60.0}.get(style, 66.0)
        # Angle up to which each height shows skin, seen from the front
        rows = SKIN_ROWS[SKIN_ROWS < top - 0.5]
        y0 = 4.0
        above = np.clip((rows - y0) / (top - y0), 0.0, 1.0)
        side = 62.0 if not low_hair else 58.0
        limit = side * np.sqrt(1.0 - above**3.0)
        below = np.clip((y0 - rows) / 26.0, 0.0, 1.0)
        if low_hair:
            limit = np.where(rows < y0, side + 8.0 * below, limit)
            limit = np.where(rows < -76, np.interp(-rows, [76, 110], [66.0, 90.0]), limit)
        else:
            limit = np.where(rows < y0, np.interp(-rows, [-y0, 10.0, 24.0, 26.0], [side, 78.0, 84.0, 150.0]), limit)
        self.skin_rows = len(rows)
        for name, sign in (("skin_left", -1.0), ("skin_right", 1.0)):
            angle = np.radians(sign * limit)
            half, front, middle, back = head_ring(rows)
            depth = np.where(np.cos(angle) >= 0, front, back)
            points.add(name, np.stack([half * np.sin(angle), rows], -1), z=middle + depth * np.cos(angle))
        columns = np.degrees(COLUMNS)
        inside = np.abs(columns)[:, None] < np.interp(ROWS, rows[::-1], limit[::-1], right=0.0)[None, :]
        self.outside_skin = np.where(inside, 0.0, 1e6).astype(np.float32)

        thickness = {"shaved": 0.0, "short": 6.0, "receding": 4.0, "tied": 4.0, "curly": 24.0}.get(style, 10.0)
        bottom = {"bob": -92.0, "long": -135.0, "curly": -30.0}.get(style, -12.0)
        shell_rows = np.concatenate([np.linspace(114, 20, 12), np.linspace(12, bottom, 10)])
        angle, y = np.meshgrid(SHELL_COLUMNS, shell_rows, indexing="ij")
        half, front, middle, back = head_ring(np.maximum(y, 0.0 if low_hair else -15.0))
        if low_hair:
            half = half + np.interp(-y, [0, 60, 135], [0.0, 6.0, 8.0])
        depth = np.where(np.cos(angle) >= 0, np.minimum(front, np.interp(y, [-60, 0], [40.0, 200.0])), back)
        if low_hair:
            depth = np.where((np.cos(angle) >= 0) & (y < 0), np.minimum(depth, 60.0), depth)
        if style == "curly":
            wobble = 1.0 + 0.12 * np.sin(7 * angle + 0.35 * y) * np.cos(0.22 * y + 3 * angle)
        else:
            wobble = np.ones_like(angle)
        grow = 1.0 + thickness * wobble / 76.0
        x = half * np.sin(angle) * grow
        z = middle + depth * np.cos(angle) * grow
        raised = 114.0 + thickness * 0.9
        high = np.where(y > 20, 20 + (y - 20) * (raised - 20) / 94.0, y)
        points.add(
            "shell", np.stack([x, high], -1).reshape(-1, 2), np.zeros((len(ACTION_UNITS), x.size, 3)), z=z.reshape(-1)
        )
        self.shell_shape = x.shape
        if style == "fringe":
            outline = [(-52, 36), (-40, 34), (-26, 36), (-12, 34), (0, 36.5), (12, 34), (26, 36), (40, 34), (52, 36)]
            outline += [(50, 58), (26, 76), (0, 80), (-26, 76), (-50, 58)]
        elif style in ("side_parted", "bob", "long"):
            outline = [(-56, 30), (-46, 47), (-24, 57), (10, 63), (30, 69), (30, 80), (0, 84), (-34, 74), (-54, 52)]
            outline = [(-parting * x_, y_) for x_, y_ in outline]
        else:
            outline = []
        if outline:
            curve = smooth_curve(np.array(outline, np.float64), 60, True)
            points.add("fringe", curve, np.zeros((len(ACTION_UNITS), 60, 3)), lift=4.0)
        if style == "tied":
            turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            points.fixed("bun", np.stack([26 * np.cos(turn), 124 + 22 * np.sin(turn)], -1), -30.0)
        strands = []
        for number in range(7):
            azimuth = np.radians(np.linspace(-66, 66, 7)[number])
            heights = np.linspace(100, 68, 6)
            half, front, middle, _ = head_ring(heights)
            strands.append(np.stack([half * np.sin(azimuth), heights, middle + front * np.cos(azimuth)], -1))
        strands = np.concatenate(strands) * (1.0 + thickness / 90.0, 1.0 + thickness / 130.0, 1.0 + thickness / 90.0)
        points.fixed("strands", strands[:, :2], strands[:, 2])

    def _tint(self, rng: np.random.Generator) -> np.ndarray:
        """Color factors of the skin at the grid's points, float32 (3, columns, rows)."""
        x, y = self.grid_xy.T
        ax = np.abs(x)
        shape = self.shape
        base = -50.0 - shape["nose_length"]
        eye = EYE_X + shape["eye_spacing"]
        dim = 1.0 - (0.16 + 0.05 * shape["age"]) * gauss(ax, y, eye, 4, 15, 8) - 0.14 * gauss(ax, y, 15, 3, 6, 7)
        dim -= 0.10 * (0.4 + shape["age"]) * gauss(ax, y, eye - 3, -9, 10, 4)
        dim -= 0.28 * gauss(ax, y, 0, base - 3, 9, 3.5) + 0.20 * gauss(ax, y, 0, -86, 13, 4)
        dim -= 0.10 * gauss(ax, y, 17.5 * shape["nose_width"], base + 5, 4, 5)
        tint = np.repeat(dim[:, None], 3, 1)
        flush = 0.9 * gauss(ax, y, 43, -31, 14, 12) + 0.6 * gauss(ax, y, 0, base + 8, 9, 7)
        tint *= 1.0 - flush[:, None] * np.array([0.0, 0.10, 0.08])
        if shape["freckles"] > 0:
            spots = rng.random(len(x)) < 0.3
            near = gauss(ax, y, 25, -25, 24, 14) * spots
            tint *= 1.0 - shape["freckles"] * 0.25 * near[:, None] * np.array([0.6, 0.9, 1.0])
        beard = self.traits["beard"]
        skin, hair = self.colors["skin"], self.colors["hair"]
        cheek_line = np.interp(ax, [0, 20, 45, 70], [-53.0, -58.0, -62.0, -30.0])
        region = smooth_step(cheek_line - y, -2.0, 9.0) * (1.0 - gauss(ax, y, 0, -71, 20, 7)) * (ax < 71.5)
        if beard == "stubble":
            tint *= 1.0 - region[:, None] * np.array([0.30, 0.24, 0.20])
        elif beard == "full":
            region = np.clip(region * 1.5, 0, 1)[:, None] * (1.0 - 0.25 * rng.random((len(x), 1)))
            tint = tint * (1 - region) + region * np.minimum(hair * 1.15 / skin, 1.1)
        if self.traits["hair_style"] == "shaved":
            scalp = smooth_step(y + 0.35 * np.clip(ax - 40, 0, 40), 62, 74)[:, None]
            tint *= 1.0 - scalp * (1 - np.minimum(0.55 * hair / skin + 0.45, 1.0)) * 0.8
        return np.ascontiguousarray(tint.T.reshape(3, len(COLUMNS), len(ROWS)), np.float32)


def _curve_beside(curve: np.ndarray, distance: float, center: float, half: float) -> np.ndarray:
    """A curve that runs at a distance beside a lid and meets its corners."""
    weight = np.clip(1.1 - ((curve[:, 0] - center) / (half * 1.1)) ** 2, 0.0, 1.0)
    return curve + np.stack([np.zeros(len(curve)), distance * weight], -1)


@functools.lru_cache(maxsize=256)
def person(identity: int, seed: int = 0) -> Person:
    """The person of a number in the population of a seed; kept for the next call."""
    return Person(identity, seed)
