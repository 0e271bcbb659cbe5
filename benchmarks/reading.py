"""Which pictures the shipped model declines to read: `python -m benchmarks.reading`.

It should decline photographs, textures, noise, screenshots and blank pictures, and none of the drawings of simple
shapes, its own and those made elsewhere.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator
from typing import Final

from PIL import Image

from benchmarks.outside_pictures import outside_pictures
from genllava import GenLlavaPipeline
from genllava.protocols.shapes.reading import UNREADABLE
from genllava_finetune.intervals import Share
from genllava_finetune.worlds.shapes.elsewhere import draw_elsewhere
from genllava_finetune.worlds.shapes.render import render
from genllava_finetune.worlds.shapes.scene import Scene
from genllava_finetune.worlds.shapes.splits import RESEARCH, Split, sample_scene

QUESTION: Final = "What does this picture show?"
INSTRUCTION: Final = "Make the background black."
BATCH: Final = 25


def measure(pipeline: GenLlavaPipeline, n: int = 500, split: Split = "dev") -> dict[str, object]:
    """Ask what pictures show, and tell to change some of them.

    Args:
        n: drawings of each of the two kinds.

    Returns:
        outside: of each kind of other pictures, the share that was declined, and `all` of them.
        edits: those of them that were drawn into nevertheless.
        own, elsewhere: the share of drawings of simple shapes that was declined.
    """
    kinds: dict[str, list[Image.Image]] = {}
    for kind, image in outside_pictures():
        kinds.setdefault(kind, []).append(image)
    outside = {kind: _declined(pipeline, images) for kind, images in kinds.items()}
    everything = [image for images in kinds.values() for image in images]
    drawn = sum(
        drawing.image is not None
        for part in _batches(everything)
        for drawing in pipeline.edit(part, [INSTRUCTION] * len(part), seed=0)
    )
    makers: dict[str, Callable[[random.Random, Scene], Image.Image]] = {
        "own": lambda rng, scene: render(scene),
        "elsewhere": draw_elsewhere,
    }
    result: dict[str, object] = {"outside": {kind: str(Share.of(share)) for kind, share in outside.items()}}
    result["all outside"] = str(Share.of([declined for share in outside.values() for declined in share]))
    result["edits of them"] = drawn
    for name, make in makers.items():
        rng = random.Random(f"reading:{name}:{split}")
        images = [make(rng, sample_scene(rng, split, withhold=RESEARCH)) for _ in range(n)]
        result[name] = str(Share.of(_declined(pipeline, images)))
    return result


def _declined(pipeline: GenLlavaPipeline, images: list[Image.Image]) -> list[bool]:
    """Whether each picture was declined."""
    return [
        answer.text == UNREADABLE and bool(answer.unsure)
        for part in _batches(images)
        for answer in pipeline.understand(part, [QUESTION] * len(part))
    ]


def _batches(images: list[Image.Image]) -> Iterator[list[Image.Image]]:
    for start in range(0, len(images), BATCH):
        yield images[start : start + BATCH]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading", description=__doc__)
    parser.add_argument("--n", type=int, default=500, help="drawings of each kind")
    parser.add_argument("--split", choices=["dev", "test"], default="dev")
    options = parser.parse_args()
    for name, value in measure(GenLlavaPipeline.from_pretrained(), options.n, options.split).items():
        print(name, json.dumps(value), flush=True)


if __name__ == "__main__":
    main()
