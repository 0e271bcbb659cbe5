"""Tools that draw onto pictures: judged by where which colours are."""

from __future__ import annotations

import numpy as np
import pytest
from photos import levels, photo
from PIL import Image

from genllava.errors import InvalidRequest
from genllava_tools import find

WHITE = Image.new("RGB", (400, 300), "white")


def where(image: Image.Image, color: tuple[int, int, int]) -> np.ndarray:
    return np.asarray((levels(image) == color).all(2))


def around(region: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(region)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_boxes_are_where_they_should_be() -> None:
    result = find("draw_boxes")(WHITE, boxes=[(0.25, 0.5, 0.75, 0.9)], color="red")
    red = where(result.image, (255, 0, 0))
    assert around(red) == (100, 150, 300, 270)
    assert not red[160:260, 110:290].any(), "an outline"
    assert result.text == "Drew 1 box in red."


def test_labels_belong_to_boxes() -> None:
    boxes = [(0.1, 0.3, 0.4, 0.9), (0, 0, 1, 1)]
    plain, named = (
        find("draw_boxes")(photo("astronaut"), boxes=boxes, labels=labels, color="blue").image
        for labels in (None, ["the flag", "all of it"])
    )
    changed = abs(levels(plain) - levels(named)).max(2) > 0
    assert changed[130:156, 50:110].any(), "above its box"
    assert changed[:30, :90].any(), "inside where there is no room above"
    changed[120:156, :200] = changed[:30, :200] = False
    assert not changed.any()


def test_points() -> None:
    made = find("draw_points")(WHITE, points=[(0.5, 0.5), (1, 1)], labels=["here", "corner"], color="#0000ff").image
    blue = where(made, (0, 0, 255))
    assert blue[149, 199]
    assert blue[299, 399]
    assert not blue[:130].any()


@pytest.mark.parametrize(("start", "end"), [((0.1, 0.5), (0.9, 0.5)), ((0.9, 0.5), (0.1, 0.5))])
def test_the_tip_of_an_arrow_is_at_its_end(start: tuple[float, float], end: tuple[float, float]) -> None:
    red = where(find("draw_arrow")(WHITE, start=start, end=end).image, (255, 0, 0))
    left, _, right, _ = around(red)
    assert abs(left - 40) + abs(right - 360) <= 2
    tall = np.flatnonzero(red.sum(0) == red.sum(0).max()).mean()
    assert abs(tall - 400 * end[0]) < 30, "its head is there"
    assert red.sum(0).max() > 2.5 * np.median(red.sum(0)[60:340])


POSITIONS = {
    "top left": (0, 0), "top": (0.5, 0), "top right": (1, 0), "left": (0, 0.5), "center": (0.5, 0.5), "right": (1, 0.5),
    "bottom left": (0, 1), "bottom": (0.5, 1), "bottom right": (1, 1),
}  # fmt: skip


@pytest.mark.parametrize("position", POSITIONS)
def test_words_are_where_they_should_be(position: str) -> None:
    result = find("add_text")(photo("rocket"), text="HELLO", position=position, size=0.1)
    changed = abs(levels(result.image) - levels(photo("rocket"))).max(2) > 0
    left, top, right, bottom = around(changed)
    box = result.data["box"]
    assert np.abs(np.array(box) - np.array((left, top, right, bottom)) / (640, 427, 640, 427)).max() < 0.005
    middle = np.array(((left + right) / 2 / 640, (top + bottom) / 2 / 427))
    assert np.abs(middle - POSITIONS[position]).max() < 0.2
    assert where(result.image, (255, 255, 255))[top:bottom, left:right].any()


def test_long_words_are_broken_and_made_smaller_until_they_fit() -> None:
    text = "a rather long sentence that cannot stand in one line of this small picture, whatever is done"
    result = find("add_text")(photo("cat"), text=text, size=0.3)
    assert result.data["letters"] < 0.3 * 300
    left, top, right, bottom = result.data["box"]
    assert 0 <= left < right <= 1
    assert 0 <= top < bottom <= 1
    two = find("add_text")(WHITE, text="one\ntwo", size=0.1).data["box"]
    one = find("add_text")(WHITE, text="one", size=0.1).data["box"]
    assert two[3] - two[1] > 1.6 * (one[3] - one[1])
    with pytest.raises(InvalidRequest, match="do not fit"):
        find("add_text")(Image.new("RGB", (12, 12)), text="far too much for that")


def test_letters_of_other_scripts_are_written_or_refused_and_never_boxes() -> None:
    pytest.importorskip("cv2")
    import cv2

    if not hasattr(cv2, "FontFace"):
        with pytest.raises(InvalidRequest, match="no font"):
            find("add_text")(WHITE, text="é")
        return
    drawn = {text: find("add_text")(WHITE, text=text, position="center").image.tobytes() for text in "éèЖ日本"}
    assert len(set(drawn.values())) == len(drawn), "each looks like itself"
    with pytest.raises(InvalidRequest, match="no font"):
        find("add_text")(WHITE, text="ok \U0001f600")
    with pytest.raises(InvalidRequest, match="no font"):
        find("draw_boxes")(WHITE, boxes=[(0, 0, 1, 1)], labels=["\U0001f600"])


@pytest.mark.parametrize("text", ["\u05e9\u05dc\u05d5\u05dd", "ok \u0645\u0631\u062d\u0628\u0627", "\u0663"])
def test_words_from_right_to_left_are_refused(text: str) -> None:
    """They were written backwards, and Arabic letters apart."""
    with pytest.raises(InvalidRequest, match="right can be written"):
        find("add_text")(WHITE, text=text)
    with pytest.raises(InvalidRequest, match="right can be written"):
        find("draw_points")(WHITE, points=[(0.5, 0.5)], labels=[text])


def test_letters_that_cannot_be_seen_are_refused_by_a_name_that_can() -> None:
    """The words behind a zero were left out, and said to be there."""
    with pytest.raises(InvalidRequest, match=r"no font here has '\\x00'"):
        find("add_text")(WHITE, text="a\x00b")


def test_words_can_be_read_on_any_ground() -> None:
    for ground in ("white", "black", "gray"):
        made = find("add_text")(Image.new("RGB", (200, 100), ground), text="HI", size=0.4, position="center").image
        assert where(made, (255, 255, 255)).any()
        assert where(made, (0, 0, 0)).any()


@pytest.mark.parametrize("by", ["box", "mask"])
def test_highlighting_dims_the_rest(by: str) -> None:
    cat, mask = photo("cat"), Image.new("L", (451, 300), 0)
    mask.paste(255, (0, 0, 226, 300))
    made = levels(find("highlight")(cat, **({"box": (0, 0, 0.5, 1)} if by == "box" else {"mask": mask})).image)
    assert (made[:, :226] == levels(cat)[:, :226]).all()
    assert abs(made[:, 226:] - 0.35 * levels(cat)[:, 226:]).max() <= 1.01
