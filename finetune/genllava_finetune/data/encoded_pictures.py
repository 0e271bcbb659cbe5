"""Pictures as they are stored: the bytes of their files, which are checked once and not encoded again."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from PIL import Image

from genllava.errors import ImageRejected
from genllava.images import load_image
from genllava_finetune.data.errors import RowError


class EncodedPicture(bytes):
    """The bytes of an encoded picture.

    Attributes:
        name: of its file where it came from, relative to the folder of the pictures; "" where it had none.
    """

    name: str

    def __new__(cls, data: bytes, name: str = "") -> EncodedPicture:
        """The same bytes with a name."""
        made = super().__new__(cls, data)
        made.name = name
        return made


def encoded_picture(picture: Any, root: Path | None = None) -> EncodedPicture:
    """A picture of a row as bytes that `genllava.images.load_image` reads.

    Args:
        picture: bytes of an encoded file and the path of one stay as they are; a PIL image becomes a PNG.
        root: folder that names are relative to.

    Raises:
        RowError: there is no such file (any more), or it is no picture, damaged or too large.
    """
    if isinstance(picture, Image.Image):
        file = io.BytesIO()
        try:
            load_image(picture).save(file, "PNG", compress_level=1)  # several times as fast
        except ImageRejected as error:
            raise RowError(f"the picture cannot be read: {error.reason}") from None
        return EncodedPicture(file.getvalue())
    if isinstance(picture, str | Path):
        picture = _read(Path(picture), root)
    if not isinstance(picture, bytes):
        raise RowError(f"a picture is bytes, a path or a PIL image: {type(picture).__name__}")
    encoded = picture if isinstance(picture, EncodedPicture) else EncodedPicture(picture)
    try:
        load_image(bytes(encoded))
    except ImageRejected as error:
        raise RowError(f"the picture cannot be read: {error.reason}{encoded.name and f' ({encoded.name})'}") from None
    return encoded


def _read(path: Path, root: Path | None) -> EncodedPicture:
    try:
        data = path.read_bytes()
    except OSError as error:  # it may be gone since the record was read
        raise RowError(f"the picture's file cannot be read: {path}: {error.strerror}") from None
    below = root is not None and path.is_relative_to(root.resolve())
    return EncodedPicture(data, path.relative_to(root.resolve()).as_posix() if root and below else path.name)
