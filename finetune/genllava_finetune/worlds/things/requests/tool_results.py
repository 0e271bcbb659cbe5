"""What tools answer, as the model reads it in conversations: the tools' own words and pictures.

Tools that take long, or need weights, are not run: their pictures are made roughly, their words as they have them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

from PIL import Image, ImageOps

from genllava.errors import InvalidRequest
from genllava_finetune.worlds.things.requests.tools import LOOKING, Call

DONE: Final = "Done."
"""What is said where a tool says nothing."""
_SLOW: Final = frozenset({"remove_background", "upscale", "depth_map", "read_text", "palette", "find_faces"})


def tool_result(source: random.Random, call: Call, images: Sequence[Image.Image]) -> tuple[str, Image.Image | None]:
    """What a tool says, and the picture that it makes; None for one that answers in words.

    Args:
        source: what is made up of the words of tools that are not run.
        call: with arguments as the model gives them; pictures by name.
        images: of the conversation so far.
    """
    arguments = dict(call.arguments)
    arguments |= {key: images[_number(arguments[key])] for key in ("image", "other") if key in arguments}
    if call.name in _SLOW:
        return _made_up(source, call, arguments["image"], arguments.get("box"))
    from genllava_tools.registry import find

    try:
        result = find(call.name)(**arguments)
    except InvalidRequest as error:  # such as two pictures that cannot be compared
        return str(error), None
    made = None if call.name in LOOKING or not result.images else result.image.convert("RGB")
    return result.text, made


def _number(name: Any) -> int:
    """Index of the picture `image_1`, `image_2` ..."""
    return int(str(name).partition("_")[2]) - 1


def _made_up(
    source: random.Random, call: Call, image: Image.Image, box: Sequence[float] | None
) -> tuple[str, Image.Image | None]:
    width, height = image.size
    if call.name == "find_faces":
        return "Found no face. Looked for the simple way (a cascade): faces from the side are missed.", None
    if call.name == "read_text":
        return "No text was found.", None
    if call.name == "palette":
        return f"#{source.randrange(1 << 24):06x} (light blue) {source.randint(50, 95)}%; #f3f3f2 (white) 2%.", None
    if call.name == "depth_map":
        return DONE, ImageOps.grayscale(image).convert("RGB")
    if call.name == "upscale":
        return f"Enlarged 2 times to {2 * width}x{2 * height} pixels.", image.resize((2 * width, 2 * height))
    left, top, right, bottom = box or (0.1, 0.1, 0.9, 0.9)
    kept = Image.new("RGB", image.size, "white")
    edges = (int(left * width), int(top * height), int(right * width), int(bottom * height))
    kept.paste(image.crop(edges), edges[:2])
    words = f"{source.randint(10, 400) / 10}% of the picture was kept, within [{left}, {top}, {right}, {bottom}] (0-1)."
    return f"{words} Found the simple way, by colours: GrabCut in the box.", kept
