"""Tools that change size, orientation and colours: judged by pixels."""

from __future__ import annotations

import numpy as np
import pytest
from photos import levels, photo, shapes
from PIL import Image

from genllava_tools import find

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def test_resizing() -> None:
    coffee = photo("coffee")
    sizes: list[tuple[dict[str, int], tuple[int, int]]] = [
        ({"width": 300}, (300, 200)), ({"height": 100}, (150, 100)), ({"width": 50, "height": 90}, (50, 90)),
        ({"width": 1}, (1, 1)), ({"width": 1200}, (1200, 800)),
    ]  # fmt: skip
    for given, size in sizes:
        result = find("resize")(coffee, **given)
        assert result.image.size == size
        assert f"{size[0]}x{size[1]}" in result.text
    half = find("resize")(coffee, width=300).image
    assert abs(levels(half) - levels(coffee.resize((300, 200), Image.Resampling.BOX))).mean() < 4


def test_clockwise_is_clockwise() -> None:
    """A system that promised it turned the other way, by Pillow's own direction."""
    assert "clockwise" in find("rotate").description
    image = Image.new("RGB", (60, 40), WHITE)
    image.paste(RED, (0, 0, 10, 10))  # top left
    corners = {90: (39, 0), 180: (59, 39), 270: (0, 59), -90: (0, 59), 360: (0, 0), -180: (59, 39)}
    for angle, corner in corners.items():
        made = find("rotate")(image, angle=angle).image
        assert made.getpixel(corner) == RED, angle
        assert levels(made).sum() == levels(image).sum(), "no pixel is changed"
    assert "counter-clockwise" in find("rotate")(image, angle=-90).text


def test_a_slant_is_clockwise_as_well() -> None:
    image = Image.new("RGB", (101, 101), WHITE)
    image.paste(RED, (46, 0, 56, 20))  # at twelve o'clock
    made = find("rotate")(image, angle=30, color="white").image
    rows, columns = np.nonzero(levels(made)[:, :, 1] < 128)
    middle = (np.array(made.size) - 1) / 2
    x, y = columns.mean() - middle[0], rows.mean() - middle[1]
    assert np.degrees(np.arctan2(x, -y)) == pytest.approx(30, abs=2), "at one o'clock"


def test_all_of_a_turned_picture_stays_visible() -> None:
    cat = photo("cat")
    made = find("rotate")(cat, angle=30, color="#00ff00").image
    assert made.size[0] >= 451 * np.cos(np.pi / 6) + 300 * np.sin(np.pi / 6) - 1
    assert made.getpixel((0, 0)) == (0, 255, 0)
    back = find("rotate")(made, angle=-30).image
    left, top = (back.width - 451) // 2, (back.height - 300) // 2
    again = back.crop((left, top, left + 451, top + 300))
    assert abs(levels(again)[20:-20, 20:-20] - levels(cat)[20:-20, 20:-20]).mean() < 4


def test_a_cut_out_stays_one_when_its_shape_is_changed() -> None:
    """It was white around, and then pasted as a white box."""
    image = Image.new("RGBA", (60, 40), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (20, 10, 40, 30))
    for name, arguments in (
        ("rotate", {"angle": 90}), ("rotate", {"angle": 30}), ("rotate", {"angle": 0}), ("flip", {}),
        ("flip", {"direction": "vertical"}), ("resize", {"width": 120}), ("crop", {"box": (0, 0, 0.9, 1)}),
    ):  # fmt: skip
        made = find(name)(image, **arguments).image
        assert made.mode == "RGBA", name
        assert levels(made)[0, 0, 3] == levels(made)[-1, -1, 3] == 0, name
        assert made.getpixel((made.width // 2, made.height // 2)) == (255, 0, 0, 255), name
        pasted = find("paste")(Image.new("RGB", (100, 100), (0, 0, 255)), other=made, box=(0, 0, 1, 1)).image
        assert levels(pasted)[:, :, 1].max() == 0, f"{name}: nothing white is put there"
    assert find("rotate")(image, angle=30, color="lime").image.getpixel((0, 0)) == (0, 255, 0, 255)
    assert find("rotate")(photo("cat"), angle=30).image.getpixel((0, 0)) == WHITE


def test_flipping() -> None:
    cat = photo("cat")
    assert (levels(find("flip")(cat, direction="horizontal").image) == levels(cat)[:, ::-1]).all()
    assert (levels(find("flip")(cat, direction="vertical").image) == levels(cat)[::-1]).all()
    assert find("flip")(shapes()).image.getpixel((30, 50)) == BLUE


def test_padding() -> None:
    cat = photo("cat")
    made = find("pad")(cat, left=0.1, bottom=0.5, color="navy").image
    assert made.size == (451 + 45, 300 + 150)
    assert (levels(made)[:300, 45:] == levels(cat)).all()
    assert (levels(made)[:, :45] == (0, 0, 128)).all()
    assert (levels(made)[300:] == (0, 0, 128)).all()


def test_adjusting() -> None:
    coffee = photo("coffee")
    assert not levels(find("adjust")(coffee, brightness=0).image).any()
    dim = levels(find("adjust")(coffee, brightness=0.5).image)
    assert abs(dim - levels(coffee) / 2).max() <= 1
    assert np.ptp(levels(find("adjust")(coffee, color=0).image), axis=2).max() == 0
    flat = levels(find("adjust")(coffee, contrast=0).image)
    assert flat.std() == 0
    assert levels(find("adjust")(coffee, contrast=1.5).image).std() > levels(coffee).std()
    sharp, soft = (find("measure")(find("adjust")(coffee, sharpness=part).image).data["sharpness"] for part in (3, 0))
    assert sharp > find("measure")(coffee).data["sharpness"] > soft
    assert find("adjust")(coffee, brightness=1.5, color=0).text == "Adjusted: brightness 1.5, color 0."


def test_grayscale() -> None:
    cat = photo("cat")
    made = find("grayscale")(cat).image
    assert (made.mode, made.size) == ("L", cat.size)
    luma = levels(cat) @ (0.299, 0.587, 0.114)
    assert abs(levels(made) - luma).max() <= 1


def test_blurring() -> None:
    astronaut = photo("astronaut")
    face, mask = (0.35, 0.05, 0.55, 0.4), Image.new("L", (512, 512), 0)
    mask.paste(255, (179, 26, 282, 205))
    by_box, by_mask = (find("blur")(astronaut, radius=0.03, **where).image for where in ({"box": face}, {"mask": mask}))
    assert by_box.tobytes() == by_mask.tobytes()
    changed = abs(levels(by_box) - levels(astronaut)).max(2)
    inside = changed[26:205, 179:282].copy()
    changed[26:205, 179:282] = 0
    assert not changed.any(), "not a pixel elsewhere"
    assert inside.mean() > 10
    sharp = [find("measure")(find("crop")(image, face).image).data["sharpness"] for image in (astronaut, by_box)]
    assert sharp[1] < 0.15 * sharp[0]
    everywhere = find("blur")(astronaut).image
    assert find("measure")(everywhere).data["sharpness"] < 0.2 * find("measure")(astronaut).data["sharpness"]


def test_blur_goes_with_the_size_of_the_picture() -> None:
    small = photo("astronaut").resize((256, 256), Image.Resampling.BOX)
    large = photo("astronaut")
    one, other = (find("blur")(image, radius=0.05).image.resize((64, 64)) for image in (small, large))
    assert abs(levels(one) - levels(other)).mean() < 3


def test_pixelating() -> None:
    astronaut = photo("astronaut")
    box = (0.375, 0.125, 0.5, 0.375)  # 64 x 128 pixels
    result = find("pixelate")(astronaut, box=box, blocks=4)
    part = levels(result.image)[64:192, 192:256]
    assert len(np.unique(part.reshape(-1, 3), axis=0)) <= 8
    assert (part[:32, :32] == part[0, 0]).all(), "a square of 32 pixels"
    assert abs(part[0, 0] - levels(astronaut)[64:96, 192:224].reshape(-1, 3).mean(0)).max() < 1
    rest = abs(levels(result.image) - levels(astronaut))
    rest[64:192, 192:256] = 0
    assert not rest.any()
    assert "2x4 squares" in result.text
    assert find("pixelate")(shapes(), box=(0, 0, 0.01, 0.01), blocks=64).image.size == (200, 100)


def test_no_part_is_too_small_to_be_made_unrecognisable() -> None:
    """Squares of one pixel left a face of 60 pixels as it was, and were said to be there."""
    astronaut = photo("astronaut")
    for side in (2, 8, 20, 60):
        box = (0.4, 0.2, 0.4 + side / 512, 0.2 + side / 512)
        made = levels(find("pixelate")(astronaut, box=box, blocks=64).image)
        assert (made != levels(astronaut)).any(axis=2).sum() > side * side / 2
