"""Tools that put pictures together: judged by pixels."""

from __future__ import annotations

import numpy as np
import pytest
from photos import levels, photo, shapes
from PIL import Image

from genllava.errors import InvalidRequest
from genllava_tools import find

GREEN = Image.new("RGB", (100, 100), "lime")


def test_pasting_into_a_box() -> None:
    made = levels(find("paste")(photo("cat").resize((400, 200)), other=GREEN, box=(0.5, 0, 1, 1)).image)
    assert (made[:, 200:] == (0, 255, 0)).all()
    assert (made[:, :200] == levels(photo("cat").resize((400, 200)))[:, :200]).all()


def test_proportions_are_kept_or_not() -> None:
    white = Image.new("RGB", (400, 200), "white")
    box = (0, 0, 1, 0.5)  # 400 x 100
    kept = levels(find("paste")(white, other=GREEN, box=box).image)
    assert (kept[:100, 150:250] == (0, 255, 0)).all()
    assert (np.delete(kept[:100], np.s_[150:250], axis=1) == 255).all()
    stretched = levels(find("paste")(white, other=GREEN, box=box, fit="stretch").image)
    assert (stretched[:100] == (0, 255, 0)).all()
    assert (stretched[100:] == 255).all()


def test_pasting_what_a_mask_shows() -> None:
    mask = Image.new("L", (200, 100), 0)
    mask.paste(255, (20, 30, 60, 70))
    made = levels(find("paste")(GREEN, other=shapes(), box=(0, 0, 0.5, 0.5), mask=mask).image)
    assert (made[:50, :50] == (255, 0, 0)).all(), "the red square alone fills the box"
    assert (made[50:] == (0, 255, 0)).all()
    with pytest.raises(InvalidRequest, match=r"`mask`.*proportions"):
        find("paste")(GREEN, other=shapes(), box=(0, 0, 1, 1), mask=Image.new("L", (100, 100), 255))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "palette with transparency"])
def test_transparent_parts_are_left_out(mode: str) -> None:
    layer = Image.new("LA", (100, 100), (0, 0))
    layer.paste((0, 255), (0, 0, 100, 50))
    if mode != "LA":
        layer = layer.convert("RGBA")
    if mode == "P":
        layer = layer.quantize(4)
    if mode == "palette with transparency":
        layer = Image.new("P", (100, 100), 1)
        layer.putpalette([0, 0, 0, 255, 255, 255])
        layer.paste(0, (0, 0, 100, 50))
        layer.info["transparency"] = 1
    made = levels(find("paste")(GREEN, other=layer, box=(0, 0, 1, 1)).image)
    assert (made[:49] == 0).all()
    assert (made[51:] == (0, 255, 0)).all()


def test_a_cut_out_onto_another_photograph() -> None:
    coffee, rocket = photo("coffee"), photo("rocket")
    mask = find("segment")(coffee, box=(0.2, 0.08, 0.85, 0.97)).image
    box = (0.1, 0.5, 0.4, 1)
    one = find("paste")(rocket, other=find("cut_out")(coffee, mask=mask).image, box=box).image
    other = find("paste")(rocket, other=coffee, box=box, mask=mask).image
    assert abs(levels(one) - levels(other)).mean() < 0.5, "two ways to the same picture"
    assert (levels(one)[:200] == levels(rocket)[:200]).all()
    assert abs(levels(one)[214:427, 64:256] - levels(rocket)[214:427, 64:256]).mean() > 20


def test_side_by_side() -> None:
    result = find("side_by_side")(photo("cat"), other=photo("cat"), gap=0)
    assert result.image.size == (902, 300)
    assert (levels(result.image)[:, :451] == levels(photo("cat"))).all()
    assert (levels(result.image)[:, 451:] == levels(photo("cat"))).all()
    spaced = find("side_by_side")(shapes(), other=GREEN, gap=0.1).image
    assert spaced.size == (200 + 10 + 100, 100)
    assert (levels(spaced)[:, 200:210] == 255).all()
    assert spaced.getpixel((215, 50)) == (0, 255, 0)


def test_side_by_side_at_one_height() -> None:
    made = find("side_by_side")(photo("cat"), other=GREEN, gap=0).image
    assert made.size == (451 + 300, 300)
    assert (levels(made)[:, 452:] == (0, 255, 0)).all()
    huge = find("side_by_side")(Image.new("RGB", (6000, 1000), "red"), other=GREEN).image
    assert max(huge.size) <= 4200


def test_grids() -> None:
    colors = ["red", "lime", "blue", "black", "yellow"]
    result = find("grid")([Image.new("RGB", (50, 50), color) for color in colors], columns=3, cell=64, color="white")
    assert result.data == {"columns": 3, "rows": 2}
    places = [(2 + 66 * (at % 3) + 32, 2 + 66 * (at // 3) + 32) for at in range(6)]
    found = [result.image.getpixel(place) for place in places]
    assert found == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0), (255, 255, 0), (255, 255, 255)]
    assert result.image.size == (3 * 66 + 2, 2 * 66 + 2)
    wide = find("grid")([Image.new("RGB", (100, 20), "red"), GREEN], cell=100).image
    assert wide.getpixel((3 + 50, 3 + 50)) == (255, 0, 0)
    assert wide.getpixel((3 + 50, 3 + 10)) == (255, 255, 255), "proportions are kept"
    assert find("grid")([GREEN, GREEN], columns=12).data["columns"] == 2
