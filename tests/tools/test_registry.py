"""Declaring tools, finding and calling them, and what is said where that cannot be."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from photos import photo, shapes
from PIL import Image
from pydantic import Field

import genllava_tools
from genllava.errors import GenLlavaError, InvalidRequest
from genllava_tools import (
    ToolDeclarationError,
    ToolFailed,
    ToolNameTaken,
    ToolResult,
    ToolUnavailable,
    UnknownTool,
    available,
    find,
    tools,
    unavailable,
    visual_tool,
)
from genllava_tools.arguments import Box, Picture
from genllava_tools.registry import built_in
from genllava_tools.tool import Need, package

PACKAGE = Path(genllava_tools.__file__).parent
LOOK = {"zoom_in", "crop", "measure", "palette", "histogram", "compare", "count_objects", "segment", "edge_map"}
CHANGE = {
    "resize", "rotate", "flip", "pad", "adjust", "grayscale", "blur", "pixelate", "remove_background", "cut_out",
    "paste", "side_by_side", "grid", "upscale", "remove_object",
}  # fmt: skip
MARK = {"draw_boxes", "draw_points", "draw_arrow", "add_text", "highlight"}


def test_the_tools_that_there_are() -> None:
    for kind, names in (("look", LOOK), ("change", CHANGE), ("mark", MARK)):
        assert {tool.name for tool in built_in() if tool.kind == kind} >= names
    assert len({tool.name for tool in tools()}) == len(tools())
    assert find("crop") in tools(["look"])
    assert find("crop") not in tools(["change", "mark"])


def test_importing_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'cv2', 'skimage', 'scipy', 'langchain_core', 'numpy', 'PIL', 'transformers'}"
    check = f"import sys, genllava_tools; assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    lazily = "{'torch', 'cv2', 'skimage', 'langchain_core', 'transformers', 'diffusers'}"
    listed = f"assert genllava_tools.tools(); assert not {lazily} & set(sys.modules), {lazily} & set(sys.modules)"
    code = f"import sys; sys.path[:0] = [{str(PACKAGE.parent)!r}, {str(PACKAGE.parents[1])!r}]; {check}; {listed}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_modules_are_small_and_without_circles() -> None:
    modules = {f"genllava_tools.{path.stem}": path for path in PACKAGE.glob("*.py") if path.stem != "__init__"}
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 400, name
        found = {node.module or "" for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
        graph[name] = found & modules.keys()
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(modules)


def test_a_tool_of_ones_own(own_tools: None) -> None:
    @visual_tool(kind="change")
    def invert(
        image: Picture, strength: Annotated[float, Field(ge=0, le=1, description="1 is all of it.")] = 1.0
    ) -> tuple[Image.Image, str]:
        """Turn light into dark."""
        pixels = np.asarray(image).astype(float)
        return Image.fromarray((pixels + strength * (255 - 2 * pixels)).astype(np.uint8)), "Inverted."

    assert find("invert") is invert
    assert (invert.kind, invert.description, invert.pictures) == ("change", "Turn light into dark.", ("image",))
    result = invert(shapes())
    assert result.text == "Inverted."
    assert result.image.getpixel((0, 0)) == (0, 0, 0)
    assert result.image.getpixel((30, 40)) == (0, 255, 255)
    assert invert(image=shapes(), strength=0).image.getpixel((0, 0)) == (255, 255, 255)
    assert invert not in built_in()


def test_what_functions_may_return(own_tools: None) -> None:
    picture = Image.new("RGB", (4, 4))
    given: list[tuple[Any, tuple[str, int, dict[str, Any]]]] = [
        (picture, ("Done.", 1, {})),
        ((picture, "made"), ("made", 1, {})),
        ("seen", ("seen", 0, {})),
        ({"count": 3}, ('{"count": 3}', 0, {"count": 3})),
        (("three", {"count": 3}), ("three", 0, {"count": 3})),
        ([picture, picture], ("Done.", 2, {})),
        (ToolResult("as it is", (picture,), {"a": 1}), ("as it is", 1, {"a": 1})),
    ]
    for place, (_, wanted) in enumerate(given):

        def returns(image: Picture) -> Any:
            """Give it."""
            return given[int(returns.__name__[-1])][0]

        returns.__name__ = f"returns_{place}"
        result = visual_tool(kind="look")(returns)(picture)
        assert (result.text, len(result.images), result.data) == wanted
    with pytest.raises(InvalidRequest, match="makes no picture"):
        _ = ToolResult("words").image


def test_names_are_unique(own_tools: None) -> None:
    def crop(image: Picture) -> Image.Image:
        """Another one."""
        return image

    with pytest.raises(ToolNameTaken, match="another name"):
        visual_tool(kind="look")(crop)
    tool = visual_tool(kind="look", name="crop_all")(crop)
    assert find("crop_all") is tool
    with pytest.raises(ToolNameTaken):
        visual_tool(kind="look", name="crop_all")(crop)


def test_a_cell_that_is_run_twice(own_tools: None) -> None:
    source = '''
def brighten(image: Picture) -> Image.Image:
    """Number %d."""
    return image
'''
    for number in (1, 2):
        names: dict[str, Any] = {"Picture": Picture, "Image": Image, "__name__": "__main__"}
        exec(source % number, names)
        visual_tool(kind="change")(names["brighten"])
    assert find("brighten").description == "Number 2."


def no_docstring(image: Picture) -> Image.Image:
    return image


def no_type(image) -> Image.Image:  # type: ignore[no-untyped-def]
    """It."""


def no_description(image: Picture, count: Annotated[int, Field(ge=0, le=3)]) -> Image.Image:
    """It."""
    return image


def no_bounds(image: Picture, count: Annotated[int, Field(ge=0, description="How many.")]) -> Image.Image:
    """It."""
    return image


def endless_text(image: Picture, text: Annotated[str, Field(description="Words.")]) -> Image.Image:
    """It."""
    return image


def endless_list(image: Picture, boxes: Annotated[list[Box], Field(description="Boxes.")]) -> Image.Image:
    """It."""
    return image


def a_path(image: Picture, path: Annotated[Path, Field(description="Of a file.")]) -> Image.Image:
    """It."""
    return image


def some_bytes(image: Picture, data: Annotated[bytes, Field(max_length=3, description="Them.")]) -> Image.Image:
    """It."""
    return image


def anything(image: Picture, thing: Annotated[Any, Field(description="Whatever.")]) -> Image.Image:
    """It."""
    return image


def bare_picture(image: Annotated[Image.Image, Field(description="It.")]) -> Image.Image:
    """It."""
    return image


def box_of_nothing(box: Box) -> str:
    """It."""
    return ""


def any_number(image: Picture, **more: Any) -> Image.Image:
    """It."""
    return image


def unreadable(image: Picture, mode: Nowhere) -> Image.Image:  # type: ignore[name-defined]  # noqa: F821
    """It."""
    return image


REFUSED = {
    no_docstring: "docstring", no_type: "no type", no_description: "description", no_bounds: "bounds",
    endless_text: "longest length", endless_list: "greatest number", a_path: "a path", some_bytes: "cannot give",
    anything: "cannot give", bare_picture: "Picture", box_of_nothing: "`image`", any_number: "name",
    unreadable: "cannot be read",
}  # fmt: skip


@pytest.mark.parametrize("function", REFUSED, ids=lambda function: function.__name__)
def test_functions_that_models_could_not_call(function: Any) -> None:
    with pytest.raises(ToolDeclarationError, match=REFUSED[function]):
        visual_tool(kind="look")(function)
    with pytest.raises(UnknownTool):
        find(function.__name__)


def test_kinds_are_few() -> None:
    with pytest.raises(ToolDeclarationError, match="kind"):
        visual_tool(kind="other", name="other_kind")(find("crop").function)  # type: ignore[arg-type]
    with pytest.raises(ToolDeclarationError, match="small letters"):
        visual_tool(kind="look", name="Crop it")(find("crop").function)


def test_a_name_that_there_is_not() -> None:
    with pytest.raises(UnknownTool, match="use grayscale or"):
        find("greyscale")
    with pytest.raises(UnknownTool, match="there are zoom_in, crop, "):
        find("teleport")


def test_a_box_in_words_is_told_to_be_a_list() -> None:
    """It was told to be a tuple, which no model and no client can give."""
    for value in ("0,0,1,1", {"left": 0}):
        with pytest.raises(InvalidRequest, match="crop: `box` must be a list"):
            find("crop")(Image.new("RGB", (8, 8)), box=value)


def test_a_tool_without_its_package(own_tools: None) -> None:
    weights: list[str] = []
    extra = package("no_such_package", "pip install 'genllava[ocr]'")
    file = Need("its weights", "download them", lambda: bool(weights))

    @visual_tool(kind="look", needs=(extra, file))
    def read_words(image: Picture) -> str:
        """Read."""
        return ""

    assert read_words in tools()
    assert read_words not in available()
    assert unavailable()["read_words"] == read_words.missing
    assert "\n" not in read_words.missing
    with pytest.raises(ToolUnavailable, match=r"pip install 'genllava\[ocr\]'.*download them"):
        read_words(shapes())
    weights.append("there")
    assert "weights" not in read_words.missing


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "missing": ("crop", {}, "`box` is missing"),
    "unknown": ("crop", {"bbox_2d": [0, 0, 1, 1], "box": (0, 0, 1, 1)}, "no argument `bbox_2d`: it takes image, box"),
    "of another type": ("rotate", {"angle": "a lot"}, "`angle`"),
    "too large": ("rotate", {"angle": 361}, "`angle`.*360"),
    "not a number": ("rotate", {"angle": float("nan")}, "`angle`.*finite"),
    "endless": ("adjust", {"brightness": float("inf")}, "`brightness`"),
    "no choice": ("flip", {"direction": "sideways"}, "`direction`.*horizontal"),
    "no colour": ("pad", {"left": 0.1, "color": "reddish"}, "`color`.*#rrggbb"),
    "too many": ("draw_points", {"points": [(0.5, 0.5)] * 101}, "`points`.*100"),
    "none": ("draw_boxes", {"boxes": []}, "`boxes`.*1"),
    "nested": ("draw_boxes", {"boxes": [(0, 0, 1, 1), (0, 0, 2, 1)]}, r"`boxes` \(item 1\).*outside"),
}


@pytest.mark.parametrize("how", WRONG)
def test_arguments_that_are_wrong(how: str) -> None:
    name, arguments, said = WRONG[how]
    with pytest.raises(InvalidRequest, match=said) as caught:
        find(name)(image=shapes(), **arguments)
    assert str(caught.value).startswith(f"{name}: ")
    assert "pydantic" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_arguments_by_place() -> None:
    assert find("crop")(shapes(), (0, 0, 0.5, 1)).image.size == (100, 100)
    with pytest.raises(InvalidRequest, match="twice"):
        find("crop")(shapes(), image=shapes(), box=(0, 0, 1, 1))
    with pytest.raises(InvalidRequest, match="takes 2"):
        find("crop")(shapes(), (0, 0, 1, 1), 3)


def test_what_a_model_leaves_empty_is_not_given() -> None:
    assert find("zoom_in")(image=shapes(), box=[0, 0, 1, 1], label=None).images


def test_a_defect_of_a_tool_is_not_taken_for_a_wrong_argument(own_tools: None) -> None:
    @visual_tool(kind="look")
    def breaks(image: Picture, how: Annotated[Literal["a", "b"], Field(description="How.")] = "a") -> Any:
        """Break."""
        return 1 / 0 if how == "a" else 3

    with pytest.raises(ToolFailed, match="no fault of its arguments") as caught:
        breaks(shapes())
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert not isinstance(caught.value, InvalidRequest)
    with pytest.raises(ToolFailed, match="returned a int"):
        breaks(shapes(), how="b")


def test_a_picture_that_is_far_too_large(own_tools: None) -> None:
    class Huge(Image.Image):
        """As large as it says, without the memory."""

        size = (20_000, 20_000)
        width = height = 20_000

    @visual_tool(kind="change")
    def enlarge(image: Picture) -> Image.Image:
        """Make it huge."""
        return Huge()

    with pytest.raises(InvalidRequest, match=r"20000x20000.*smaller"):
        enlarge(shapes())
    for name, arguments in (
        ("resize", {"width": 20_000, "height": 20_000}),
        ("resize", {"width": 20_000}),
        ("upscale", {"factor": 8}),
        ("pad", {"left": 4, "right": 4, "top": 4, "bottom": 4}),
    ):
        large = photo("coffee").resize((3000, 2000))
        with pytest.raises(InvalidRequest, match="smaller"):
            find(name)(large, **arguments)


def test_errors_are_of_one_family() -> None:
    for error in (ToolDeclarationError, ToolFailed, ToolNameTaken, ToolUnavailable, UnknownTool):
        assert issubclass(error, GenLlavaError)
    assert issubclass(UnknownTool, InvalidRequest)
