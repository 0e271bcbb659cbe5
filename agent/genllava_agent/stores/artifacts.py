"""Artifacts as bytes, and back again with a check that nothing has changed."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Final

from PIL import Image

from genllava.images import content_key
from genllava_agent.errors import ThreadQuarantined

if TYPE_CHECKING:
    from torch import Tensor

WAITING_STATE: Final = "the state of the turn that waits; `discard()` forgets that turn"
_NAME: Final = "latents"


def image_key(image: Image.Image) -> str:
    """SHA-256 over mode, size and pixels."""
    return content_key(image)


def image_bytes(image: Image.Image) -> bytes:
    """PNG without metadata."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=6)
    return file.getvalue()


def image_from(key: str, data: bytes) -> Image.Image:
    """The picture in a PNG.

    Raises:
        ThreadQuarantined: it is not the one that `key` names.
    """
    image: Image.Image | None
    try:
        image = Image.open(io.BytesIO(data), formats=["PNG"])
        image.load()
        image = Image.frombytes(image.mode, image.size, image.tobytes())
    except Exception:  # Pillow raises whatever its decoders meet
        image = None
    if image is None or image_key(image) != key:
        raise damaged(f"{key}.png")
    return image


def latents_bytes(latents: Tensor) -> tuple[str, bytes]:
    """(key, safetensors) of latents [C, h, w], float32 on the CPU."""
    from safetensors.torch import save

    data = save({_NAME: latents.float().cpu().contiguous()})
    return hashlib.sha256(data).hexdigest(), data


def latents_from(key: str, data: bytes) -> Tensor:
    """The latents in a safetensors file.

    Raises:
        ThreadQuarantined: they are not those that `key` names.
    """
    from safetensors.torch import load

    if hashlib.sha256(data).hexdigest() != key:
        raise damaged(f"{key}.safetensors")
    return load(data)[_NAME]


def damaged(what: str) -> ThreadQuarantined:
    """The error for something that is not as it was written."""
    return ThreadQuarantined(
        f"what is stored of this thread is damaged ({what}): restore it from a backup while no program uses "
        "it, or delete the thread. Nothing was changed, and other threads are not touched"
    )
