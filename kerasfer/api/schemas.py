"""The requests and answers of the service, as its own description tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, Field

if TYPE_CHECKING:
    pass


class Problem(BaseModel):
    """Why a request was not answered."""

    error: str = Field(description="one line that says what is wrong and what to do")


class Pose(BaseModel):
    """Head rotation in degrees."""

    yaw: float = Field(description="positive when the person looks to the right side of the picture")
    pitch: float = Field(description="positive when the person looks up")
    roll: float = Field(description="positive when the head leans toward the right side of the picture")


class Face(BaseModel):
    """A face and what it expresses."""

    box: tuple[float, float, float, float] = Field(description="left, top, right, bottom in pixels, upright picture")
    score: float = Field(description="the detector's confidence, 0 to 1")
    expression: str = Field(description="the most probable expression")
    probabilities: dict[str, float] = Field(description="expression to probability; they add up to 1")
    pose: Pose | None
    landmarks: list[tuple[float, float]] | None = Field(description="68 points in pixels, if asked for")
    action_units: dict[str, float] | None = Field(
        None, description='FACS action unit, such as "AU12", to the probability that it is present; there if asked for'
    )
    unit_details: dict[str, float] | None = Field(
        None,
        description='of the units that have them: "AU12_intensity", 0 to 5, and "AU12_left" and "AU12_right" (the '
        "person's own), 0 to 1; there if asked for and where movements are seen",
    )


class Recognized(BaseModel):
    """The faces in a picture, the largest first."""

    model: str
    width: int
    height: int
    faces: list[Face]


class Entry(BaseModel):
    """One picture of a batch: its faces, or why there are none."""

    index: int = Field(description="place in the request, from 0")
    name: str | None = Field(description="the file's name, where one was given")
    width: int | None = None
    height: int | None = None
    faces: list[Face] | None = None
    error: str | None = Field(None, description="why the picture could not be read")


class Batch(BaseModel):
    """One entry for each picture, in order; a bad one has an error and does not stop the others."""

    model: str
    results: list[Entry]


class ModelCard(BaseModel):
    """A model that can be asked."""

    name: str
    default: bool
    labels: list[str]
    image_size: int
    channels: int
    storage: str = Field(description="numbers that it is stored in: float32, float16, dynamic or int8")
    bytes: int


class Models(BaseModel):
    """The models that can be asked, the default first."""

    models: list[ModelCard]


class Health(BaseModel):
    """That the service is there."""

    status: Literal["ok"]
    version: str
    waiting: int = Field(description="pictures that are read or wait for it")


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in {
        400: "The request is malformed.",
        404: "There is no such model.",
        408: "The body did not come in time.",
        413: "A picture, their number or the request is too large.",
        415: "The content type is none of those described.",
        422: "A parameter, or the picture, cannot be used.",
        503: "Too many pictures are waiting; try again after the seconds in Retry-After.",
        504: "The answer took too long.",
    }.items()
}

_BINARY = {"type": "string", "format": "binary"}
_BASE64 = {
    "type": "string",
    "minLength": 1,
    "description": "a picture's file as base64, or as a data: URL; addresses are not fetched",
}
ONE_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {"type": "object", "required": ["image"], "properties": {"image": _BINARY}},
        },
        "application/json": {
            "schema": {"type": "object", "required": ["image"], "properties": {"image": _BASE64}},
        },
        "application/octet-stream": {"schema": _BINARY},
        "image/*": {"schema": _BINARY},
    },
}


def batch_body(most: int) -> dict[str, Any]:
    def several(kind: dict[str, Any]) -> dict[str, Any]:
        listed = {"type": "array", "minItems": 1, "maxItems": most, "items": kind}
        return {"schema": {"type": "object", "required": ["images"], "properties": {"images": listed}}}

    return {
        "required": True,
        # What is no base64 gets an error of its own, whatever it is: the others are answered.
        "content": {
            "multipart/form-data": several(_BINARY),
            "application/json": several({"description": _BASE64["description"]}),
        },
    }


ModelName = Annotated[str | None, Query(description="a name of /models; by default its first", max_length=200)]
DetectorName = Annotated[
    Literal["mediapipe", "quick"],
    Query(description="quick looks no more than it must; mediapipe looks again for small faces beside large ones"),
]
WithLandmarks = Annotated[bool, Query(description="whether to give 68 landmarks")]
PriorName = Annotated[
    str | None,
    Query(
        description="how frequent the expressions are to count as: balanced, ferplus, or a JSON object with a share "
        "for each expression; by default as in the model's training",
        max_length=2000,
        examples=["balanced"],
    ),
]
WithUnits = Annotated[bool, Query(description="whether to tell FACS action units, by movements and expressions")]
MinimumScore = Annotated[float, Query(ge=0, le=1, description="least confidence of the detector in a face")]
