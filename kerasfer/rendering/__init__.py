"""Procedurally rendered faces: a small 3-D head whose every factor is known exactly.

    from kerasfer.rendering import make_factors, render
    render(make_factors(3, "surprise", yaw=20), size=96).image

The head is a star-shaped surface in millimeters (x to the right of the picture, y up from the line of the eyes, z
toward the viewer, origin between the ears) with curves for eyes, lids, brows, nose and lips on it. Identity warps the
surface and chooses colors, hair, beard and glasses; action units displace it; then it is turned, projected, shaded and
drawn. The 68 landmarks are points of the same surface, so they are exact. Proportions follow common anthropometric
means of adults.
"""

from kerasfer.rendering.anatomy import BEARDS, GLASSES, HAIR_STYLES, Person, person
from kerasfer.rendering.draw import Rendering, render, render_image
from kerasfer.rendering.factors import Factors, RenderingError, make_factors, neutral

__all__ = [
    "BEARDS",
    "GLASSES",
    "HAIR_STYLES",
    "Factors",
    "Person",
    "Rendering",
    "RenderingError",
    "make_factors",
    "neutral",
    "person",
    "render",
    "render_image",
]
