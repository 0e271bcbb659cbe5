"""What is asked of the verbs: texts with their pictures, one or a list of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from PIL import Image

from genllava.errors import ImageRejected, InvalidRequest
from genllava.images import ImageSource, load_image
from genllava.pipeline_output import Drawing

Seen = ImageSource | Drawing
"""A picture, or a drawing of this package, of which the image is taken."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a user says and shows.

    Attributes:
        text: the words, as they were given.
        images: the pictures that come with them, in their order.
    """

    text: str
    images: tuple[Seen, ...] = field(default=())


def check_text(text: object) -> str:
    """`text` if there is something in it.

    Raises:
        InvalidRequest: it is empty, or not a string.
    """
    if not isinstance(text, str):
        raise InvalidRequest(f"a request is text, not {type(text).__name__}")
    if not text.strip():
        raise InvalidRequest("the request is empty: say what to do")
    return text


def pair_requests(images: Any, text: str | Sequence[str]) -> list[Request]:
    """Pair texts with what they show; the text says whether it is one request or a list of them.

    Args:
        images: for one request None, a picture or several; for a list of requests None or a list of those.

    Raises:
        InvalidRequest: an empty text, or not as many pictures as texts.
    """
    if isinstance(text, str):
        texts, shown = [text], [images]
    elif not isinstance(text, Sequence):
        raise InvalidRequest(f"a request is text, or a list of texts, not {type(text).__name__}")
    else:
        texts, shown = list(text), [None] * len(text) if images is None else images
    if not texts:
        raise InvalidRequest("the list of requests is empty")
    if not isinstance(shown, (list, tuple)) or len(shown) != len(texts):
        raise InvalidRequest("a list of requests needs a list of as many pictures")
    return [Request(check_text(words), tuple(listed(sources))) for words, sources in zip(texts, shown, strict=True)]


def listed(images: Seen | Sequence[Seen] | None) -> list[Seen]:
    """What may be None, a picture or several, as a list."""
    if images is None:
        return []
    return list(images) if isinstance(images, (list, tuple)) else [cast(Seen, images)]


def as_image(source: Seen) -> Image.Image:
    """The RGB picture of a source, at its own size.

    Raises:
        ImageRejected: it was not let in, or it is a drawing without a picture.
    """
    if isinstance(source, Drawing):
        if source.image is None:
            raise ImageRejected("this drawing has no picture: the model declined to make it")
        return source.image
    return load_image(source)
