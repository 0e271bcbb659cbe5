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


def preview(pipeline: Any, latents: Tensor) -> Image.Image | None:
    """What latents [B, C, h, w] look like now, the first of them; None while they are nothing that can be shown."""
    import torch

    from genllava.errors import NonFiniteError
    from genllava.protocols.shapes import latents as image_decoder

    try:
        with torch.no_grad():
            image = image_decoder.decode(pipeline.vae, latents[:1])[0]
    except NonFiniteError:
        return None  # a rough picture may be out of range where the finished one is not
    image.thumbnail((SIDE, SIDE))
    return image
