"""`genllava demo`: questions, pictures, edits and a conversation, on one contact sheet."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import typer
from PIL import Image, ImageDraw

from genllava_agent.contact_sheet import ListTile, PictureTile, Section, SpokenTile, Tile, contact_sheet
from genllava_agent.loading import load_pipeline
from genllava_agent.outputs import write_picture

if TYPE_CHECKING:
    from genllava import Drawing, GenLlavaPipeline, Understanding
    from genllava_agent.user_config import ModelChoice

T = TypeVar("T")

QUESTIONS: Final = (
    "How many shapes are there?",
    "What colour is the circle?",
    "Is there a green triangle?",
    "What is left of the blue square?",
    "Are there more squares than circles?",
    "What colour is the star?",
    "Describe the picture.",
)
PROMPTS: Final = (
    "a large red circle in the top left corner and a small blue square at the bottom, on white",
    "Draw three shapes on black, one of them a yellow star.",
    "two green triangles",
    "could you draw an orange diamond to the left of a cyan circle?",
)
BEYOND: Final = "Draw a dog riding a bicycle."
EDITS: Final = (
    "Make the circle green.",
    "Remove the blue square.",
    "Replace the triangle with a star.",
    "Change the background to black.",
    "Make the star bigger.",
)
CONVERSATION: Final = (
    "Draw a large red circle at the top left and a small yellow star in the middle.",
    "Now make the circle blue.",
    "How many shapes are there, and what colour is the star?",
    "Remove the star, then tell me what you see.",
)


def example_picture() -> Image.Image:
    """A drawing as a person might make one: not by the code that drew the training pictures."""
    scale = 4
    image = Image.new("RGB", (320 * scale, 320 * scale), (252, 252, 250))
    draw = ImageDraw.Draw(image)
    draw.ellipse([side * scale for side in (14, 14, 94, 94)], fill=(214, 36, 40))
    draw.rectangle([side * scale for side in (138, 138, 180, 180)], fill=(40, 74, 208))
    draw.polygon([side * scale for side in (266, 228, 308, 302, 224, 302)], fill=(34, 146, 66))
    return image.resize((320, 320), Image.Resampling.LANCZOS)


def run(target: Path, seed: int, choice: ModelChoice) -> None:
    """Do all of it, say what is being done and how long it took, and write the contact sheet to `target`."""
    started = time.perf_counter()
    load = partial(load_pipeline, choice.model, choice.device, **choice.others)
    pipeline = _announce("loading the model", load, lambda _: "ready")
    picture = example_picture()
    sections = [
        _questions(pipeline, picture),
        _drawings(pipeline, seed),
        _edits(pipeline, picture, seed),
        _conversation(pipeline, seed),
    ]
    write_picture(target, contact_sheet(sections))
    typer.echo(f"\nwrote {target}, {time.perf_counter() - started:.1f} s in all")


def _questions(pipeline: GenLlavaPipeline, picture: Image.Image) -> Section:
    heading = _heading("Questions about a picture")
    pairs = []
    for question in QUESTIONS:
        answer = _announce(question, partial(pipeline.understand, picture, question), _words)
        pairs.append((question, _words(answer)))
    return Section(heading, (PictureTile(picture, "The picture", "not drawn by the model"), ListTile(tuple(pairs))))


def _drawings(pipeline: GenLlavaPipeline, seed: int) -> Section:
    heading = _heading("Pictures from words")
    tiles = []
    for prompt in (*PROMPTS, BEYOND):
        tiles.append(_tile(prompt, _announce(prompt, partial(pipeline.generate, prompt, seed=seed), _words)))
    return Section(heading, tuple(tiles))


def _edits(pipeline: GenLlavaPipeline, picture: Image.Image, seed: int) -> Section:
    heading = _heading("Edits of the picture at the top")
    tiles = []
    for instruction in EDITS:
        edit = partial(pipeline.edit, picture, instruction, seed=seed)
        tiles.append(_tile(instruction, _announce(instruction, edit, _words)))
    return Section(heading, tuple(tiles))


def _conversation(pipeline: GenLlavaPipeline, seed: int) -> Section:
    heading = _heading("One conversation")
    conversation = pipeline.conversation()
    tiles: list[Tile] = []
    for request in CONVERSATION:
        results = _announce(request, partial(conversation.ask, request, seed=seed), _all_words)
        tiles += [_tile(request if number == 0 else "(the same request)", r) for number, r in enumerate(results)]
    return Section(heading, tuple(tiles))


def _tile(request: str, result: Drawing | Understanding) -> Tile:
    image = _image(result)
    return SpokenTile(_words(result), request) if image is None else PictureTile(image, request, _words(result))


def _image(result: Drawing | Understanding) -> Image.Image | None:
    from genllava import Drawing

    return result.image if isinstance(result, Drawing) else None


def _words(result: Drawing | Understanding) -> str:
    """What the model said: its plan for a picture it drew, otherwise its answer."""
    from genllava import Drawing

    if isinstance(result, Drawing) and result.image is not None:
        return result.plan or ""
    return result.text or ""


def _all_words(results: Sequence[Drawing | Understanding]) -> str:
    return "; ".join(_words(result) for result in results)


def _heading(text: str) -> str:
    typer.echo(f"\n{text}")
    return text


def _announce(request: str, work: Callable[[], T], words: Callable[[T], str]) -> T:
    """Print `request`, do `work`, and print what came of it with its time."""
    typer.echo(f"  {request}", nl=False)
    sys.stdout.flush()
    started = time.perf_counter()
    result = work()
    typer.echo(f"  ->  {words(result)}  ({time.perf_counter() - started:.1f} s)")
    return result
