"""`genllava demo`: questions, pictures, edits and a conversation, on one contact sheet."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from PIL import Image, ImageDraw

from genllava_agent.contact_sheet import ListTile, Section, Tile, contact_sheet
from genllava_agent.loading import load_pipeline
from genllava_agent.outputs import write_picture

if TYPE_CHECKING:
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
    pipeline = _timed(
        "loading the model",
        lambda _: load_pipeline(choice.model, choice.device, **choice.others),
        lambda _: "ready",
    )
    picture = example_picture()

    heading = _heading("Questions about a picture")
    answers = [_said(_timed(each, lambda each: pipeline.understand(picture, each), _said)) for each in QUESTIONS]
    shown = Tile("The picture", "not drawn by the model", picture)
    sections = [Section(heading, (shown, ListTile(tuple(zip(QUESTIONS, answers, strict=True)))))]

    for heading, requests, work in (
        ("Pictures from words", (*PROMPTS, BEYOND), lambda each: pipeline.generate(each, seed=seed)),
        ("Edits of the picture at the top", EDITS, lambda each: pipeline.edit(picture, each, seed=seed)),
    ):
        heading = _heading(heading)
        sections.append(Section(heading, tuple(_tile(each, _timed(each, work, _said)) for each in requests)))

    heading, tiles = _heading("One conversation"), []
    conversation = pipeline.conversation()
    for request in CONVERSATION:
        results = _timed(
            request, lambda each: conversation.ask(each, seed=seed), lambda results: "; ".join(map(_said, results))
        )
        tiles += [_tile("(the same request)" if number else request, each) for number, each in enumerate(results)]
    sections.append(Section(heading, tuple(tiles)))

    write_picture(target, contact_sheet(sections))
    print(f"\nwrote {target}, {time.perf_counter() - started:.1f} s in all")


def _tile(request: str, result: Any) -> Tile:
    return Tile(request, _said(result), getattr(result, "image", None))


def _said(result: Any) -> str:
    """What the model said: its plan for a picture it drew, otherwise its answer."""
    return (result.text if getattr(result, "image", None) is None else result.plan) or ""


def _heading(text: str) -> str:
    print(f"\n{text}")
    return text


def _timed(request: str, work: Callable[[str], T], told: Callable[[T], str]) -> T:
    """Print `request`, do `work` with it, and print what came of it with its time."""
    print(f"  {request}", end="", flush=True)
    started = time.perf_counter()
    result = work(request)
    print(f"  ->  {told(result)}  ({time.perf_counter() - started:.1f} s)")
    return result
