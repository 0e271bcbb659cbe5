"""Pictures made elsewhere, for tests: the things of this world in another hand, and pictures that show nothing of it.

Nothing here is trained on. The other hand is Twemoji (drawings by Twitter and others, CC BY 4.0), which is fetched as
the drawings of this world are, and kept in a file of its own beside them.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from genllava_finetune.data.durable_files import whole_file
from genllava_finetune.data.errors import DataError
from genllava_finetune.worlds.shapes.render import PALETTE
from genllava_finetune.worlds.things.art.archives import Package, fetch, read_package
from genllava_finetune.worlds.things.art.sprites import ArtMissing, place
from genllava_finetune.worlds.things.knowledge.things import Thing, things
from genllava_finetune.worlds.things.pictures.backgrounds import background
from genllava_finetune.worlds.things.pictures.render import CANVAS, paste, sprite
from genllava_finetune.worlds.things.pictures.scene import SIDES, Item, Scene
from genllava_finetune.worlds.things.pictures.unreadable import KINDS
from genllava_finetune.worlds.things.pictures.unreadable import unreadable as unreadable

OTHER: Final = Package(
    "@twemoji/svg",
    "15.0.0",
    "CC-BY-4.0",
    "sha512-ZSPef2B6nBaYnfgdTbAy4jgW95o7pi2xPGwGCU+WMTxo7J6B1lMPTWwSq/wTuiMq+N0khQ90CcvYp1wFoQpo/w==",
)
NOTICE: Final = (
    "Twemoji, graphics copyright Twitter, Inc. and other contributors, CC BY 4.0 "
    "(https://creativecommons.org/licenses/by/4.0/), turned into pixels and not changed otherwise."
)
SIDE: Final = 160
"""Of the other hand's drawings, in pixels."""
ASPECTS: Final = ((1, 1), (7, 6), (6, 5), (5, 4))
"""Width and height of other canvases, or the other way round."""

_Rgb = tuple[int, int, int]


class Elsewhere(NamedTuple):
    """A picture and what is true of it.

    Attributes:
        image: RGB, of any size.
        kind: what made it.
        scene: what it shows; None if nothing of this world.
        holds: which parts of the scene's items can be seen: of "name", "place", "size", "style", "colour"; and
            "background".
    """

    image: Image.Image
    kind: str
    scene: Scene | None = None
    holds: frozenset[str] = frozenset()


def other_place() -> Path:
    """The file that the other hand's drawings are kept in."""
    return place().with_name(f"things-twemoji-{OTHER.version}.npz")


def prepare_other(source: Path | None = None) -> Path:
    """Make the other hand's drawings, unless they are there.

    Args:
        source: a folder with the package. None fetches it with an npm client.

    Returns:
        Their file: `names` (of the things that it has), `pixels` uint8 [things, SIDE, SIDE, 4], and a `notice`.

    Raises:
        DataError: the package cannot be had or is damaged, or the file cannot be written.
    """
    from filelock import FileLock

    file = other_place()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f".{file.name}.lock")):
            if file.is_file() and _read_other(file) is not None:
                return file
            with tempfile.TemporaryDirectory(prefix="genllava-twemoji-") as fetched:
                if source is None:
                    fetch([OTHER], Path(fetched))
                drawn = _draw_other(source or Path(fetched))
            with whole_file(file) as open_file:
                names, pixels = np.array(list(drawn)), np.stack(list(drawn.values()))
                np.savez_compressed(open_file, names=names, pixels=pixels, notice=np.array(NOTICE))
    except OSError as error:
        raise DataError(f"{file} cannot be written: {error}") from None
    return file


@lru_cache(maxsize=1)
def other_sprites() -> Mapping[str, NDArray[np.uint8]]:
    """The other hand's drawings by the thing's name, uint8 [SIDE, SIDE, 4], not multiplied by the opacity.

    Raises:
        ArtMissing: they are not prepared: `prepare_other()` does so.
    """
    found = _read_other(other_place())
    if found is None:
        raise ArtMissing(f"{other_place()} is not there or damaged: elsewhere.prepare_other() makes it")
    return found


def _read_other(file: Path) -> dict[str, NDArray[np.uint8]] | None:
    try:
        with np.load(file) as kept:
            names, pixels = kept["names"].tolist(), kept["pixels"]
    except (OSError, ValueError, KeyError):
        return None
    known = {each.name for each in things()}
    if pixels.shape != (len(names), SIDE, SIDE, 4) or not known.issuperset(names):
        return None
    return dict(zip(names, pixels, strict=True))


def _draw_other(folder: Path) -> dict[str, NDArray[np.uint8]]:
    import resvg_py

    files = read_package(OTHER, folder, lambda name: name.endswith(".svg"))
    drawn = {}
    for each in things():
        svg = _svg(each, files)
        if svg is not None:
            png = bytes(resvg_py.svg_to_bytes(svg_string=svg.decode(), width=SIDE, height=SIDE))
            with Image.open(io.BytesIO(png)) as image:
                drawn[each.name] = np.asarray(image.convert("RGBA"))
    if not drawn:
        raise DataError(f"{folder}: {OTHER.name} has no drawing of any thing")
    return drawn


def _svg(each: Thing, files: Mapping[str, bytes]) -> bytes | None:
    code = each.hexcode.lower()
    for name in (code, code.replace("-fe0f", ""), f"{code}-fe0f"):
        if f"{name}.svg" in files:
            return files[f"{name}.svg"]
    return None


def by_another_hand(scene: Scene, random: Random) -> Elsewhere:
    """The scene with Twemoji's drawings of its things, in their own colours.

    What that set has no drawing of is left out, and so is a thing that was to be in another colour: it is in its own.
    """
    known = other_sprites()
    items = tuple(
        Item(item.name, item.size, item.place, None if item.style is None else "flat", _own(item), item.shift)
        for item in scene
        if item.style is None or item.name in known
    )
    shown = Scene(scene.background, items)
    side = random.choice((200, 240, 320, 480))
    image = _composed(shown, (side, side), _of_another_hand)
    return Elsewhere(image, "another hand", shown, frozenset({"background", "name", "place", "size"}))


def _own(item: Item) -> str | None:
    return item.colour if item.style is None else None


def _of_another_hand(item: Item, pixels: int) -> NDArray[np.float32]:
    if item.style is None:
        return sprite(item.name, None, item.colour, pixels)
    return _premultiplied(Image.fromarray(other_sprites()[item.name]), pixels)


def _premultiplied(image: Image.Image, pixels: int) -> NDArray[np.float32]:
    """[pixels, pixels, 4]: colours (0 to 255) times coverage, and coverage (0 to 1)."""
    resized = np.asarray(image.convert("RGBa").resize((pixels, pixels), Image.Resampling.LANCZOS), np.float32)
    return np.concatenate([resized[..., :3], resized[..., 3:] / 255], -1)


def _composed(scene: Scene, size: tuple[int, int], draw: Callable[[Item, int], NDArray[np.float32]]) -> Image.Image:
    """The scene on a canvas of that width and height: its places are thirds of it."""
    width, height = size
    longer = max(size)
    left, top = (longer - width) // 2, (longer - height) // 2
    canvas = background(scene.background, longer)[top : top + height, left : left + width].copy()
    for item in scene:
        pixels = 2 * round(SIDES[item.size] * (width * height) ** 0.5 / 2)
        x, y = item.middle
        paste(canvas, draw(item, pixels), round(x * width) - pixels // 2, round(y * height) - pixels // 2)
    return Image.fromarray(np.rint(canvas.clip(0, 255)).astype(np.uint8))


def as_outlines(scene: Scene, random: Random) -> Elsewhere:
    """A pen drawing: the edges of every item as lines of one colour, on a plain ground."""
    ground = random.choice(("white", "white", "beige", "gray", "black", "mint"))
    light = ground in {"black"}
    ink = random.choice(((235, 235, 230), (190, 220, 250)) if light else ((20, 20, 25), (30, 50, 120), (90, 40, 30)))
    width = random.choice((1, 1, 2))
    shown = Scene(ground, tuple(scene))
    image = _composed(shown, (CANVAS, CANVAS), lambda item, pixels: _outline(item, pixels, ink, width))
    return Elsewhere(image, "outlines", shown, frozenset({"background", "name", "place", "size"}))


def _outline(item: Item, pixels: int, ink: _Rgb, width: int) -> NDArray[np.float32]:
    """The edges of an item as a sprite: of its shape, and strong ones within."""
    art = sprite(item.name, item.style, item.colour, 3 * pixels)
    over_gray = art[..., :3] + (1 - art[..., 3:]) * 128
    edges = _slope(255 * art[..., 3], 0) * 0.6
    for channel in range(3):
        edges = np.maximum(edges, _slope(over_gray[..., channel], 128))
    lines = Image.fromarray((255 * (edges > 90)).astype(np.uint8))
    if width > 1:
        lines = lines.filter(ImageFilter.MaxFilter(3))
    cover = np.asarray(lines.resize((pixels, pixels), Image.Resampling.BOX), np.float32)[..., None] / 255
    cover = (cover * 1.6).clip(0, 1)
    return np.concatenate([cover * np.asarray(ink, np.float32), cover], -1)


def _slope(channel: NDArray[np.float32], beyond: float) -> NDArray[np.float32]:
    """How steep a channel [H, W] is at each pixel, with what lies beyond its edges."""
    padded = np.pad(channel, 1, constant_values=beyond)
    across, down = padded[1:-1, 2:] - padded[1:-1, :-2], padded[2:, 1:-1] - padded[:-2, 1:-1]
    steep: NDArray[np.float32] = np.hypot(across, down)
    return steep


def on_another_canvas(scene: Scene, random: Random) -> Elsewhere:
    """The scene's own drawings on a wide or tall canvas of 200 to 1200 pixels, with or without a margin around."""
    aspect = random.choice(ASPECTS)
    longer = random.randint(200, 1200)
    width, height = longer, round(longer * aspect[1] / aspect[0])
    if random.random() < 0.5:
        width, height = height, width
    image = _composed(
        scene, (width, height), lambda item, pixels: sprite(item.name, item.style, item.colour, min(pixels, 480))
    )
    if random.random() < 0.4:
        beside = round(longer * random.uniform(0.01, 0.04))
        colour = random.choice(((255, 255, 255), (0, 0, 0), (200, 200, 204)))
        whole = Image.new("RGB", (width + 2 * beside, height + 2 * beside), colour)
        whole.paste(image, (beside, beside))
        image = whole
    holds = frozenset({"background", "name", "place", "size", "style", "colour"})
    return Elsewhere(image, "another canvas", scene, holds)


def as_silhouettes(scene: Scene, random: Random) -> Elsewhere:
    """Every item as the silhouette of a thing in one flat colour: what children cut from paper."""
    colours: Sequence[_Rgb] = [rgb for rgb in PALETTE.values() if _far(rgb, scene.background)]
    image = _composed(scene, (CANVAS, CANVAS), lambda item, pixels: _silhouette(item, pixels, random.choice(colours)))
    return Elsewhere(image, "silhouettes", scene, frozenset({"background", "name", "place", "size"}))


def _far(rgb: _Rgb, ground: str) -> bool:
    seen = background(ground, CANVAS)[::8, ::8].reshape(-1, 3)
    return bool(np.quantile(np.abs(seen - np.asarray(rgb, np.float32)).max(-1), 0.1) > 60)


def _silhouette(item: Item, pixels: int, rgb: _Rgb) -> NDArray[np.float32]:
    cover = sprite(item.name, item.style, item.colour, pixels)[..., 3:]
    return np.concatenate([cover * np.asarray(rgb, np.float32), cover], -1)


def of_nothing(random: Random, kind: str | None = None) -> Elsewhere:
    """An unreadable picture, of one of `unreadable.KINDS`, of any if None."""
    kind = kind or random.choice(tuple(KINDS))
    return Elsewhere(unreadable(random, kind), kind)


READABLE: Final[dict[str, Callable[[Scene, Random], Elsewhere]]] = {
    "another hand": by_another_hand,
    "outlines": as_outlines,
    "another canvas": on_another_canvas,
    "silhouettes": as_silhouettes,
}
"""Each takes a scene; `of_nothing` makes the pictures without one."""
