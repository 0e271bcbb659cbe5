"""Tools that tell an object from what is around it, take one of them away, or fill its place."""

from __future__ import annotations

import numpy as np
import pytest
from photos import levels, photo, shapes
from PIL import Image, ImageDraw

from genllava.errors import InvalidRequest
from genllava_tools import find

SQUARE = (0.1, 0.3, 0.3, 0.7)
"""The red square of `shapes`."""


def overlap(mask: Image.Image, truth: np.ndarray) -> float:
    """Intersection over union of a mask and a region."""
    found = levels(mask) >= 128
    return float((found & truth).sum() / (found | truth).sum())


def truth_of_square() -> np.ndarray:
    region = np.zeros((100, 200), bool)
    region[30:70, 20:60] = True
    return region


def test_segmenting_a_drawn_square() -> None:
    for arguments in ({"box": (0.05, 0.2, 0.4, 0.8)}, {"point": (0.2, 0.5)}):
        result = find("segment")(shapes(), **arguments)
        assert (result.image.mode, result.image.size) == ("L", (200, 100))
        assert set(np.unique(levels(result.image))) <= {0, 255}
        assert overlap(result.image, truth_of_square()) > 0.93
        assert result.data["box"] == pytest.approx(SQUARE, abs=0.02)
        assert result.data["share"] == pytest.approx(0.08, abs=0.005)
        assert "the simple way" in result.text


def test_a_point_takes_the_region_of_one_colour_alone() -> None:
    image = shapes()
    image.paste((255, 0, 0), (100, 30, 120, 50))  # of the same colour, elsewhere
    mask = find("segment")(image, point=(0.2, 0.5)).image
    assert overlap(mask, truth_of_square()) == 1
    ramp = Image.fromarray(np.arange(100, dtype=np.uint8)[None].repeat(20, 0))
    narrow, wide = (find("segment")(ramp, point=(0.5, 0.5), tolerance=part).data["share"] for part in (0.02, 0.1))
    assert (narrow, wide) == (0.11, 0.51)


def test_segmenting_photographs() -> None:
    """The cup on its saucer, the rocket: places that are, and places that are not, of the object."""
    coffee = levels(find("segment")(photo("coffee"), box=(0.2, 0.08, 0.85, 0.97)).image) >= 128
    inside, outside = [(0.45, 0.35), (0.35, 0.6), (0.55, 0.75)], [(0.02, 0.02), (0.95, 0.1), (0.1, 0.9), (0.97, 0.9)]
    assert all(coffee[int(y * 400), int(x * 600)] for x, y in inside)
    assert not any(coffee[int(y * 400), int(x * 600)] for x, y in outside)
    assert 0.25 < coffee.mean() < 0.5
    rocket = find("segment")(photo("rocket"), box=(0.42, 0.1, 0.6, 0.85)).data["box"]
    assert 0.45 < rocket[0] < rocket[2] < 0.56


def test_boxes_in_which_nothing_is_found() -> None:
    flat = Image.new("RGB", (100, 100), "teal")
    with pytest.raises(InvalidRequest, match="another box"):
        find("segment")(flat, box=(0.2, 0.2, 0.8, 0.8))
    with pytest.raises(InvalidRequest, match="too small"):
        find("segment")(photo("cat"), box=(0.5, 0.5, 0.501, 0.501))
    with pytest.raises(InvalidRequest, match="whole picture"):
        find("segment")(photo("cat"), box=(0, 0, 1, 1))


def test_removing_the_background_of_a_drawing() -> None:
    image = Image.new("RGB", (200, 160), (200, 220, 240))
    ImageDraw.Draw(image).ellipse((60, 40, 140, 120), fill=(200, 30, 30))
    result = find("remove_background")(image)
    assert (result.image.mode, result.image.size) == ("RGBA", image.size)
    alpha = np.asarray(result.image.getchannel("A"))
    y, x = np.mgrid[:160, :200]
    disc = (x - 100) ** 2 + (y - 80) ** 2 <= 40**2
    assert overlap(Image.fromarray(alpha), disc) > 0.93
    assert (levels(result.image)[80, 100] == (200, 30, 30, 255)).all()
    assert alpha[5, 5] == 0
    assert "the simple way" in result.text


def test_removing_the_background_of_a_photograph() -> None:
    result = find("remove_background")(photo("coffee"), box=(0.2, 0.08, 0.85, 0.97))
    alpha = np.asarray(result.image.getchannel("A"))
    assert alpha[140, 270] == 255, "the coffee"
    assert alpha[5, 590] == 0, "the table"
    kept = alpha == 255
    assert (levels(result.image)[:, :, :3][kept] == levels(photo("coffee"))[kept]).all()


def test_cutting_out() -> None:
    mask = Image.new("L", (200, 100), 0)
    mask.paste(255, (20, 30, 60, 70))
    trimmed = find("cut_out")(shapes(), mask=mask).image
    assert (trimmed.mode, trimmed.size) == ("RGBA", (40, 40))
    assert (levels(trimmed) == (255, 0, 0, 255)).all()
    whole = find("cut_out")(shapes(), mask=mask, trim=False).image
    assert whole.size == (200, 100)
    assert (levels(whole.getchannel("A")) == levels(mask)).all()


@pytest.mark.parametrize("by", ["box", "mask"])
def test_removing_an_object_from_a_drawing(by: str) -> None:
    mask = Image.new("L", (200, 100), 0)
    mask.paste(255, (20, 30, 60, 70))
    where = {"box": (0.08, 0.26, 0.32, 0.74)} if by == "box" else {"mask": mask}
    result = find("remove_object")(shapes(), **where)
    pixels = levels(result.image)
    assert pixels[25:75, 15:65].min() > 240, "white, as all around it"
    assert (pixels[40:60, 150:170] == (0, 0, 255)).all(), "the other one stays"
    assert "the simple way" in result.text


def test_removing_the_rocket_from_the_sky() -> None:
    rocket = photo("rocket")
    result = find("remove_object")(rocket, box=(0.46, 0.1, 0.56, 0.6))
    before, after = levels(rocket), levels(result.image)
    box = (slice(43, 256), slice(294, 358))
    outside = np.ones(before.shape[:2], bool)
    outside[box] = False
    assert (before[outside] == after[outside]).all(), "not a pixel elsewhere"
    assert np.ptp(after[box], axis=1).mean() < 0.5 * np.ptp(before[box], axis=1).mean(), "a plain sky"


def test_removing_from_a_large_picture_changes_nothing_else() -> None:
    large = photo("coffee").resize((2400, 1600))
    result = find("remove_object")(large, box=(0.4, 0.4, 0.5, 0.5))
    apart = abs(levels(result.image) - levels(large)).max(2)
    apart[640:800, 960:1200] = 0
    assert not apart.any()


def test_nothing_to_fill_from() -> None:
    with pytest.raises(InvalidRequest, match="nearly all"):
        find("remove_object")(photo("cat"), box=(0, 0, 1, 0.95))


def test_a_mask_is_widened_a_little_before_it_is_filled() -> None:
    """The blurred rim of an object is no longer seen, and large pictures take no longer for it."""
    for size in ((200, 100), (3000, 1500)):
        image = shapes().resize(size, Image.Resampling.BICUBIC)
        mask = Image.new("L", (200, 100), 0)
        mask.paste(255, (20, 30, 60, 70))
        made = levels(find("remove_object")(image, mask=mask.resize(size, Image.Resampling.NEAREST)).image)
        left = made[:, : size[0] // 2]
        assert left[:, :, 1].min() > 225, size
