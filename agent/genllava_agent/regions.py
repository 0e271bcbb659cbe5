"""Parts of pictures that a request is about.

The model is shown the part alone, where it stands, with all else painted over in the picture's own background: so
"what is this?" has one answer and "make it green" one meaning. An edit of it is put back into the whole picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genllava.errors import InvalidRequest
from genllava.images import border_color, difference
from genllava_agent.admission import admitted
from genllava_agent.errors import UnknownImage
from genllava_agent.records import ImageRecord, Region, image_name

if TYPE_CHECKING:
    from genllava_agent.stores.base import Artifacts

_ALIKE: Final = 40
"""Largest difference of a channel between pixels of one thing."""
_BACKGROUND: Final = 0.35
"""A thing that takes more of the picture than this is what lies behind the others."""
_AROUND: Final = 1 / 6
"""How far the region of a point reaches where nothing is drawn, in parts of the longer side."""
_RIM: Final = 3
"""Pixels that a thing's soft edge reaches beyond it."""

Mask = NDArray[np.bool_]


def resolve_region(store: Artifacts, given: Any, records: Sequence[ImageRecord]) -> Region:
    """What a user gives as a region.

    Args:
        given: a box (left, top, right, bottom) or a point (x, y), in pixels, or in parts of the picture if no number
            is above 1; a mask as a picture or an array, of the picture's proportions, white where the region is; or
            a mapping with one of these as `box`, `point` or `mask`, and the name of the picture as `image`. By
            default the latest picture is meant.
        records: the pictures there are.

    Raises:
        InvalidRequest, ImageRejected, UnknownImage.
    """
    whole = [record for record in records if record.origin != "region"]
    if not whole:
        raise InvalidRequest("a region needs a picture: send one, or ask for one first")
    if isinstance(given, Mapping):
        values = dict(given)
        name = values.pop("image", whole[-1].id)
        if len(values) != 1 or next(iter(values)) not in ("box", "point", "mask"):
            raise InvalidRequest(f"a region is one box, point or mask, not {', '.join(map(str, values)) or 'nothing'}")
        kind, value = next(iter(values.items()))
    else:
        name, value = whole[-1].id, given
        is_mask = isinstance(given, Image.Image) or (isinstance(given, np.ndarray) and given.ndim > 1)
        kind = "mask" if is_mask else {4: "box", 2: "point"}.get(_length(given), "")
    record = next((record for record in records if record.id == name), None)
    if record is None:
        raise UnknownImage.among(name, (record.id for record in records))
    if kind == "mask":
        return Region(image=record.id, mask=store.put_image(_mask_image(value, record)))
    numbers = _numbers(value, 4 if kind == "box" else 2 if kind == "point" else 0)
    scale = (1.0, 1.0) if max(numbers) <= 1 else (float(record.width), float(record.height))
    parts = [number / scale[place % 2] for place, number in enumerate(numbers)]
    if not all(0 <= part <= 1 for part in parts):
        raise InvalidRequest(f"the {kind} {given!r} reaches out of {record.id}, {record.width}x{record.height} pixels")
    if kind == "point":
        return Region(image=record.id, point=(parts[0], parts[1]))
    if parts[0] >= parts[2] or parts[1] >= parts[3]:
        raise InvalidRequest(f"the box {given!r} is empty: left, top, right, bottom")
    return Region(image=record.id, box=(parts[0], parts[1], parts[2], parts[3]))


def part_of(store: Artifacts, region: Region, records: Sequence[ImageRecord], turn: int) -> ImageRecord:
    """The part of a picture that a request is about, stored as a picture of its own, the next of `records`."""
    whole = next(record for record in records if record.id == region.image)
    image = store.picture(whole)
    part = part_alone(image, region_mask(region, image, store))
    return ImageRecord(
        id=image_name(max(record.number for record in records) + 1),
        key=store.put_image(part),
        width=part.width,
        height=part.height,
        origin="region",
        turn=turn,
        parents=(whole.id,),
        params=region.model_dump(exclude_none=True),
    )


def region_mask(region: Region, image: Image.Image, store: Artifacts) -> Mask:
    """[H, W] where the region is in its picture."""
    height, width = image.height, image.width
    if region.mask is not None:
        return np.asarray(store.image(region.mask).resize((width, height))) > 127
    selected = np.zeros((height, width), bool)
    if region.box is not None:
        left, top, right, bottom = region.box
        selected[round(top * height) : max(round(bottom * height), round(top * height) + 1),
                 round(left * width) : max(round(right * width), round(left * width) + 1)] = True  # fmt: skip
        return selected
    assert region.point is not None
    x, y = (min(int(part * side), side - 1) for part, side in zip(region.point, (width, height), strict=True))
    thing = _thing_at(np.asarray(image).astype(int), x, y)
    if thing is not None:
        return thing
    reach = round(max(width, height) * _AROUND)
    selected[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1] = True
    return selected


def part_alone(image: Image.Image, mask: Mask) -> Image.Image:
    """The picture with everything outside of `mask` [H, W] painted over in its background's colour."""
    pixels = np.asarray(image).copy()
    pixels[~mask] = border_color(pixels)
    return Image.fromarray(pixels)


def put_back(
    whole: Image.Image, part: Image.Image, edited: Image.Image, mask: Mask, beyond: bool = True
) -> Image.Image:
    """`whole` with what was edited in its `part`, where the region was.

    Args:
        beyond: and where the edit put something else. Only of a model that leaves alone what is flat.
    """
    if not beyond:
        return Image.composite(edited, whole, Image.fromarray((mask * 255).astype(np.uint8)))
    from scipy import ndimage

    differs = difference(edited, part) > _ALIKE
    changed = ndimage.binary_opening(differs, iterations=1)  # the decoder's faint noise is no change
    taken = mask | ndimage.binary_dilation(changed, iterations=_RIM)
    return Image.composite(edited, whole, Image.fromarray((taken * 255).astype(np.uint8)))


def _thing_at(pixels: NDArray[np.int_], x: int, y: int) -> Mask | None:
    """The pixels around a point that look like it, and their soft edge; None for a background."""
    from scipy import ndimage

    alike = np.abs(pixels - pixels[y, x]).max(2) <= _ALIKE
    labels, _ = ndimage.label(alike)
    thing = labels == labels[y, x]
    if thing.mean() > _BACKGROUND:
        return None
    grown: Mask = ndimage.binary_dilation(thing, iterations=_RIM)
    return grown


def _mask_image(value: Any, record: ImageRecord) -> Image.Image:
    if isinstance(value, np.ndarray) and value.dtype == bool:
        value = value.astype(np.uint8) * 255
    mask = admitted(value).convert("L").point(lambda level: 255 if level > 127 else 0)
    if abs(mask.width / mask.height - record.width / record.height) > 0.02 * record.width / record.height:
        raise InvalidRequest(
            f"the mask is {mask.width}x{mask.height} and {record.id} is {record.width}x{record.height}: "
            "they must have the same proportions"
        )
    if mask.getextrema() == (0, 0):
        raise InvalidRequest("the mask is empty: make it white where the region is")
    return mask


def _length(given: Any) -> int:
    return 0 if isinstance(given, (str, bytes)) or not hasattr(given, "__len__") else len(given)


def _numbers(value: Any, count: int) -> list[float]:
    try:
        numbers = [float(number) for number in value]
    except (TypeError, ValueError):
        numbers = []
    if not count or len(numbers) != count or not np.isfinite(numbers).all():
        raise InvalidRequest(
            f"{value!r} is no region: give a box (left, top, right, bottom), a point (x, y), or a mask"
        )
    return numbers
