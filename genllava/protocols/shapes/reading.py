"""Whether a picture is one that the model can read: what it noted of it is drawn again, and compared with it.

The model describes whatever it is shown as simple shapes, a photograph or a blank sheet as well. What does not come
back when its description is drawn was not there. Things are compared one by one, each moved to the same one of the
picture, since a description says in which part of a picture a thing is, and not where to the pixel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genllava.images import content_key
from genllava.options import CancelCheck
from genllava.protocols.shapes import layout
from genllava.protocols.shapes.latents import Picture
from genllava.protocols.shapes.layers import Layers, Mask, with_rim
from genllava.protocols.shapes.options import Settings
from genllava.protocols.shapes.painting import paint
from genllava.protocols.shapes.parts import ShapesParts
from genllava.protocols.shapes.segments import Plan

UNREADABLE: Final = "This does not look like a drawing of simple shapes, so I cannot read it."
_NOT_READ: Final = "I cannot read image"

LIKE: Final = 0.27
"""From this likeness on a picture is taken for what was noted of it. On dev the pictures of the renderer come to 0.6 at
least and 98 of 100 drawn elsewhere to 0.28, photographs, textures, noise, screenshots, blank ones to 0.26 at most."""
_REACH: Final = 3 / 16
"""How far a thing may be from where it is drawn, in parts of the picture's side: two that are further apart are not
described as in the same place."""
_ALIKE: Final = 150
"""Largest difference of a channel, in levels of 255, between shades of one colour."""
_SPECK: Final = 12
"""Pixels; what is smaller is no thing."""
_STEPS: Final = 1
"""Of drawing again, which need not be done neatly: with four it comes to the same."""
_REMEMBERED: Final = 1024
"""Pictures of which it is remembered whether they can be read."""

_Array = TypeVar("_Array", NDArray[np.bool_], NDArray[np.float64])


def read(
    parts: ShapesParts,
    seen: Sequence[str],
    pictures: Sequence[Sequence[Picture]],
    cancel: CancelCheck | None = None,
) -> list[str]:
    """What holds of what was noted for several requests: the notes without what was made up.

    Where a picture that is asked about cannot be read, it is said why, and nothing else (see `why_unread`).

    Args:
        seen: the notes for each request.
        pictures: those of each, all that there are; number K is the one at K - 1.

    Raises:
        Cancelled, NonFiniteError.
    """
    noted = [
        {number: words for number, words in layout.captions_in(text) if 1 <= number <= len(shown)}
        for text, shown in zip(seen, pictures, strict=True)
    ]
    places = [(row, number) for row, described in enumerate(noted) for number in described]
    shown = [pictures[row][number - 1] for row, number in places]
    reasons = dict(zip(places, doubts(parts, shown, [noted[r][n] for r, n in places], cancel), strict=True))
    return [
        _without(text, noted[row], {n: reasons[row, n] for n in noted[row] if reasons[row, n]})
        for row, text in enumerate(seen)
    ]


def why_unread(seen: str) -> str:
    """Why a picture that is asked about cannot be read, by what `read` returned; empty if it can."""
    return seen if seen.startswith(_NOT_READ) else ""


def _without(seen: str, noted: Mapping[int, str], reasons: Mapping[int, str]) -> str:
    for number in layout.spoken_of(seen):
        if number in reasons:
            return f"{_NOT_READ} {number}; {reasons[number]}"
    for number in reasons:
        seen = seen.replace(f"{layout.picture_prefix(number)} {noted[number]}", "")
    return " ".join(seen.split())


def doubts(
    parts: ShapesParts, pictures: Sequence[Picture], captions: Sequence[str], cancel: CancelCheck | None = None
) -> list[str]:
    """Why each picture cannot be read; empty where it can.

    What the model drew itself can be read. All that are not known yet are drawn in one batch.

    Args:
        captions: what the model noted of each.

    Raises:
        Cancelled, NonFiniteError.
    """
    keys = [(content_key(picture.image), caption) for picture, caption in zip(pictures, captions, strict=True)]
    known = parts.doubted
    new = {key: picture for key, picture in zip(keys, pictures, strict=True) if not picture.own and key not in known}
    if new:
        options = {"bridge": "caption", "num_inference_steps": _STEPS, "guidance_scale": 1.0, "cancel": cancel}
        settings = Settings.resolve(parts.config, options)  # type: ignore[arg-type]
        plans = [Plan(caption, None) for _, caption in new]
        for (key, picture), drawing in zip(
            new.items(), paint(parts, plans, None, None, [0] * len(new), settings), strict=True
        ):
            assert drawing.image is not None
            known[key] = "" if likeness(picture.image, drawing.image) >= LIKE else _reason(key[1])
    found = ["" if picture.own else known[key] for key, picture in zip(keys, pictures, strict=True)]
    while len(known) > _REMEMBERED:
        del known[next(iter(known))]
    return found


def likeness(picture: Image.Image, drawn: Image.Image) -> float:
    """How much of a picture and of what was drawn of its description are the same things, from 0 to 1.

    It is the share that is in both, in the same colour, of what is in either; 1 where both are blank.
    """
    redrawn = Layers.of(np.asarray(drawn).astype(float))
    shown = Layers.of(np.asarray(picture).astype(float), ~with_rim(redrawn.things))
    reach = round(picture.width * _REACH)
    left, same = [(thing, _middle(thing)) for thing in _things(shown)], 0
    for thing in _things(redrawn):
        best, match = (0.0, 0), None
        for number, (other, middle) in enumerate(left):
            offset = middle - _middle(thing)
            if np.abs(offset).max() > reach:
                continue
            moved, pixels = _moved(thing, offset), _moved(redrawn.pixels, offset)
            common = moved & other & (np.abs(shown.pixels - pixels).max(2) <= _ALIKE)
            share = common.sum() / (moved | other).sum()
            if share > best[0]:
                best, match = (share, int(common.sum())), number
        if match is not None:
            same += best[1]
            del left[match]
    either = int(redrawn.things.sum() + shown.things.sum()) - same
    return same / either if either else 1.0


def _reason(caption: str) -> str:
    return f"what I noted of it, drawn again, is another picture: {caption}"


def _things(layers: Layers) -> list[Mask]:
    """Each thing by itself, [H, W]."""
    from scipy import ndimage

    labels, count = ndimage.label(layers.things, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    return [labels == number for number in range(1, count + 1) if sizes[number] >= _SPECK]


def _middle(thing: Mask) -> NDArray[np.int_]:
    return np.asarray(np.argwhere(thing).mean(0).round().astype(int))


def _moved(array: _Array, offset: NDArray[np.int_]) -> _Array:
    """[H, W, ...] moved by (down, right) pixels; what comes in is zero."""
    moved = np.zeros_like(array)
    height, width = array.shape[:2]
    down, right = map(int, offset)
    moved[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = array[
        max(-down, 0) : height + min(-down, 0), max(-right, 0) : width + min(-right, 0)
    ]
    return moved
