"""Edits of a part of a picture: the mask is a picture of the same size, transparent where there may be a change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from genllava.errors import InvalidRequest
from genllava_agent.regions import Mask, part_alone, put_back
from genllava_tools.picture_files import load_layer


@dataclass(frozen=True, slots=True, eq=False)
class MaskedEdit:
    """A picture, and the part of it that is edited.

    Attributes:
        whole: the picture.
        mask: [H, W], true where the part is.
        part: the picture with all else painted over in its own background, which is what the model is shown.
    """

    whole: Image.Image
    mask: Mask
    part: Image.Image

    @classmethod
    def of(cls, whole: Image.Image, file: bytes) -> MaskedEdit:
        """From the file of a mask.

        Raises:
            ImageRejected: it is no picture.
            InvalidRequest: it does not say which part is meant.
        """
        layer = load_layer(file)
        if layer.size != whole.size:
            sizes = f"the mask is {layer.width}x{layer.height} and the picture {whole.width}x{whole.height}"
            raise InvalidRequest(f"{sizes}: they must be of one size")
        if layer.mode != "RGBA":
            raise InvalidRequest("the mask has no transparency: make it transparent where the picture may change")
        mask = np.asarray(layer.getchannel("A")) < 128
        if not mask.any():
            raise InvalidRequest("the mask is opaque: make it transparent where the picture may change")
        return cls(whole, mask, part_alone(whole, mask))

    def whole_again(self, edited: Image.Image, beyond: bool) -> Image.Image:
        """The picture with its part edited.

        Args:
            beyond: see `regions.put_back`.
        """
        return put_back(self.whole, self.part, edited, self.mask, beyond)
