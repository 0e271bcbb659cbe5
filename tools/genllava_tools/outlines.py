"""The outline of an object that is shown by a box or a point, or named: by models where they are here, else simply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageChops

from genllava.errors import InvalidRequest
from genllava_tools.coordinates import BoxTuple, PointTuple, box_of_pixels
from genllava_tools.detection import LISTED, find_things
from genllava_tools.foreground import grab_cut, same_color
from genllava_tools.pictures import share
from genllava_tools.segmentation import SEGMENTATION, Segmented, segment_boxes, segment_point

_TOLERANCE = 0.1


@dataclass(frozen=True, slots=True)
class Outline:
    """An outline, and how it was found.

    Attributes:
        mask: L, 255 where the object is, as large as the picture.
        how: in words, what found it.
        found: the same in plain values: the share of the picture, the box, whether models found it, and with a label
            the boxes and scores of all things of that name.
    """

    mask: Image.Image
    how: str
    found: dict[str, Any]


def outline(
    image: Image.Image,
    *,
    box: BoxTuple | None = None,
    point: PointTuple | None = None,
    label: str | None = None,
    tolerance: float | None = None,
) -> Outline:
    """The object in a box or at a point, or all things of a name, as a mask.

    Args:
        box: around the object.
        point: on the object.
        label: what it is; the detection model finds it.
        tolerance: with a point: take the region of one colour around it, and how far colours may be apart, 0..1.

    Raises:
        InvalidRequest: none of the three is given, or more than one; or there is no object.
        ToolUnavailable: there is a label, and the detection model is not on this machine.
        CheckpointError, NotEnoughMemory, NonFiniteError: a model cannot be used.
    """
    if sum(each is not None for each in (box, point, label)) != 1:
        raise InvalidRequest("give one of `box`, around the object, `point`, on it, and `label`, what it is")
    if tolerance is not None and point is None:
        raise InvalidRequest("`tolerance` is for a region of one colour around a `point`: leave it out")
    if label is not None:
        return _named(image, label)
    if point is not None and (tolerance is not None or not SEGMENTATION.present):
        mask = same_color(image, point, _TOLERANCE if tolerance is None else tolerance)
        return _told(mask, "the simple way, by colours: the region of one colour around the point", by_model=False)
    if not SEGMENTATION.present:
        assert box is not None, "neither a box nor a point nor a label"
        return by_colors(image, box)
    made = segment_point(image, point) if point is not None else segment_boxes(image, [box or (0, 0, 1, 1)])
    return _told(made.mask, _by_model(made), by_model=True)


def by_colors(image: Image.Image, box: BoxTuple) -> Outline:
    """The object in a box, the simple way.

    Raises:
        InvalidRequest: nothing stands out in it.
    """
    return _told(grab_cut(image, box), "the simple way, by colours: GrabCut in the box", by_model=False)


def given(mask: Image.Image) -> Outline:
    """What a mask shows."""
    return _told(mask, "by the mask that was given", by_model=False)


def _named(image: Image.Image, label: str) -> Outline:
    things = find_things(image, [label])
    if not things.things:
        raise InvalidRequest(
            f"{things.by} found nothing that is {label!r} with a score of {things.threshold:g} or more: say it in "
            "other words, or give `box` or `point`"
        )
    boxes = [thing.box for thing in things.things[:LISTED]]
    if SEGMENTATION.present:
        made = segment_boxes(image, boxes)
        mask, how = made.mask, _by_model(made)
    else:
        mask, how = _cut(image, boxes)
    told = _told(mask, f"{how}; {things.by} found {len(things.things)}: {things.said()}", SEGMENTATION.present)
    return Outline(told.mask, told.how, told.found | things.listed())


def _cut(image: Image.Image, boxes: list[BoxTuple]) -> tuple[Image.Image, str]:
    """GrabCut in each box, and what came of it in words."""
    whole, missed = Image.new("L", image.size, 0), 0
    for box in boxes:
        try:
            whole = ImageChops.lighter(whole, grab_cut(image, box))
        except InvalidRequest:
            missed += 1
            if missed == len(boxes):
                raise
    less = f", which could not outline {missed} of them" if missed else ""
    return whole, f"the simple way, by colours: GrabCut in the box of each{less}"


def _by_model(made: Segmented) -> str:
    scores = ", ".join(f"{score:.2f}" for score in made.scores[:10])
    return f"by the segmentation model {SEGMENTATION.title} (its own estimate of how well: {scores})"


def _told(mask: Image.Image, how: str, by_model: bool) -> Outline:
    edges = mask.getbbox()
    if edges is None:
        raise InvalidRequest(f"nothing was found there, {how}: give another place")
    found = {"share": round(share(mask), 4), "box": box_of_pixels(*edges, mask.size), "by_model": by_model}
    return Outline(mask, how, found)
