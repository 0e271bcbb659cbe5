"""`genllava demo`: questions, pictures, edits and a conversation, on one contact sheet."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from PIL import Image, ImageDraw, ImageFont, ImageOps

from genllava_agent.files import write_picture
from genllava_agent.loading import load_pipeline

REQUESTS: Final = {
    "Questions about a picture": (
        "How many shapes are there?",
        "What colour is the circle?",
        "Is there a green triangle?",
        "What is left of the blue square?",
        "Are there more squares than circles?",
        "What colour is the star?",
        "Describe the picture.",
    ),
    "Pictures from words": (
        "a large red circle in the top left corner and a small blue square at the bottom, on white",
        "Draw three shapes on black, one of them a yellow star.",
        "two green triangles",
        "could you draw an orange diamond to the left of a cyan circle?",
        "Draw a dog riding a bicycle.",
    ),
    "Edits of the picture at the top": (
        "Make the circle green.",
        "Remove the blue square.",
        "Replace the triangle with a star.",
        "Change the background to black.",
        "Make the star bigger.",
    ),
    "One conversation": (
        "Draw a large red circle at the top left and a small yellow star in the middle.",
        "Now make the circle blue.",
        "How many shapes are there, and what colour is the star?",
        "Remove the star, then tell me what you see.",
    ),
}
COLUMNS: Final = 5
SIDE: Final = 232
"""Width and height of a picture on the sheet, in pixels."""
_MARGIN, _GAP = 28, 22
_PAPER, _CARD, _FRAME, _INK, _SOFT = "#faf9f6", "#f0eee7", "#cdccc7", "#1c1e24", "#5c606a"


class Tile(NamedTuple):
    """A picture with what was asked (`title`) and what came of it (`text`) below; without a picture the text stands in
    its place."""

    title: str
    text: str = ""
    image: Image.Image | None = None


def example_picture() -> Image.Image:
    """A drawing as a person might make one: not by the code that drew the training pictures."""
    image = Image.new("RGB", (1280, 1280), (252, 252, 250))
    draw = ImageDraw.Draw(image)
    draw.ellipse((56, 56, 376, 376), fill=(214, 36, 40))
    draw.rectangle((552, 552, 720, 720), fill=(40, 74, 208))
    draw.polygon((1064, 912, 1232, 1208, 896, 1208), fill=(34, 146, 66))
    return image.resize((320, 320), Image.Resampling.LANCZOS)


def run(target: Path, seed: int, choice: dict[str, Any]) -> None:
    """Do all of it, say what is being done and how long it took, and write the contact sheet to `target`."""
    started = time.perf_counter()
    print("  loading the model", end="", flush=True)
    pipeline = load_pipeline(**choice)
    print(f"  ->  ready  ({time.perf_counter() - started:.1f} s)")
    picture, conversation = example_picture(), pipeline.conversation()
    works: tuple[Callable[[str], list[Any]], ...] = (
        lambda asked: [pipeline.understand(picture, asked)],
        lambda asked: [pipeline.generate(asked, seed=seed)],
        lambda asked: [pipeline.edit(picture, asked, seed=seed)],
        lambda asked: conversation.ask(asked, seed=seed),
    )
    sections: dict[str, list[Tile]] = {}
    for (heading, requests), work in zip(REQUESTS.items(), works, strict=True):
        print(f"\n{heading}")
        tiles = [] if sections else [Tile("The picture", "not drawn by the model", picture)]
        for request in requests:
            print(f"  {request}", end="", flush=True)
            begun = time.perf_counter()
            made = [(result, getattr(result, "image", None)) for result in work(request)]
            said = [(result.text if image is None else result.plan) or "" for result, image in made]
            print(f"  ->  {'; '.join(said)}  ({time.perf_counter() - begun:.1f} s)")
            for number, (text, (_, image)) in enumerate(zip(said, made, strict=True)):
                tiles.append(Tile("(the same request)" if number else request, text, image))
        sections[heading] = tiles
    write_picture(target, contact_sheet(sections))
    print(f"\nwrote {target}, {time.perf_counter() - started:.1f} s in all")


def contact_sheet(sections: Mapping[str, Sequence[Tile]]) -> Image.Image:
    """Tiles under their headings, `COLUMNS` to a row; the height follows from what they say."""
    rows = []
    for heading, tiles in sections.items():
        rows.append(_words(heading, 26, _INK, COLUMNS * (SIDE + _GAP) - _GAP))
        drawn = [_drawn(tile) for tile in tiles]
        rows += [_joined(drawn[first : first + COLUMNS]) for first in range(0, len(drawn), COLUMNS)]
    return ImageOps.expand(_joined(rows, down=True), _MARGIN, _PAPER)


def wrap(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: float) -> list[str]:
    """`text` in lines of as many letters as are surely no wider than `width` pixels, or of one."""
    for letters in range(max(1, int(width / 3)), 0, -1):
        lines = textwrap.wrap(text, letters)
        if all(font.getlength(line) <= width for line in lines):
            break
    return lines


def _drawn(tile: Tile) -> Image.Image:
    """A tile, as high as its words ask for."""
    title, text = _words(tile.title, 17, _INK), _words(tile.text, 15, _SOFT)
    if tile.image is None:
        card, below = Image.new("RGB", (SIDE, SIDE), _CARD), [title]
        card.paste(_words(tile.text, 20, _INK, SIDE - 32, _CARD), (16, 16))
    else:
        card, below = ImageOps.pad(tile.image.convert("RGB"), (SIDE, SIDE), color=_PAPER), [title, text]
    ImageDraw.Draw(card).rectangle((0, 0, SIDE - 1, SIDE - 1), outline=_FRAME)
    return _joined([card, *below], down=True, gap=6)


def _words(text: str, size: int, ink: str, width: int = SIDE, paper: str = _PAPER) -> Image.Image:
    font = ImageFont.load_default(size)
    lines = wrap(text, font, width)
    image = Image.new("RGB", (width, max(1, round(len(lines) * size * 1.3))), paper)
    ImageDraw.Draw(image).multiline_text((0, 0), "\n".join(lines), fill=ink, font=font, spacing=size * 0.15)
    return image


def _joined(images: Sequence[Image.Image], down: bool = False, gap: int = _GAP) -> Image.Image:
    """Images beside each other, or under each other."""
    widths, heights = [image.width for image in images], [image.height for image in images]
    (along, across), at = (heights, widths) if down else (widths, heights), 0
    size = (sum(along) + gap * (len(images) - 1), max(across))
    whole = Image.new("RGB", size[::-1] if down else size, _PAPER)
    for image, length in zip(images, along, strict=True):
        whole.paste(image, (0, at) if down else (at, 0))
        at += length + gap
    return whole
