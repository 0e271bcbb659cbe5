"""Boxes and points in the three ways that models write them."""

from __future__ import annotations

from typing import Any

import pytest
from photos import levels, photo, shapes

from genllava.errors import InvalidRequest
from genllava_tools import box_in, find, point_in
from genllava_tools.coordinates import DIALECTS, box_out, box_pixels, point_pixel

SAME: list[tuple[Any, list[float]]] = [
    ("0-1", [0.1, 0.2, 0.5, 0.9]),
    ("0-1000", [100, 200, 500, 900]),
    ("pixels", [20, 20, 100, 90]),
]


@pytest.mark.parametrize(("dialect", "box"), SAME, ids=DIALECTS)
def test_one_box_in_three_dialects(dialect: Any, box: list[float]) -> None:
    assert box_in(box, dialect, (200, 100)) == pytest.approx((0.1, 0.2, 0.5, 0.9))
    assert point_in(box[:2], dialect, (200, 100)) == pytest.approx((0.1, 0.2))
    assert box_out((0.1, 0.2, 0.5, 0.9), dialect, (200, 100)) == pytest.approx(box)
    cut = find("crop").run({"image": shapes(), "box": box}, dialect).image
    assert (levels(cut) == levels(shapes().crop((20, 20, 100, 90)))).all()


def test_the_schema_says_which_dialect() -> None:
    for dialect, greatest in (("0-1", 1), ("0-1000", 1000), ("pixels", None)):
        for name, argument in (("crop", "box"), ("draw_boxes", "boxes"), ("draw_arrow", "start")):
            schema = find(name).schema(dialect)["properties"][argument]  # type: ignore[arg-type]
            numbers = schema["items"].get("items", schema["items"])
            assert numbers.get("maximum") == greatest
            words = {"0-1": "from 0 to 1 of", "0-1000": "0 to 1000", "pixels": "in pixels"}[dialect]
            assert words in schema["description"]
    assert find("pad").schema("0-1000") == find("pad").schema("0-1")


def test_lists_of_places_in_another_dialect() -> None:
    here = find("draw_boxes").run({"image": shapes(), "boxes": [[20, 30, 60, 70]]}, "pixels").image
    there = find("draw_boxes")(shapes(), [(0.1, 0.3, 0.3, 0.7)]).image
    assert (levels(here) == levels(there)).all()
    with pytest.raises(InvalidRequest, match=r"`boxes`.*list"):
        find("draw_boxes").run({"image": shapes(), "boxes": 3}, "pixels")
    with pytest.raises(InvalidRequest, match="`boxes`"):
        find("draw_boxes").run({"image": shapes(), "boxes": [20, 30, 60, 70]}, "pixels")


NAN = float("nan")
BAD: dict[str, tuple[Any, str]] = {
    "outside": ([0, 0, 1.2, 1], "outside.*0 to 1"),
    "in pixels by mistake": ([10, 10, 200, 150], "divide pixels by width and height"),
    "negative": ([-0.1, 0, 1, 1], "outside"),
    "upside down": ([0.1, 0.9, 0.5, 0.2], "upside down.*top < bottom"),
    "mirrored": ([0.9, 0.1, 0.5, 0.2], "upside down.*left < right"),
    "without area": ([0.5, 0.1, 0.5, 0.2], "no area"),
    "not a number": ([0, 0, NAN, 1], "finite"),
    "endless": ([0, 0, float("inf"), 1], "finite"),
    "three numbers": ([0, 0, 1], "left, top, right, bottom"),
    "words": (["a", "b", "c", "d"], "4 numbers"),
    "a text": ("0, 0, 1, 1", "4 numbers"),
    "nothing": (None, "4 numbers"),
}


@pytest.mark.parametrize("how", BAD)
def test_boxes_that_are_none(how: str) -> None:
    value, said = BAD[how]
    with pytest.raises(InvalidRequest, match=said):
        box_in(value)
    with pytest.raises(InvalidRequest, match="`box`"):
        find("crop")(photo("cat"), value)


def test_points_that_are_none() -> None:
    for value in ([1.1, 0], [NAN, 0], [0], [0, 0, 0]):
        with pytest.raises(InvalidRequest):
            point_in(value)
        with pytest.raises(InvalidRequest, match="`start`"):
            find("draw_arrow")(photo("cat"), start=value, end=(1, 1))


def test_dialects_are_three() -> None:
    with pytest.raises(InvalidRequest, match="dialect"):
        box_in([0, 0, 1, 1], "0-100")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="size"):
        box_in([0, 0, 1, 1], "pixels")
    with pytest.raises(InvalidRequest, match="200 x 100 pixels"):
        box_in([0, 0, 201, 100], "pixels", (200, 100))


def test_rounding_is_forgiven_and_no_box_vanishes() -> None:
    assert box_in([0, 0, 1 + 1e-9, 1]) == (0, 0, 1, 1)
    assert box_pixels((0, 0, 1, 1), (7, 5)) == (0, 0, 7, 5)
    assert box_pixels((0.5, 0.5, 0.5001, 0.5001), (7, 5)) == (4, 3, 5, 4)
    assert box_pixels((0.9999, 0.9999, 1, 1), (7, 5)) == (6, 4, 7, 5)
    assert point_pixel((1, 1), (7, 5)) == (6, 4)
    halves = [box_pixels(box, (7, 5)) for box in ((0, 0, 0.5, 1), (0.5, 0, 1, 1))]
    assert halves[0][2] == halves[1][0], "two halves meet"
