"""What a picture shows, read from its pixels, and a request that many tests begin with."""

from __future__ import annotations

from PIL import Image

from genllava_finetune.worlds.shapes.parser import parse

CIRCLE = "draw a large red circle at the top left and a small blue square in the middle"


def shapes(image: Image.Image | None) -> set[tuple[str, str, str, str]]:
    assert image is not None
    scene = parse(image).scene
    assert scene is not None
    return {(thing.size, thing.color, thing.shape, thing.position) for thing in scene.things}
