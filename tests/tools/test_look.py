"""Tools that look: judged by pixels and figures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from photos import levels, photo, shapes
from PIL import Image, ImageDraw, ImageFilter

from genllava.errors import InvalidRequest
from genllava_tools import find
from genllava_tools.figures import color_name

FACE = (0.35, 0.05, 0.55, 0.4)


def test_a_crop_is_those_pixels() -> None:
    astronaut = photo("astronaut")
    result = find("crop")(astronaut, box=FACE)
    assert (levels(result.image) == levels(astronaut)[26:205, 179:282]).all()
    assert "103x179" in result.text
    assert find("crop")(astronaut, box=(0, 0, 1, 1)).image.tobytes() == astronaut.tobytes()


def test_zooming_in_enlarges_those_pixels() -> None:
    astronaut = photo("astronaut")
    result = find("zoom_in")(astronaut, box=FACE, label="the face")
    assert max(result.image.size) == 768
    assert "(the face)" in result.text
    part = astronaut.crop((179, 26, 282, 205))
    back = result.image.resize(part.size, Image.Resampling.BOX)
    assert abs(levels(back) - levels(part)).mean() < 2.5
    tiny = find("zoom_in")(astronaut, box=(0, 0, 0.02, 0.02)).image
    assert tiny.size == (80, 80), "no more than eight times"
    whole = find("zoom_in")(astronaut.resize((2000, 2000)), box=(0, 0, 1, 1)).image
    assert whole.size == (2000, 2000), "never made smaller"


def test_measures() -> None:
    found = find("measure")(photo("coffee")).data
    assert (found["width"], found["height"], found["aspect"]) == (600, 400, 1.5)
    np.testing.assert_allclose(found["mean_color"], levels(photo("coffee")).reshape(-1, 3).mean(0), atol=0.51)
    flat = find("measure")(Image.new("RGB", (30, 20), "white")).data
    assert (flat["brightness"], flat["contrast"], flat["sharpness"]) == (1.0, 0.0, 0.0)
    halves = Image.new("L", (40, 20), 0)
    halves.paste(255, (0, 0, 20, 20))
    assert find("measure")(halves).data["contrast"] == 1.0
    cat = photo("cat")
    blurred = cat.filter(ImageFilter.GaussianBlur(3))
    assert find("measure")(blurred).data["sharpness"] < 0.3 * find("measure")(cat).data["sharpness"]


@pytest.mark.parametrize(
    ("end", "distance", "angle"), [((1, 0), 200, 0), ((0, 1), 100, 90), ((1, 1), math.hypot(200, 100), 26.57)]
)
def test_distances(end: tuple[float, float], distance: float, angle: float) -> None:
    result = find("measure")(shapes(), start=(0, 0), end=end)
    assert result.data["distance"] == pytest.approx(distance, abs=0.01)
    assert result.data["angle"] == pytest.approx(angle, abs=0.01)
    assert f"{result.data['distance']:g} pixels" in result.text


def test_the_palette_of_a_drawing_is_exact() -> None:
    colors = find("palette")(shapes(), count=5).data["colors"]
    assert [(each["color"], each["name"], each["share"]) for each in colors] == [
        ("#ffffff", "white", 0.9),
        ("#ff0000", "red", 0.08),
        ("#0000ff", "blue", 0.02),
    ]


def test_the_palette_of_a_photograph() -> None:
    result = find("palette")(photo("coffee"), count=6)
    colors = result.data["colors"]
    assert sum(each["share"] for each in colors) == pytest.approx(1, abs=0.01)
    assert [each["share"] for each in colors] == sorted((each["share"] for each in colors), reverse=True)
    assert {"brown", "dark red"} & {each["name"] for each in colors}
    assert all(each["color"] in result.text for each in colors)
    assert len(find("palette")(photo("coffee"), count=1).data["colors"]) == 1


def test_names_of_colours() -> None:
    said = {
        (255, 0, 0): "red", (0, 0, 255): "blue", (0, 128, 0): "green", (255, 255, 0): "yellow", (0, 0, 0): "black",
        (255, 255, 255): "white", (128, 128, 128): "gray", (255, 165, 0): "orange", (139, 69, 19): "brown",
        (255, 192, 203): "pink", (128, 0, 128): "purple", (0, 0, 128): "dark blue", (135, 206, 250): "light blue",
    }  # fmt: skip
    assert {color: color_name(color) for color in said} == said


def test_histograms() -> None:
    result = find("histogram")(shapes())
    assert result.data["red"]["mean"] == pytest.approx(levels(shapes())[:, :, 0].mean(), abs=0.01)
    assert (result.data["red"]["median"], result.data["green"]["p05"]) == (255, 0)
    assert result.data["white_share"] == pytest.approx((0.98 + 0.9 + 0.92) / 3, abs=1e-4)
    dark = find("histogram")(photo("rocket")).data
    assert dark["blue"]["mean"] > dark["red"]["mean"], "a photograph at dusk"
    assert len(np.unique(levels(result.image).reshape(-1, 3), axis=0)) > 3, "drawn in three colours"


def test_comparing() -> None:
    astronaut = photo("astronaut")
    same = find("compare")(astronaut, other=astronaut)
    assert same.data["same"] is True
    assert (same.data["mean_difference"], same.data["psnr"], same.data["ssim"]) == (0, None, 1.0)
    assert not levels(same.image).any()
    changed = astronaut.copy()
    changed.paste((0, 255, 0), (128, 256, 192, 320))
    result = find("compare")(astronaut, other=changed)
    assert result.data["changed_box"] == pytest.approx((0.25, 0.5, 0.375, 0.625), abs=0.005)
    assert result.data["changed_share"] == pytest.approx(1 / 64, abs=0.001)
    outside = levels(result.image)
    outside[256:320, 128:192] = 0
    assert not outside.any()
    assert levels(result.image)[256:320, 128:192].min() > 16
    squared = ((levels(astronaut) - levels(changed)) ** 2).mean()
    assert result.data["psnr"] == pytest.approx(10 * math.log10(255**2 / squared), abs=0.01)


def test_comparing_pictures_of_other_sizes() -> None:
    astronaut = photo("astronaut")
    result = find("compare")(astronaut, other=astronaut.resize((256, 256), Image.Resampling.LANCZOS))
    assert "resized from 256x256" in result.text
    assert result.data["ssim"] > 0.9
    with pytest.raises(InvalidRequest, match="crop or resize"):
        find("compare")(astronaut, other=photo("coffee"))


def test_counting_drawn_things() -> None:
    made = Image.new("RGB", (400, 300), (240, 240, 220))
    pen = ImageDraw.Draw(made)
    for place in range(7):
        x, y = 30 + place % 4 * 90, 40 + place // 4 * 120
        pen.ellipse((x, y, x + 50, y + 50), fill=("red", "blue", "green", "black")[place % 4])
    result = find("count_objects")(made)
    assert result.data["count"] == 7
    assert "7 separate things" in result.text
    first = min(result.data["boxes"], key=lambda box: box[0] + box[1])
    assert first == pytest.approx((30 / 400, 40 / 300, 81 / 400, 91 / 300), abs=0.004)
    ring = Image.new("RGB", (100, 100), "white")
    ImageDraw.Draw(ring).ellipse((10, 10, 90, 90), outline="red", width=6)
    ImageDraw.Draw(ring).ellipse((40, 40, 60, 60), fill="red")
    assert find("count_objects")(ring).data["count"] == 1, "a ring is a thing, with what lies in it"
    assert find("count_objects")(Image.new("RGB", (100, 100), "teal")).data == {"count": 0, "boxes": []}
    assert "1 separate thing on" in find("count_objects")(ring).text


def test_counting_coins_in_uneven_light() -> None:
    result = find("count_objects")(photo("coins"))
    assert result.data["count"] == 24, "four rows of six"
    assert len(result.data["boxes"]) == 24
    assert "simple way" in result.text


def test_edges() -> None:
    edges = find("edge_map")(shapes()).image
    assert edges.mode == "L"
    assert set(np.unique(levels(edges))) == {0, 255}
    rows, columns = np.nonzero(levels(edges))
    near = [min(abs(column - x) for x in (20, 60, 150, 170)) <= 1 or min(abs(row - y) for y in (30, 70, 40, 60)) <= 1
            for row, column in zip(rows, columns, strict=True)]  # fmt: skip
    assert len(near) > 200
    assert all(near)
    nothing = find("edge_map")(Image.new("RGB", (50, 50), "red"))
    assert nothing.data["share"] == 0
    assert "lower" in nothing.text
    more, fewer = (find("edge_map")(photo("coffee"), low=low, high=2 * low).data["share"] for low in (50, 200))
    assert more > 1.5 * fewer


@pytest.mark.slow
def test_comparing_large_pictures() -> None:
    large = photo("astronaut").resize((3000, 3000))
    changed = large.copy()
    changed.paste((0, 255, 0), (750, 1500, 1500, 2250))
    result = find("compare")(large, other=changed)
    assert "compared at 2048x2048" in result.text
    assert result.data["changed_box"] == pytest.approx((0.25, 0.5, 0.5, 0.75), abs=0.002)
    again = find("compare")(large, other=large)
    assert again.data["same"]
    assert (again.data["changed_share"], again.data["changed_box"]) == (0, None)


def test_edges_of_a_large_photograph_are_seen() -> None:
    small, large = (find("edge_map")(photo("coffee").resize(size)) for size in ((1200, 800), (4800, 3200)))
    assert large.image.size == (4800, 3200)
    assert large.data["share"] > 0.4 * small.data["share"] > 0.005


def test_pictures_that_are_the_same_but_for_their_size() -> None:
    result = find("compare")(Image.new("RGB", (60, 40), "teal"), other=Image.new("RGB", (90, 60), "teal"))
    assert (result.data["same"], result.data["changed_share"], result.data["psnr"]) == (False, 0, None)
    assert "resized from 90x60" in result.text
