"""What goes wrong with tools in an agent: each time one step that says what to do instead, and nothing is lost."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from photos import in_mode, levels, photo
from PIL import Image
from pydantic import Field
from script import Follows, calls

from genllava.errors import CheckpointError, ImageRejected, InvalidRequest, NonFiniteError
from genllava_agent import VisualAgent
from genllava_agent.create import as_tools
from genllava_tools import as_langchain, find, visual_tool, visual_tools
from genllava_tools.arguments import Picture
from genllava_tools.tool import package

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline


def agent(pipeline: GenLlavaPipeline, *script: Any, tools: Any = None) -> VisualAgent:
    tools = visual_tools() if tools is None else tools
    decider = Follows(script=list(script))
    return VisualAgent(pipeline, store=":memory:", decider=decider, tools=tools, check_claims=False)


def told(made: VisualAgent) -> list[str]:
    model: Any = made._decider
    return [message.text for message in model.heard[-1] if isinstance(message, ToolMessage)]


@pytest.fixture(scope="module")
def cat() -> Image.Image:
    return photo("cat")


def mask(size: tuple[int, int], box: tuple[int, int, int, int] | None = None) -> Image.Image:
    made = Image.new("L", size)
    if box is not None:
        made.paste(255, box)
    return made


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {  # the tool, its arguments beside `image`, what is said
    "outside": ("crop", {"box": [0.5, 0.5, 1.5, 1]}, "lies outside of the picture"),
    "upside down": ("crop", {"box": [0.5, 0.9, 0.7, 0.1]}, "upside down"),
    "no pixels": ("resize", {"width": 0}, "greater than or equal to 1"),
    "too many pixels": ("resize", {"width": 10_000, "height": 10_000}, "at most 40,000,000"),
    "not a number": ("rotate", {"angle": math.nan}, "finite number"),
    "another argument": ("crop", {"box": [0, 0, 1, 1], "size": 3}, "has no argument 'size'"),
    "a path": ("crop", {"box": [0, 0, 1, 1], "image": "/etc/passwd"}, "must be one of image_1"),
    "another thread's": ("crop", {"box": [0, 0, 1, 1], "image": "image_7"}, "must be one of image_1"),
    "a mask of another size": ("blur", {"mask": "image_2"}, "a mask has the proportions of its picture"),
    "an empty mask": ("blur", {"mask": "image_3"}, "is empty"),
    "a photograph as a mask": ("cut_out", {"mask": "image_1"}, "is a coloured picture and not a mask"),
    "a box and a mask": ("remove_object", {"mask": "image_4", "box": [0, 0, 0.5, 0.5]}, "either `box` or `mask`"),
}


@pytest.mark.parametrize("how", WRONG)
def test_wrong_arguments_are_told_and_mended(pipeline: GenLlavaPipeline, cat: Image.Image, how: str) -> None:
    name, arguments, says = WRONG[how]
    right = calls(("crop", {"image": "image_1", "box": [0, 0, 0.5, 1]}))
    made = agent(pipeline, calls((name, {"image": "image_1", **arguments})), right, "Done.")
    given = [cat, mask((50, 50), (0, 0, 9, 9)), mask(cat.size), mask(cat.size, (0, 0, 90, 90))]
    reply = made("do it", images=given)
    model: Any = made._decider
    heard = [message.text for message in model.heard[1] if isinstance(message, ToolMessage)]
    assert says in heard[-1]
    assert reply.text == "Done."
    assert reply.steps[-2].outcome == "ok"
    assert (levels(reply.image) == levels(cat.crop((0, 0, reply.image.width, 300)))).all()
    assert len(reply.thread.images) == 5, "the pictures that came in, and the one that was made"


@pytest.mark.parametrize("mode", ["CMYK", "I;16", "P", "LA", "RGBA", "1", "animation"])
def test_pictures_of_any_mode_come_in(pipeline: GenLlavaPipeline, mode: str) -> None:
    picture = in_mode(photo("coffee").resize((60, 40)), mode)
    made = agent(pipeline, calls(("edge_map", {"image": "image_1"}), ("flip", {"image": "image_1"})), "Done.")
    reply = made("show its edges", images=[picture])
    assert [step.outcome for step in reply.steps] == ["ok", "ok", "ok"], [step.text for step in reply.steps]
    alone = find("edge_map")(in_mode(photo("coffee").resize((60, 40)), mode)).image
    assert (levels(reply.images[0].image.convert("L")) == levels(alone)).all()
    assert levels(reply.images[0].image).max() == 255, "not black"


def test_a_picture_of_another_thread_is_not_taken(pipeline: GenLlavaPipeline, cat: Image.Image) -> None:
    made = agent(pipeline, "Nice.", "Hello.")
    other = made("look", images=[cat]).thread
    thread = made.thread()
    with pytest.raises(ImageRejected, match="is in a thread"):
        thread("crop it", images=[other.images["image_1"]])
    assert thread.history() == []
    assert thread("hello").text == "Hello."


def test_a_tool_without_what_it_needs(pipeline: GenLlavaPipeline, cat: Image.Image, own_tools: None) -> None:
    @visual_tool(kind="look", needs=[package("no_such_package", "pip install no-such-package")])
    def look_far(image: Picture) -> str:
        """Look far."""
        raise AssertionError("called")

    made = agent(pipeline, calls(("look_far", {"image": "image_1"})), "Install it.", tools=[as_langchain(look_far)])
    reply = made("look", images=[cat])
    assert (reply.steps[0].outcome, reply.steps[0].fate) == ("error", "final")
    assert "pip install no-such-package" in reply.steps[0].text
    assert "Calling it again changes nothing" in told(made)[0]
    assert "look_far" not in {each.name for each in visual_tools()}, "and by itself it is not offered"


@pytest.mark.parametrize(
    ("error", "fate"),
    [
        (CheckpointError("my/depth is a classifier and estimates no depth: choose another with use_model"), "final"),
        (NonFiniteError("the weights give NaN: download them again"), "final"),
        (RuntimeError("a defect"), "defect"),
    ],
    ids=["another task", "NaN", "a defect"],
)
def test_what_no_arguments_change(
    pipeline: GenLlavaPipeline, cat: Image.Image, own_tools: None, error: Exception, fate: str
) -> None:
    @visual_tool(kind="look")
    def look_far(image: Picture, power: Annotated[float, Field(ge=1, le=9, description="How far.")] = 2) -> str:
        """Look far."""
        raise error

    calling = calls(("look_far", {"image": "image_1"}), ("flip", {"image": "image_1"}))
    made = agent(
        pipeline,
        calling,
        calls(("flip", {"image": "image_1"})),
        "So.",
        tools=map(as_langchain, (look_far, find("flip"))),
    )
    reply = made("look", images=[cat])
    assert [(step.outcome, step.fate) for step in reply.steps] == [("error", fate), ("ok", None), ("ok", None)]
    assert str(error) in reply.steps[0].text
    assert (levels(reply.image) == levels(cat)[:, ::-1]).all(), "the turn goes on"


def huge() -> bytes:
    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("how", ["a picture", "a file", "an array"])
def test_a_picture_that_is_too_large_is_not_kept(pipeline: GenLlavaPipeline, cat: Image.Image, how: str) -> None:
    @tool
    def paint() -> Any:
        """Paint."""
        if how == "an array":
            return np.broadcast_to(np.uint8(0), (20_000, 20_000))
        return huge() if how == "a file" else Image.new("1", (20_000, 20_000))

    made = agent(pipeline, calls(("paint", {})), "Too large.", tools=[paint])
    reply = made("paint", images=[cat])
    assert "A picture of this result was not kept" in reply.steps[0].text
    assert "pixels" in reply.steps[0].text
    assert reply.text == "Too large."
    assert (reply.images, list(reply.thread.images)) == ((), ["image_1"])


def test_names_that_are_taken() -> None:
    @tool
    def crop(image: Image.Image) -> Any:
        """Crop."""
        return image

    @tool
    def generate_image(prompt: str) -> str:
        """Draw elsewhere."""
        return "drawn"

    with pytest.raises(InvalidRequest, match="cannot be called 'crop'"):
        as_tools([*visual_tools(), crop])
    with pytest.raises(InvalidRequest, match="cannot be called 'generate_image'"):
        as_tools([generate_image])
    assert "generate_image" not in as_tools(visual_tools()), "the agent draws and edits itself"
    with pytest.raises(InvalidRequest, match="'visual'"):
        as_tools("crop")  # type: ignore[arg-type]
