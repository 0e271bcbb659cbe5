"""Draw the sprites of all things from the packages: three styles, each thing filling a square."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genllava_finetune.data.errors import DataError
from genllava_finetune.worlds.things.art.archives import Package, read_package
from genllava_finetune.worlds.things.knowledge.things import Thing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_ICONS: Final = {"flat": "@iconify-json/fluent-emoji-flat", "cartoon": "@iconify-json/noto"}
_SOLID: Final = "@lobehub/fluent-emoji-3d"
_NAMES: Final = "emojibase-data"


def draw_all(
    things: Sequence[Thing], packages: Sequence[Package], folder: Path, side: int
) -> dict[str, NDArray[np.uint8]]:
    """Draw every thing in every style.

    Args:
        things: which, in the order in which the sprites come.
        packages: the four.
        folder: where they lie.
        side: height and width of a sprite in pixels.

    Returns:
        By style, [things, side, side, 4] with the colours not multiplied by the opacity.

    Raises:
        DataError: a package is missing or damaged, or lacks a thing.
    """
    import numpy as np

    by_name = {package.name: package for package in packages}
    known = json.loads(_file(by_name[_NAMES], folder, "en/data.json"))
    labels = {entry["hexcode"]: entry["label"] for entry in known}
    for thing in things:
        if labels.get(thing.hexcode) != thing.label:
            raise DataError(f"{thing.name}: {thing.hexcode} is {labels.get(thing.hexcode)!r}, and not {thing.label!r}")
    drawn = {"3d": _solid(things, by_name[_SOLID], folder, side)}
    for style, name in _ICONS.items():
        drawn[style] = _icons(things, by_name[name], folder, side)
    return {style: np.stack([np.asarray(image, dtype=np.uint8) for image in images]) for style, images in drawn.items()}


def _file(package: Package, folder: Path, name: str) -> bytes:
    files = read_package(package, folder, lambda each: each == name)
    if name not in files:
        raise DataError(f"{folder}: {package.name} lacks {name}")
    return files[name]


def _solid(things: Sequence[Thing], package: Package, folder: Path, side: int) -> list[Image]:
    from PIL import Image

    files = read_package(package, folder, lambda name: name.startswith("assets/") and name.endswith(".webp"))
    pictures = {Path(name).stem: content for name, content in files.items()}
    images = []
    for thing in things:
        content = pictures[_code(thing, pictures, package)]
        with Image.open(io.BytesIO(content)) as image:
            images.append(image.convert("RGBA").resize((side, side), Image.Resampling.LANCZOS))
    return images


def _icons(things: Sequence[Thing], package: Package, folder: Path, side: int) -> list[Image]:
    files = read_package(package, folder, lambda name: name in {"icons.json", "chars.json"})
    if len(files) != 2:
        raise DataError(f"{folder}: {package.name} lacks icons.json or chars.json")
    icons, names = (json.loads(files[name]) for name in ("icons.json", "chars.json"))
    return [_draw(_svg(icons, names[_code(thing, names, package)], side), side) for thing in things]


def _code(thing: Thing, known: Mapping[str, Any], package: Package) -> str:
    """The thing's code point as the package writes it: with or without the sign that asks for colours."""
    bare = thing.hexcode.lower().replace("-fe0f", "")
    for code in (thing.hexcode.lower(), bare, f"{bare}-fe0f"):
        if code in known:
            return code
    raise DataError(f"{package.name} has no drawing of {thing.name} ({thing.hexcode})")


def _svg(icons: Mapping[str, Any], name: str, side: int) -> str:
    """The icon in a square, in the middle of it where it is not square itself."""
    found = icons["icons"].get(name) or icons["icons"][icons["aliases"][name]["parent"]]
    width, height = (found.get(key, icons.get(key, 16)) for key in ("width", "height"))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{side}" height="{side}" viewBox="{found.get("left", 0)} {found.get("top", 0)} {width} {height}">'
        f"{found['body']}</svg>"
    )


def _draw(svg: str, side: int) -> Image:
    import resvg_py
    from PIL import Image

    with Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=side, height=side)))) as image:
        return image.convert("RGBA")
