"""`genllava demo`: questions, pictures, edits and a conversation, on one contact sheet."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from PIL import Image, ImageDraw

from genllava_agent.contact_sheet import Tile, contact_sheet
from genllava_agent.loading import load_pipeline
from genllava_agent.outputs import write_picture

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
    "Draw a dog riding a bicycle.",
)
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
    parts: dict[str, tuple[tuple[str, ...], Callable[[str], list[Any]]]] = {
        "Questions about a picture": (QUESTIONS, lambda asked: [pipeline.understand(picture, asked)]),
        "Pictures from words": (PROMPTS, lambda asked: [pipeline.generate(asked, seed=seed)]),
        "Edits of the picture at the top": (EDITS, lambda asked: [pipeline.edit(picture, asked, seed=seed)]),
        "One conversation": (CONVERSATION, lambda asked: conversation.ask(asked, seed=seed)),
    }
    sections: dict[str, list[Tile]] = {}
    for heading, (requests, work) in parts.items():
        print(f"\n{heading}")
        tiles = [] if sections else [Tile("The picture", "not drawn by the model", picture)]
        for request in requests:
            print(f"  {request}", end="", flush=True)
            begun = time.perf_counter()
            made = [(_said(result), getattr(result, "image", None)) for result in work(request)]
            print(f"  ->  {'; '.join(said for said, _ in made)}  ({time.perf_counter() - begun:.1f} s)")
            tiles += [Tile("(the same request)" if n else request, *each) for n, each in enumerate(made)]
        sections[heading] = tiles
    write_picture(target, contact_sheet(sections))
    print(f"\nwrote {target}, {time.perf_counter() - started:.1f} s in all")


def _said(result: Any) -> str:
    """What the model said: its plan for a picture it drew, otherwise its answer."""
    return (result.text if getattr(result, "image", None) is None else result.plan) or ""
