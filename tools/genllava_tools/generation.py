"""Tools that draw: new pictures from words, from control maps, and pictures changed as told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from PIL import Image
from pydantic import Field

from genllava.errors import InvalidRequest
from genllava_tools.arguments import Picture
from genllava_tools.drawing import DRAWS, drawing_pipeline
from genllava_tools.errors import ToolUnavailable
from genllava_tools.registry import visual_tool
from genllava_tools.results import ToolResult

if TYPE_CHECKING:
    from genllava.pipeline_output import Drawing

LONGEST_PROMPT: Final = 2000
SEED_WORDS: Final = "The same seed and words draw the same picture; leave it out for another one each time."
Prompt = Annotated[
    str,
    Field(
        min_length=1,
        max_length=LONGEST_PROMPT,
        description="What the picture shows, in full: things, places, colours, style, and any words that stand in it.",
    ),
]
Seed = Annotated[int | None, Field(ge=0, le=2**32 - 1, description=SEED_WORDS)]
Side = Annotated[int, Field(ge=16, le=4096)]


@visual_tool(kind="draw", needs=[DRAWS])
def generate_image(
    prompt: Prompt,
    seed: Seed = None,
    width: Annotated[Side | None, Field(description="Width in pixels, together with `height`.")] = None,
    height: Annotated[Side | None, Field(description="Height in pixels, together with `width`.")] = None,
) -> ToolResult:
    """Draw a new picture from a description. Leave out `width` and `height` for the size that the model draws best."""
    drawing = drawing_pipeline().generate(prompt, seed=seed, width=width, height=height)
    return _result(drawing, "was drawn", prompt)


@visual_tool(kind="draw", needs=[DRAWS])
def edit_image(
    image: Picture,
    instruction: Annotated[
        str, Field(min_length=1, max_length=LONGEST_PROMPT, description="What to change, and into what.")
    ],
    seed: Seed = None,
) -> ToolResult:
    """Change a picture as told in words, such as "make the sky orange", by a model that draws. Its size stays. To draw
    only one region of it anew, use `inpaint`.
    """
    pipeline = drawing_pipeline()
    if not getattr(pipeline.protocol, "can_edit", True):
        raise ToolUnavailable(f"the model in use draws and does not edit: {DRAWS.remedy}")
    return _result(pipeline.edit(image, instruction, seed=seed), "was edited", instruction)


def _map(what: str, how: str) -> Any:
    return Field(description=f"A map of {what}, made with the tool {how}.")


@visual_tool(kind="draw", needs=[DRAWS])
def generate_from_control(
    prompt: Prompt,
    canny: Annotated[Picture | None, _map("edges", "`canny`")] = None,
    depth: Annotated[Picture | None, _map("depth", "`depth_map`")] = None,
    pose: Annotated[Picture | None, _map("people's poses", "`pose_openpose` or `pose_vitpose`")] = None,
    lineart: Annotated[Picture | None, _map("line art", "`lineart` or `lineart_standard`")] = None,
    soft_edge: Annotated[Picture | None, _map("soft edges", "`soft_edge_hed`")] = None,
    scribble: Annotated[Picture | None, _map("rough lines", "`scribble_hed`")] = None,
    normal: Annotated[Picture | None, _map("the directions of surfaces", "`normals_bae`")] = None,
    segmentation: Annotated[Picture | None, _map("regions by kind", "`semantic_segmentation`")] = None,
    scale: Annotated[
        float | None, Field(ge=0, le=2, description="How strongly the maps steer: 0 not at all, 1 as trained.")
    ] = None,
    seed: Seed = None,
) -> ToolResult:
    """Draw a new picture from a description, with the layout of another one. Make a control map of that picture first,
    with a tool such as `canny`, and give it here under the name of its kind; a photograph is no map. Several maps may
    steer one picture, which takes their proportions.
    """
    given = {
        "canny": canny, "depth": depth, "pose": pose, "lineart": lineart, "soft_edge": soft_edge, "scribble": scribble,
        "normal": normal, "segmentation": segmentation,
    }  # fmt: skip
    control = {name: image for name, image in given.items() if image is not None}
    if not control:
        raise InvalidRequest(f"give a control map under the name of its kind: {', '.join(given)}")
    pipeline = drawing_pipeline()
    there = [name for name in given if name in pipeline.controlnets]
    if not there:
        remedy = "load one with pipe.load_controlnet('canny', 'folder or hub id'), and give tools that pipe"
        raise ToolUnavailable(f"the model in use has no ControlNet that this tool knows: {remedy} (use_pipeline)")
    if unknown := [name for name in control if name not in there]:
        raise InvalidRequest(f"the model in use reads no maps of the kind `{unknown[0]}`: give {' or '.join(there)}")
    drawing = pipeline.generate(prompt, seed=seed, control=control, control_scale=scale)
    return _result(drawing, f"was drawn, steered by {' and '.join(control)},", prompt)


def _result(drawing: Drawing, what: str, asked: str) -> ToolResult:
    """What a tool gives back for a drawing.

    Raises:
        InvalidRequest: the model answered in words instead; they are the message.
    """
    if drawing.image is None:
        raise InvalidRequest(f"the model did not draw, it answered: {drawing.text}")
    image: Image.Image = drawing.image
    said = [f"A picture of {image.width}x{image.height} pixels {what} with seed {drawing.seed}."]
    if drawing.plan and drawing.plan != asked:
        said.append(f"It is to show: {drawing.plan.removesuffix('.')}.")
    said += [f"Note: {note}." for note in drawing.notes]
    if drawing.unsure:
        said.append(f"It may be wrong: {drawing.unsure}.")
    found = {"seed": drawing.seed, "plan": drawing.plan or asked, "width": image.width, "height": image.height}
    return ToolResult(" ".join(said), (image,), found)
