"""Tools that change the colours of a picture or make parts of it hard to see."""

from __future__ import annotations

from typing import Annotated

from PIL import Image, ImageEnhance, ImageFilter
from pydantic import Field

from genllava.errors import InvalidRequest
from genllava_tools.arguments import BOX_WORDS, Box, Mask, Picture
from genllava_tools.coordinates import box_pixels
from genllava_tools.pictures import region
from genllava_tools.registry import visual_tool

Factor = Annotated[float, Field(ge=0, le=4)]


@visual_tool(kind="change")
def adjust(
    image: Picture,
    brightness: Annotated[Factor, Field(description="1 leaves it, 0 is black, 2 is twice as bright.")] = 1,
    contrast: Annotated[Factor, Field(description="1 leaves it, 0 is plain gray, 2 is twice the contrast.")] = 1,
    color: Annotated[Factor, Field(description="1 leaves it, 0 is black and white, 2 is twice as colourful.")] = 1,
    sharpness: Annotated[Factor, Field(description="1 leaves it, 0 is soft, 2 is sharper.")] = 1,
) -> tuple[Image.Image, str]:
    """Change the brightness, contrast, colourfulness and sharpness of a picture; 1 leaves each as it is."""
    steps = {
        "brightness": (ImageEnhance.Brightness, brightness),
        "contrast": (ImageEnhance.Contrast, contrast),
        "color": (ImageEnhance.Color, color),
        "sharpness": (ImageEnhance.Sharpness, sharpness),
    }
    asked = {name: each for name, each in steps.items() if each[1] != 1}
    if not asked:
        raise InvalidRequest("nothing would change: give `brightness`, `contrast`, `color` or `sharpness` other than 1")
    made: Image.Image = image
    for enhancer, factor in asked.values():
        made = enhancer(made).enhance(factor)
    return made, "Adjusted: " + ", ".join(f"{name} {factor:g}" for name, (_, factor) in asked.items()) + "."


@visual_tool(kind="change")
def grayscale(image: Picture) -> Image.Image:
    """Take the colours out of a picture, so that it is black, white and gray."""
    return image.convert("L")


@visual_tool(kind="change")
def blur(
    image: Picture,
    radius: Annotated[
        float, Field(ge=0.001, le=0.2, description="How far it is blurred, as a part of the picture's longer side.")
    ] = 0.02,
    box: Annotated[Box | None, Field(description=f"The part to blur: {BOX_WORDS}.")] = None,
    mask: Annotated[Mask | None, Field(description="The part to blur, as a mask: white where it is.")] = None,
) -> tuple[Image.Image, str]:
    """Blur a picture, or the part of it in a box or a mask; what is outside of that stays as it is."""
    pixels = radius * max(image.size)
    if box is None and mask is None:
        return image.filter(ImageFilter.GaussianBlur(pixels)), f"Blurred all of it by {pixels:.1f} pixels."
    place = region(image, box, mask)
    made = image.copy()
    made.paste(image.filter(ImageFilter.GaussianBlur(pixels)), (0, 0), place)
    return made, f"Blurred the {'box' if box is not None else 'mask'} by {pixels:.1f} pixels."


@visual_tool(kind="change")
def pixelate(
    image: Picture,
    box: Annotated[Box, Field(description=f"The part to make unrecognisable: {BOX_WORDS}.")],
    blocks: Annotated[int, Field(ge=1, le=64, description="Squares along the longer side of the box.")] = 8,
) -> tuple[Image.Image, str]:
    """Make a part of a picture unrecognisable by large squares, as is done with faces and number plates."""
    left, top, right, bottom = box_pixels(box, image.size)
    part = image.crop((left, top, right, bottom))
    along = min(blocks, max(1, max(part.size) // 2))  # squares of one pixel would leave all as it was
    count = [max(1, round(side / max(part.size) * along)) for side in part.size]
    few = part.resize((count[0], count[1]), Image.Resampling.BOX)
    made = image.copy()
    made.paste(few.resize(part.size, Image.Resampling.NEAREST), (left, top))
    return made, f"The box of {part.width}x{part.height} pixels shows {count[0]}x{count[1]} squares now."
