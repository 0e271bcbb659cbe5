"""Small pictures of a drawing that is not finished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

SIDE: Final = 256
"""Longest side of a preview, in pixels."""


def shown_at(step: int, total: int, previews: int) -> bool:
    """Whether there is a preview after `step` of `total`; they are spread evenly, and the last step has one."""
    return previews > 0 and (step * previews) // total > ((step - 1) * previews) // total


def preview(decoder: Any, latents: Tensor, aspect: float) -> Image.Image | None:
    """What latents of a diffusers pipeline look like now, the first of them; None where that cannot be shown.

    Args:
        aspect: width by height of the picture.
    """
    from genllava.image_decoder.preview import preview as decoded

    image = decoded(decoder, latents, aspect)
    if image is not None:
        image.thumbnail((SIDE, SIDE))
    return image
