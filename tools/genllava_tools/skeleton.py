"""People as skeletons in the colours of OpenPose, which ControlNets of kind pose are trained on."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Place = tuple[float, float] | None
"""x and y of a joint in fractions of the picture; None where it is not seen."""

JOINTS: Final = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye",
    "right_ear", "left_ear",
)  # fmt: skip
"""The joints of a body in OpenPose's order; left and right are the person's own."""
COCO: Final = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
"""The joints of a body in the order of COCO's annotations, which most models of poses have; there is no neck."""
_BONES: Final = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 0),
    (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
_FINGERS: Final = tuple(
    (0 if part == 0 else 4 * finger + part, 4 * finger + part + 1) for finger in range(5) for part in range(4)
)
_COLORS: Final = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
    (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255),
    (255, 0, 170), (255, 0, 85),
)  # fmt: skip
_THICK: Final = 4
"""Half the thickness of a bone and the radius of a joint, in pixels."""


@dataclass(frozen=True, slots=True)
class Person:
    """What is known of a person's pose.

    Attributes:
        body: the places of `JOINTS`.
        hands: for each hand the places of its 21 joints, the wrist first, then from the thumb each finger's four.
        face: places around the face and within it.
    """

    body: tuple[Place, ...]
    hands: tuple[tuple[Place, ...], ...] = ()
    face: tuple[Place, ...] = ()

    def joints(self) -> dict[str, list[float]]:
        """The joints that are seen, by name, as plain values."""
        named = zip(JOINTS, self.body, strict=True)
        return {name: [round(place[0], 4), round(place[1], 4)] for name, place in named if place is not None}


def body_of_coco(places: Sequence[Place]) -> tuple[Place, ...]:
    """A body in OpenPose's order from one in COCO's: the neck lies between the shoulders."""
    named = dict(zip(COCO, places, strict=True))
    left, right = named["left_shoulder"], named["right_shoulder"]
    neck = None if left is None or right is None else ((left[0] + right[0]) / 2, (left[1] + right[1]) / 2)
    return tuple(neck if name == "neck" else named[name] for name in JOINTS)


def draw_people(people: Iterable[Person], width: int, height: int) -> NDArray[np.uint8]:
    """People on black, [H, W, 3], RGB."""
    canvas = np.zeros((height, width, 3), np.uint8)
    for person in people:
        _draw_body(canvas, person.body)
        for hand in person.hands:
            _draw_hand(canvas, hand)
        for place in person.face:
            _dot(canvas, place, 3, (255, 255, 255))
    return canvas


def _draw_body(canvas: NDArray[np.uint8], body: Sequence[Place]) -> None:
    import cv2

    height, width = canvas.shape[:2]
    for (start, end), color in zip(_BONES, _COLORS, strict=False):
        first, last = body[start], body[end]
        if first is None or last is None:
            continue
        across, down = (first[0] - last[0]) * width, (first[1] - last[1]) * height
        middle = (int((first[0] + last[0]) / 2 * width), int((first[1] + last[1]) / 2 * height))
        angle = int(math.degrees(math.atan2(down, across)))
        axes = (int(math.hypot(across, down) / 2), _THICK)
        bone: Any = cv2.ellipse2Poly(middle, axes, angle, 0, 360, 1)
        cv2.fillConvexPoly(canvas, bone, tuple(int(level * 0.6) for level in color))
    for place, color in zip(body, _COLORS, strict=True):
        _dot(canvas, place, _THICK, color)


def _draw_hand(canvas: NDArray[np.uint8], hand: Sequence[Place]) -> None:
    import cv2

    for number, (start, end) in enumerate(_FINGERS):
        first, last = hand[start], hand[end]
        if first is not None and last is not None:
            color = [255 * level for level in colorsys.hsv_to_rgb(number / len(_FINGERS), 1, 1)]
            cv2.line(canvas, _pixel(canvas, first), _pixel(canvas, last), color, thickness=2)
    for place in hand:
        _dot(canvas, place, _THICK, (0, 0, 255))


def _dot(canvas: NDArray[np.uint8], place: Place, radius: int, color: tuple[int, int, int]) -> None:
    import cv2

    if place is not None:
        cv2.circle(canvas, _pixel(canvas, place), radius, color, thickness=-1)


def _pixel(canvas: NDArray[Any], place: tuple[float, float]) -> tuple[int, int]:
    return int(place[0] * canvas.shape[1]), int(place[1] * canvas.shape[0])
