"""Artifacts as bytes, and back again with a check that nothing has changed."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Final

from PIL import Image

from genllava.images import content_key
from genllava_agent.errors import ThreadQuarantined
from genllava_agent.stores.jpeg import without_metadata

if TYPE_CHECKING:
    from torch import Tensor

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
    image = _decoded(data, "PNG")
    if image is None or image_key(image) != key:
        raise damaged(f"{key}.png")
    return image


def jpeg_bytes(image: Image.Image, data: bytes) -> tuple[str, bytes] | None:
    """(key, JPEG without metadata) of a picture that came as the JPEG `data`; None where that does not give exactly
    its pixels (it was turned upright, say), or is no smaller than a PNG."""
    plain = without_metadata(data)
    if plain is None or _decoded(plain, "JPEG") != image or len(plain) >= len(image_bytes(image)):
        return None
    return hashlib.sha256(plain).hexdigest(), plain


def jpeg_from(key: str, data: bytes) -> Image.Image:
    """The picture in a JPEG, RGB. Its bytes are checked: its pixels are a little different from decoder to decoder.

    Raises:
        ThreadQuarantined: it is not the one that `key` names.
    """
    image = _decoded(data, "JPEG") if hashlib.sha256(data).hexdigest() == key else None
    if image is None:
        raise damaged(f"{key}.jpg")
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


def _decoded(data: bytes, kind: str) -> Image.Image | None:
    """The picture in a file of this kind, a JPEG as RGB; None if there is none."""
    try:
        opened = Image.open(io.BytesIO(data), formats=[kind])
        image = opened.convert("RGB") if kind == "JPEG" else opened
        return Image.frombytes(image.mode, image.size, image.tobytes())
    except Exception:  # Pillow raises whatever its decoders meet
        return None


def damaged(what: str) -> ThreadQuarantined:
    """The error for something that is not as it was written."""
    return ThreadQuarantined(
        f"what is stored of this thread is damaged ({what}): restore it from a backup while no program uses "
        "it, or delete the thread. Nothing was changed, and other threads are not touched"
    )
