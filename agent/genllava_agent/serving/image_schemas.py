"""Bodies of `/v1/images/generations` and `/v1/images/edits`, as OpenAI has them, and what is sent back.

What a request says besides is taken and has no effect: `quality`, `style` and the like.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, field_validator

_LONGEST = 20_000


class ImageRequest(BaseModel):
    """What both requests have.

    Attributes:
        model: see `/v1/models`.
        prompt: what to draw, or what to change.
        n: how many pictures.
        size: `WIDTHxHEIGHT`, or `auto`: the model's own, and of an edit that of its source.
        response_format: the pictures themselves, or links to them.
        seed: of the first picture; those of the others follow from it.
    """

    model: str | None = None
    prompt: Annotated[str, Field(min_length=1, max_length=_LONGEST)]
    n: Annotated[int, Field(ge=1)] = 1
    size: str = "auto"
    response_format: Literal["b64_json", "url"] = "b64_json"
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    output_format: str | None = None
    background: str | None = None
    stream: bool | None = None

    @field_validator("prompt")
    @classmethod
    def _says_something(cls, prompt: str) -> str:
        if not prompt.strip():
            raise ValueError("the prompt is empty: say what to draw")
        return prompt

    @field_validator("n", "size", "response_format", mode="before")
    @classmethod
    def _default(cls, given: object, info: object) -> object:
        """Clients send null for what is to be as usual."""
        usual = {"n": 1, "size": "auto", "response_format": "b64_json"}
        return usual[getattr(info, "field_name", "")] if given is None else given

    @field_validator("output_format")
    @classmethod
    def _png(cls, output_format: str | None) -> str | None:
        if output_format not in (None, "png"):
            raise ValueError("pictures are PNG files: leave it out")
        return output_format

    @field_validator("background")
    @classmethod
    def _opaque(cls, background: str | None) -> str | None:
        if background == "transparent":
            raise ValueError("pictures have no transparency: leave it out")
        return background

    @field_validator("stream")
    @classmethod
    def _whole(cls, stream: bool | None) -> bool | None:
        if stream:
            raise ValueError("pictures come whole: leave it out, or ask in a chat, whose replies are streamed")
        return stream

    def pixels(self) -> tuple[tuple[str, int], ...]:
        """The size as options of the pipeline.

        Raises:
            ValueError: it is none.
        """
        if self.size == "auto":
            return ()
        width, _, height = self.size.partition("x")
        if not all(side.isascii() and side.isdecimal() and 1 <= int(side) <= 16_384 for side in (width, height)):
            raise ValueError("a size is auto, or WIDTHxHEIGHT in pixels, such as 512x512")
        return ("height", int(height)), ("width", int(width))


class MadeImage(BaseModel):
    """A picture: the PNG file in base64, or where it is.

    Attributes:
        revised_prompt: what it shows, in the model's words.
        seed: with which it is drawn again.
    """

    b64_json: str | None = None
    url: str | None = None
    revised_prompt: str | None = None
    seed: int


class ImagesResponse(BaseModel):
    """The pictures that were made."""

    created: int
    data: list[MadeImage]
