"""Control maps of the shapes model: edges say where the objects of a new picture are and how large, words the rest."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from genllava.errors import InvalidRequest
from genllava.image_decoder.control import read_control
from genllava.protocols.shapes.options import Settings
from genllava.protocols.shapes.parts import ShapesParts
from genllava.protocols.shapes.steering import Steering
from genllava.protocols.shapes.tokens import T2I

EDGES: Final = "canny"
"""The ControlNet that takes edges, white lines on black."""
FAINT: Final = 48
"""Of 255: lines that are darker are none. Those of a map that was made smaller are grey."""
MOSTLY: Final = 0.5
"""Share of white from which a map cannot be one of edges."""
ASKEW: Final = 0.02
"""How far a map may be from square, as a share of its side: maps are rounded to whole pixels."""


def read_steering(parts: ShapesParts, settings: Settings, task: str, count: int) -> Steering | None:
    """The control maps of a call, checked and made the size of the model's pictures; None where nothing steers it.

    Args:
        task: `[T2I]` or `[I2I]`.
        count: pictures of the call.

    Raises:
        InvalidRequest: no such ControlNet, a map that is not square or shows no edges, a bad scale, or an edit.
        ImageRejected: a map was not let in.
    """
    scale = settings.control_scale
    if settings.control is not None and scale is None:
        scale = parts.config.get("control_scale")
    control = read_control(settings.control, scale, parts.controlnets, count)
    if control is None:
        return None
    if task != T2I:
        raise InvalidRequest(
            "control steers new pictures: an edit of this model keeps the places of its source; leave control out, or "
            "ask for a new picture"
        )
    columns = zip(*control.rows, strict=True)
    maps = [
        torch.stack([_map(name, image, parts.resolution) for image in column])
        for name, column in zip(control.names, columns, strict=True)
    ]
    return Steering(tuple(parts.controlnets[name] for name in control.names), tuple(maps), control.scales)


def _map(name: str, image: Image.Image, side: int) -> Tensor:
    """[3, side, side] in 0..1."""
    if abs(image.width - image.height) > max(1, ASKEW * max(image.size)):
        raise InvalidRequest(
            f"the control map {name!r} is {image.width}x{image.height}, and this model draws square pictures: crop it "
            "or pad it with black to a square"
        )
    if name == EDGES:
        return _lines(name, image, side)
    pixels = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC), np.float32)
    return torch.from_numpy(pixels / 255).permute(2, 0, 1)


def _lines(name: str, image: Image.Image, side: int) -> Tensor:
    """Edges at another size: lines stay lines of one brightness, where plain resizing would fade or break them."""
    lines = torch.from_numpy(np.asarray(image.convert("L"), np.float32).copy())[None]
    smaller = side < max(image.size)
    lines = functional.adaptive_max_pool2d(lines, side) if smaller else _enlarged(lines, side)
    drawn = (lines >= FAINT).float()
    share = float(drawn.mean())
    if share == 0:
        raise InvalidRequest(f"the control map {name!r} shows no edges: it is black, and lines are white")
    if share > MOSTLY:
        raise InvalidRequest(
            f"the control map {name!r} is white on {share:.0%} of its area: edges are thin white lines on black; find "
            "them in the picture with the tool edge_map, or turn black and white around"
        )
    return drawn.expand(3, side, side)


def _enlarged(lines: Tensor, side: int) -> Tensor:
    return functional.interpolate(lines[None], (side, side), mode="nearest")[0]
