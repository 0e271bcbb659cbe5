"""The parts of a pipeline as the protocols of general vision-language models use them, and the messages they send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genllava.errors import InvalidRequest
from genllava.generation_head import GenerationHead
from genllava.image_decoder import ImageDecoder
from genllava.protocols.verbs import image_name
from genllava.requests import as_image
from genllava.vision_language import VisionLanguage

Message = dict[str, Any]
"""A message as chat templates take it: {"role", "content": text or blocks}, with "tool_calls" of an assistant."""


@dataclass(slots=True)
class Parts:
    """The parts of a pipeline, as a protocol uses them.

    Attributes:
        bridge: what steers the decoder unless a call says otherwise: `caption` or `head`.
        drawing_options: of every drawing, unless a call says otherwise.
    """

    vision_language: VisionLanguage
    image_decoder: ImageDecoder | None = None
    generation_head: GenerationHead | None = None
    bridge: str = "caption"
    drawing_options: Mapping[str, Any] = field(default_factory=dict)

    def require_decoder(self) -> ImageDecoder:
        """The image decoder.

        Raises:
            InvalidRequest: this pipeline has none.
        """
        if self.image_decoder is None:
            raise InvalidRequest("this pipeline has no image decoder: assemble it with decoder='...' to draw and edit")
        return self.image_decoder


def user_message(text: str, images: Sequence[Any] = ()) -> Message:
    """A message of the user: pictures, then words.

    Args:
        images: as `genllava.requests.as_image` takes them; they keep their own size.
    """
    blocks: list[dict[str, Any]] = [{"type": "image", "image": as_image(image)} for image in images]
    return {"role": "user", "content": [*blocks, {"type": "text", "text": text}]}


def named_blocks(images: Sequence[Any], first: int = 1) -> list[dict[str, Any]]:
    """Content blocks of pictures, each behind its name.

    Args:
        first: number of the first one in its conversation.
    """
    blocks: list[dict[str, Any]] = []
    for number, image in enumerate(images, start=first):
        blocks.append({"type": "text", "text": f"{image_name(number)}:"})
        blocks.append({"type": "image", "image": as_image(image)})
    return blocks
