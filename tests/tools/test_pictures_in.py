"""What comes into tools: pictures of every mode and size, and masks."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from photos import in_mode, levels, photo, shapes
from PIL import Image, ImageFilter

from genllava.errors import GenLlavaError, ImageRejected, InvalidRequest
from genllava_tools import find
from genllava_tools.pictures import mask_image, mask_in
from genllava_tools.registry import built_in
from genllava_tools.tool import VisualTool, takes_several

MODES = ("RGB", "L", "1", "P", "CMYK", "YCbCr", "LAB", "HSV", "RGBA", "LA", "I;16", "I", "I, 16 bits", "animation")
BOX = (0.25, 0.25, 0.75, 0.75)
WHITE_BOX = Image.new("L", (320, 213), 0)
WHITE_BOX.paste(255, (80, 53, 240, 160))
ARGUMENTS: dict[str, dict[str, Any]] = {
    "zoom_in": {"box": BOX}, "crop": {"box": BOX}, "segment": {"point": (0.5, 0.5), "tolerance": 0.3},
    "resize": {"width": 100}, "rotate": {"angle": 30}, "pad": {"left": 0.1}, "adjust": {"contrast": 1.2},
    "pixelate": {"box": BOX}, "remove_object": {"box": BOX}, "cut_out": {"mask": WHITE_BOX},
    "draw_boxes": {"boxes": [BOX]}, "draw_points": {"points": [BOX[:2]]},
    "draw_arrow": {"start": BOX[:2], "end": BOX[2:]}, "add_text": {"text": "hello"}, "highlight": {"box": BOX},
    "paste": {"box": BOX}, "upscale": {"method": "simple"},
}  # fmt: skip
"""What each tool needs besides pictures."""
WITHOUT_MODELS = [tool for tool in built_in() if not tool.needs]
"""The tools that run wherever this package does; those of models share the door that pictures come in by."""


def called(tool: VisualTool, image: Image.Image, **more: Any) -> Any:
    """The result of a tool where all of its pictures are this one."""
    required = [name for name in tool.pictures if name in tool.schema()["required"] and name != "mask"]
    pictures = {name: [image, image] if takes_several(tool, name) else image for name in required}
    return tool.run({**ARGUMENTS.get(tool.name, {}), **pictures, **more})


@pytest.mark.parametrize("mode", MODES)
def test_no_mode_makes_a_picture_black_or_breaks_a_tool(mode: str) -> None:
    coffee = photo("coffee").resize((320, 213))
    given = in_mode(coffee, mode)
    plain = coffee.convert("L").convert("RGB") if mode in ("L", "LA", "I;16", "I", "I, 16 bits") else coffee
    for tool in WITHOUT_MODELS:
        if mode == "1" and tool.name == "remove_background":
            continue  # there are no colours to tell an object by
        result = called(tool, given)
        if mode == "animation":
            assert "only its first frame is used" in result.text, tool.name
        for image in result.images:
            if tool.name not in ("edge_map", "segment", "compare"):
                assert np.asarray(image.convert("L")).std() > 8, (tool.name, mode)
    if mode in ("L", "LA", "I;16", "I", "I, 16 bits", "RGB", "RGBA"):
        same = find("crop")(given, box=(0, 0, 1, 1)).image
        assert abs(levels(same) - levels(plain)).max() <= 1
    assert find("edge_map")(given).data["share"] > 0.02


def test_a_tool_leaves_what_it_is_given_as_it_is() -> None:
    coffee = photo("coffee").resize((320, 213))
    before = coffee.tobytes()
    for tool in WITHOUT_MODELS:
        called(tool, coffee)
        assert coffee.tobytes() == before, tool.name


def test_the_same_call_gives_the_same_result() -> None:
    coffee = photo("coffee").resize((320, 213))
    for tool in WITHOUT_MODELS:
        first, second = called(tool, coffee), called(tool, coffee)
        assert (first.text, first.data) == (second.text, second.data)
        assert [image.tobytes() for image in first.images] == [image.tobytes() for image in second.images], tool.name


def test_floats_are_refused() -> None:
    with pytest.raises(ImageRejected, match=r"`image`.*floating"):
        find("grayscale")(Image.new("F", (8, 8)))


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_no_pixels(size: tuple[int, int]) -> None:
    for tool in WITHOUT_MODELS:
        with pytest.raises(ImageRejected, match="no pixels"):
            called(tool, Image.new("RGB", size))


def test_too_many_pixels() -> None:
    with pytest.raises(ImageRejected, match=r"`other`.*smaller"):
        find("paste")(shapes(), Image.new("L", (10_000, 10_000)), box=BOX)
    with pytest.raises(ImageRejected, match="too long and thin"):
        find("crop")(Image.new("L", (10_000, 10)), box=BOX)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 7), (10_000, 1_000)])
def test_tiny_and_large_pictures_work_or_say_why_not(size: tuple[int, int]) -> None:
    image = Image.effect_noise(size, 90).convert("RGB")
    mask = Image.new("L", size, 255)
    for tool in WITHOUT_MODELS:
        more = {"mask": mask} if tool.name == "cut_out" else {}
        if size[0] > 1000 and tool.name in ("compare", "grid"):
            continue  # two of them: seconds each
        with contextlib.suppress(InvalidRequest):  # and nothing else
            assert called(tool, image, **more).text


@pytest.mark.parametrize("value", ["image_2", "https://example.org/a.png", "/etc/hostname", b"\x89PNG", 3, [1]])
def test_only_pictures_are_pictures(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="`image` must be a picture"):
        find("grayscale")(value)
    with pytest.raises(InvalidRequest, match="`image` must be a picture"):
        find("grayscale")([shapes()])
    with pytest.raises(InvalidRequest, match=r"`images\[1\]`"):
        find("grid")([shapes(), value])


def test_a_list_of_pictures_is_a_list() -> None:
    for value in (shapes(), [shapes()], [shapes()] * 37):
        with pytest.raises(InvalidRequest, match="`images`"):
            find("grid")(value)


MASKS = ("blur", "cut_out", "remove_object", "highlight")


@pytest.mark.parametrize("name", MASKS)
def test_masks_that_are_none(name: str) -> None:
    tool, image = find(name), photo("cat")
    wrong: list[tuple[Image.Image, str]] = [
        (Image.new("L", (300, 451), 255), "300x451.*451x300.*segment"),
        (Image.new("L", (451, 200), 255), "proportions"),
        (Image.new("L", image.size, 0), "empty"),
        (Image.new("L", image.size, 127), "empty"),
        (photo("coffee").resize(image.size), "coloured picture and not a mask.*segment"),
    ]
    for mask, said in wrong:
        with pytest.raises(InvalidRequest, match=f"`mask`.*{said}|`mask` is {said}"):
            tool(image=image, mask=mask)
    with pytest.raises(ImageRejected, match=r"`mask`.*no pixels"):
        tool(image=image, mask=Image.new("L", (0, 0)))


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGB", "I;16", "LA"])
def test_masks_of_every_mode(mode: str) -> None:
    cat, mask = photo("cat"), Image.new("L", (451, 300), 0)
    mask.paste(255, (100, 50, 300, 200))
    made = mask_in(in_mode(mask, mode), "mask", cat)
    assert (made.mode, made.size, set(np.unique(np.asarray(made)))) == ("L", cat.size, {0, 255})
    assert made.getbbox() == (100, 50, 300, 200)


def test_what_is_transparent_in_a_mask_is_no_part_of_the_region() -> None:
    """A paint program's mask, of white strokes on a layer with nothing else, meant the whole picture."""
    cat, mask = photo("cat"), Image.new("RGBA", (451, 300), (0, 0, 0, 0))
    mask.paste((255, 255, 255, 255), (100, 50, 300, 200))
    assert mask_in(mask, "mask", cat).getbbox() == (100, 50, 300, 200)
    with pytest.raises(InvalidRequest, match="`mask` is empty"):
        mask_in(Image.new("RGBA", (451, 300), (255, 255, 255, 0)), "mask", cat)


def test_what_becomes_of_transparency_is_said() -> None:
    clear = Image.new("RGBA", (80, 40), (255, 0, 0, 0))
    clear.paste((0, 0, 255, 255), (20, 10, 60, 30))
    said = "(image: what is transparent in it counts as white.)"
    assert said in find("grayscale")(clear).text
    assert said in find("measure")(clear).text
    assert said not in find("flip")(clear).text, "it is kept"
    assert said not in find("grayscale")(clear.convert("RGB").convert("RGBA")).text, "nothing is transparent"
    assert find("flip")(clear.convert("RGB").convert("RGBA")).image.mode == "RGB"


def test_masks_of_another_scale() -> None:
    cat = photo("cat")
    for size in ((902, 600), (226, 150), (225, 150), (45, 30)):
        mask = Image.new("L", size, 0)
        mask.paste(255, (0, 0, size[0] // 2, size[1]))
        made = mask_in(mask, "mask", cat)
        assert made.size == cat.size
        assert abs(float((levels(made) > 0).mean()) - 0.5) < 0.02


def test_soft_masks_are_cut_in_their_middle() -> None:
    mask = mask_image(np.arange(100)[None].repeat(50, 0) >= 50).filter(ImageFilter.GaussianBlur(4))
    made = mask_in(mask, "mask", Image.new("RGB", (100, 50)))
    assert made.getbbox() == (50, 0, 100, 50)


def test_every_error_says_what_to_do() -> None:
    image, nothing = photo("cat"), Image.new("L", (451, 300), 0)
    for name, arguments in (
        ("blur", {"box": BOX, "mask": WHITE_BOX.resize(image.size)}), ("remove_object", {}), ("highlight", {}),
        ("segment", {}), ("segment", {"box": BOX, "point": (0.5, 0.5)}), ("segment", {"box": (0, 0, 1, 1)}),
        ("resize", {}), ("pad", {}), ("adjust", {}), ("measure", {"start": (0, 0)}),
        ("draw_boxes", {"boxes": [BOX], "labels": ["a", "b"]}), ("draw_arrow", {"start": (0, 0), "end": (0, 0)}),
        ("edge_map", {"low": 300, "high": 100}), ("add_text", {"text": "  "}), ("add_text", {"text": "\U0001f600"}),
        ("compare", {"other": shapes()}), ("cut_out", {"mask": nothing}), ("remove_object", {"box": (0, 0, 1, 1)}),
    ):  # fmt: skip
        with pytest.raises(GenLlavaError, match=r"give|need|:|either") as caught:
            find(name)(image=image, **arguments)  # type: ignore[arg-type]
        assert isinstance(caught.value, InvalidRequest), name
        assert len(str(caught.value)) > 30
