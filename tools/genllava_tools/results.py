"""What a tool gives back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from genllava.errors import InvalidRequest
from genllava.images import MAX_PIXELS
from genllava_tools.errors import ToolFailed


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of one call of a tool.

    Attributes:
        text: what was done or found, in words for a model or a person; it says every figure that matters.
        images: the pictures that were made, mostly one or none; RGB, L (masks, edges) or RGBA (cut-outs).
        data: the same findings as plain values (numbers, strings, lists, dictionaries), for programs.
    """

    text: str
    images: tuple[Image.Image, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def image(self) -> Image.Image:
        """The picture that was made; the first where there are several.

        Raises:
            InvalidRequest: none was.
        """
        if not self.images:
            raise InvalidRequest("this tool makes no picture: read `text` or `data` of its result")
        return self.images[0]


def as_result(value: Any, tool: str) -> ToolResult:
    """What a tool's function returned, as a `ToolResult`.

    Args:
        value: an image, a text, a dictionary of plain values, a `ToolResult`, or several of these in a tuple or list.
        tool: its name, for messages.

    Raises:
        ToolFailed: it is anything else.
        InvalidRequest: a picture is larger than pictures may be.
    """
    if isinstance(value, ToolResult):
        result = value
    else:
        texts, images, data = list[str](), list[Image.Image](), dict[str, Any]()
        for each in value if isinstance(value, (tuple, list)) else [value]:
            if isinstance(each, Image.Image):
                images.append(each)
            elif isinstance(each, str):
                texts.append(each)
            elif isinstance(each, Mapping):
                data |= each
            else:
                raise ToolFailed(f"{tool} returned a {type(each).__name__}: return an image, a text or a dictionary")
        result = ToolResult(" ".join(texts) or (json.dumps(data) if data else "Done."), tuple(images), data)
    for image in result.images:
        if image.width * image.height > MAX_PIXELS:
            raise InvalidRequest(
                f"{tool} made a picture of {image.width}x{image.height} pixels; at most {MAX_PIXELS:,} are kept: "
                "ask for a smaller one"
            )
    return result
