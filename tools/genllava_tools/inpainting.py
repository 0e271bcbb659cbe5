"""Tools that draw a region of a picture anew and keep every other pixel: inpainting and outpainting.

They use the model that is lent or was chosen for drawing, where it can fill masks, and else the inpainting model.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
from PIL import Image, ImageChops
from pydantic import Field

from genllava.errors import InvalidRequest
from genllava_tools.arguments import BOX_WORDS, Box, Mask, Picture
from genllava_tools.drawing import given_pipeline, loaded_pipeline
from genllava_tools.errors import ToolUnavailable
from genllava_tools.generation import LONGEST_PROMPT, Seed
from genllava_tools.models import device, model
from genllava_tools.pictures import check_size, region, share
from genllava_tools.registry import visual_tool
from genllava_tools.results import ToolResult
from genllava_tools.tool import Need

if TYPE_CHECKING:
    from genllava.image_decoder import ImageDecoder

INPAINTING: Final = model(
    "inpainting", "stable-diffusion-v1-5/stable-diffusion-inpainting", helps=("remove_object",)
)
_LEAST: Final = 512
"""Pixels of the part of a picture that is worked on at least, where the picture has so many: what is around a hole says
what belongs into it, and all of a large photograph would be made too small for its hole."""
_RIM: Final = 0.006
"""By how much of the picture's longer side a masked object is widened, so that no rim of it is left."""
Prompt = Annotated[
    str,
    Field(min_length=1, max_length=LONGEST_PROMPT, description="What the new part shows, in full: a wooden bench."),
]
Margin = Annotated[float, Field(ge=0, le=2)]


def _present() -> bool:
    given = given_pipeline()
    return INPAINTING.present or isinstance(given, Path) or (given is not None and _fills(given))


FILLS: Final = Need("a model that inpaints", INPAINTING.need().remedy, _present, INPAINTING.remedy)


@visual_tool(kind="change", needs=[FILLS])
def inpaint(
    image: Picture,
    mask: Annotated[Mask, Field(description="The region to draw anew: white there, black where the picture stays.")],
    prompt: Prompt,
    seed: Seed = None,
) -> ToolResult:
    """Draw the white region of a mask anew, as the words say; every pixel outside it stays exactly as it is. Make the
    mask with `segment` of the same picture.
    """
    return fill_region(image, mask, prompt, seed)


@visual_tool(kind="change", needs=[FILLS])
def replace_object(
    image: Picture,
    prompt: Annotated[
        str, Field(min_length=1, max_length=LONGEST_PROMPT, description="What stands there instead: a white cat.")
    ],
    box: Annotated[Box | None, Field(description=f"A box around the object: {BOX_WORDS}.")] = None,
    mask: Annotated[Mask | None, Field(description="The object as a mask: white where it is.")] = None,
    seed: Seed = None,
) -> ToolResult:
    """Put something else in the place of an object: its box, or its mask a little widened, is drawn anew as the words
    say, and the rest of the picture stays exactly as it is. Give a box where the new thing has another shape.
    """
    hole = region(image, box, mask)
    return fill_region(image, hole if mask is None else widened(hole), prompt, seed)


@visual_tool(kind="change", needs=[FILLS])
def outpaint(
    image: Picture,
    prompt: Prompt,
    left: Annotated[Margin, Field(description="Added at the left, in widths of the picture: 0.5 is half of one.")] = 0,
    top: Annotated[Margin, Field(description="Added at the top, in heights of the picture.")] = 0,
    right: Annotated[Margin, Field(description="Added at the right, in widths of the picture.")] = 0,
    bottom: Annotated[Margin, Field(description="Added at the bottom, in heights of the picture.")] = 0,
    seed: Seed = None,
) -> ToolResult:
    """Enlarge a picture beyond its borders: what is added at the sides is drawn as the words say, and the picture
    itself stays exactly as it is within.
    """
    west, east = (round(part * image.width) for part in (left, right))
    north, south = (round(part * image.height) for part in (top, bottom))
    if not any((west, east, north, south)):
        raise InvalidRequest("give at least one of `left`, `top`, `right` and `bottom`, large enough to be a pixel")
    size = (image.width + west + east, image.height + north + south)
    check_size(*size)
    larger = Image.fromarray(np.pad(np.asarray(image), ((north, south), (west, east), (0, 0)), mode="edge"))
    mask = Image.new("L", size, 255)
    mask.paste(0, (west, north, west + image.width, north + image.height))
    return fill_region(larger, mask, prompt, seed)


def fill_region(image: Image.Image, mask: Image.Image, prompt: str, seed: int | None) -> ToolResult:
    """`image` (RGB) with the white region of `mask` (L, of its size) drawn anew; all other pixels are the same.

    Raises:
        ToolUnavailable: there is no model that inpaints.
        InvalidRequest: it refused the words.
        CheckpointError, NotEnoughMemory, NonFiniteError: it cannot be used.
    """
    from genllava.image_decoder.conditioning import call_parameters
    from genllava.image_decoder.siblings import editor_of
    from genllava.options import resolve_seeds

    decoder, options = _decoder()
    takes = call_parameters(editor_of(decoder.pipeline, decoder.editor, masked=True))
    options = {name: value for name, value in options.items() if name in takes and name not in ("width", "height")}
    if "strength" in takes:
        options["strength"] = 1.0  # nothing of what was in the hole stays
    window = _window(mask)
    part, hole = image.crop(window), mask.crop(window)
    (chosen,) = resolve_seeds(seed, 1)
    made = decoder.edit([part], [prompt], seeds=[chosen], options={**options, "mask_image": hole})[0]
    whole = image.copy()
    whole.paste(made.image, window[:2], hole)
    said = f"{share(mask):.1%} of the picture of {whole.width}x{whole.height} pixels was drawn by {made.pipeline}"
    notes = "".join(f" Note: {note}." for note in made.notes)
    found = {"seed": chosen, "share": round(share(mask), 4), "width": whole.width, "height": whole.height}
    return ToolResult(f"{said} with seed {chosen}; all else is as it was.{notes}", (whole,), found)


def widened(mask: Image.Image) -> Image.Image:
    """A mask with a rim around its region, so that nothing of an object's edge is left."""
    import cv2

    rim = max(1, round(_RIM * max(mask.size)))
    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rim + 1, 2 * rim + 1))
    return ImageChops.lighter(mask, Image.fromarray(np.asarray(cv2.dilate(np.asarray(mask), shape), np.uint8)))


def _decoder() -> tuple[ImageDecoder, dict[str, Any]]:
    """What inpaints, and the options that its user gave it."""
    pipeline = loaded_pipeline()
    if pipeline is not None and _fills(pipeline) and pipeline.image_decoder is not None:
        return pipeline.image_decoder, dict(pipeline.config["drawing_options"])
    if not INPAINTING.present:
        remedy = f"{INPAINTING.remedy()}; or lend tools a pipeline whose decoder fills masks"
        raise ToolUnavailable(f"needs {FILLS.name}: {remedy} (Stable Diffusion, SDXL, Flux)")
    return INPAINTING.loaded(_load), {}


def _load(folder: Path) -> ImageDecoder:
    import torch

    from genllava.image_decoder import ImageDecoder, load_diffusion
    from genllava.image_decoder.siblings import editor_of

    place = device()
    pipeline = load_diffusion(folder, part="pipeline", torch_dtype=torch.float32 if place.type == "cpu" else "auto")
    editor_of(pipeline, None, masked=True)
    return ImageDecoder(pipeline.to(place))


def _fills(pipeline: Any) -> bool:
    """Whether the decoder or the editor of a `GenLlavaPipeline` fills masks, itself or by a sibling."""
    from genllava.image_decoder.siblings import editor_of

    try:
        editor_of(pipeline.decoder, pipeline.editor, masked=True)
    except InvalidRequest:
        return False
    return True


def _window(mask: Image.Image) -> tuple[int, int, int, int]:
    """The part of a picture, in pixels, that is worked on: the hole and as much around it."""
    left, top, right, bottom = mask.getbbox() or (0, 0, *mask.size)
    across, down = (
        min(longest, max(_LEAST, 2 * (high - low)))
        for low, high, longest in ((left, right, mask.width), (top, bottom, mask.height))
    )
    west = min(max(0, (left + right - across) // 2), mask.width - across)
    north = min(max(0, (top + bottom - down) // 2), mask.height - down)
    return west, north, west + across, north + down
