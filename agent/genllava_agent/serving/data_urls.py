"""Pictures in requests: from data URLs, links of this server, and uploads, through one door and within limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from genllava.errors import ImageRejected
from genllava.images import decode_base64, load_image, picture_notes
from genllava_agent.serving.errors import ApiError
from genllava_agent.serving.kept_pictures import KeptPictures
from genllava_agent.serving.settings import ServerSettings
from genllava_tools.picture_files import png_bytes

if TYPE_CHECKING:
    from PIL import Image

_TYPES: Final = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


class Admission:
    """Lets the pictures of one request in.

    Args:
        settings: of the server, with the limits of a request.
        kept: pictures that links of this server lead to.
    """

    def __init__(self, settings: ServerSettings, kept: KeptPictures) -> None:
        self._kept = kept
        self._most, self._left, self._pixels = settings.pictures, settings.pictures, settings.pixels

    @property
    def room(self) -> int:
        """How many more pictures may come."""
        return self._left

    def from_url(self, url: str, param: str) -> bytes:
        """The file of a picture that stands in the request itself, or that a link of this server leads to; its own, or
        a PNG of what was read of it.

        Raises:
            ApiError: it stands elsewhere, is no picture, is no longer kept, is too large, or is one too many.
        """
        if (kept := self._kept.linked(url)) is not None:
            return self.checked(kept, param)
        if url[:5].lower() != "data:":
            said = "send pictures as data: URLs with base64, or as links that this server gave and still keeps"
            raise ApiError(400, said, "invalid_image_url", param=param)
        try:
            return self.checked(decode_base64(url), param)
        except ImageRejected as error:
            raise ApiError(400, str(error), "invalid_image", param=param) from None

    def checked(self, file: bytes, param: str) -> bytes:
        """A PNG or JPEG file, once it is known to be a picture; errors as for `from_url`."""
        image = self.picture(file, param)
        return file if mime_type(file) is not None and not picture_notes(image) else png_bytes(image)

    def picture(self, file: bytes, param: str) -> Image.Image:
        """The picture in a file; errors as for `from_url`."""
        if self._left == 0:
            said = f"more than {self._most} pictures in one request: send fewer"
            raise ApiError(400, said, "too_many_images", param=param)
        self._left -= 1
        try:
            if self._pixels < 1:
                raise ImageRejected("the pictures of this request have too many pixels together: make them smaller")
            image = load_image(file, max_pixels=self._pixels)
        except ImageRejected as error:
            raise ApiError(400, str(error), "invalid_image", param=param) from None
        self._pixels -= image.width * image.height
        return image


def mime_type(file: bytes) -> str | None:
    """The type of a PNG or JPEG file; None of any other."""
    return next((kind for magic, kind in _TYPES.items() if file.startswith(magic)), None)
