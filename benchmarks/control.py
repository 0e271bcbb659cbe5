"""Edges beside words, with the model that ships: does the layout of the edges stay, are the colours those of the words?

Each case is a layout that no training picture of the ControlNet had: its edges are found in a picture of it in some
colours, and it is asked for in others, in words that do not say where anything is. It is drawn with the edges and, from
the same plan and seed, without.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from genllava import Drawing, GenLlavaPipeline
from genllava_finetune.intervals import Share
from genllava_finetune.worlds.shapes.lab import distances, lab_of, to_lab
from genllava_finetune.worlds.shapes.layouts import is_held_out_layout, recoloured
from genllava_finetune.worlds.shapes.render import BACKDROP, PALETTE, coverage, paint, render
from genllava_finetune.worlds.shapes.scene import CANVAS, RADIUS, SHAPES, Scene, Thing
from genllava_finetune.worlds.shapes.splits import Split, in_distribution, sample_scene
from genllava_tools.edges import edge_map

CASES: Final = 200
BATCH: Final = 25
KEPT: Final = 0.7
"""Least intersection over union of an object with the place that the layout has for it."""
CONTRAST: Final = 22.0
"""Distance from the background, in L*a*b*, from which a pixel may belong to an object."""
SPECK: Final = 20
"""Regions of fewer pixels are noise: the smallest object, a small star, covers about 90."""
NO_COLOR: Final = 38.0
"""Distance from every colour of the palette, in L*a*b*, from which an object has none of them."""
SHEET: Final = 12

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Case:
    """A layout in edges, and the same layout in other colours as it is asked for.

    Attributes:
        asked: what has to be drawn.
        prompt: it in words, without places.
    """

    edges: Image.Image
    asked: Scene
    prompt: str
    seed: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a picture compares with what its case asks for.

    Attributes:
        overlaps: intersection over union of each object of the layout with what is drawn there, 0 where nothing is.
        layout: each object is where and as large as the layout has it, in its shape, and nothing else is drawn.
        colors: the objects have the colours that were asked for, wherever they are, and the background has its own.
        both: the layout is kept, and each object has the colour that was asked for it.
    """

    overlaps: tuple[float, ...]
    layout: bool
    colors: bool
    both: bool


def cases(n: int = CASES, split: Split = "test") -> Iterator[Case]:
    """Layouts that are held out, asked for as scenes of a split that is."""
    rng = random.Random(f"control:{split}")
    for seed in range(n):
        asked = sample_scene(rng, split, want=lambda scene: in_distribution(scene) and is_held_out_layout(scene))
        yield Case(edge_map(render(recoloured(rng, asked))).image, asked, say(rng, asked), seed)


def say(rng: random.Random, scene: Scene) -> str:
    """`draw a small red star and a large blue circle on a white background`."""
    things = [f"a {thing.size} {thing.color} {thing.shape}" for thing in rng.sample(scene.things, len(scene.things))]
    *first, last = things
    listed = f"{', '.join(first)} and {last}" if first else last
    return f"draw {listed} on a {scene.background} background"


def judge(picture: Image.Image, asked: Scene) -> Verdict:
    """Compare a picture with what was asked for, by its pixels alone."""
    pixels = np.asarray(picture.convert("RGB"))
    ground = np.median(pixels, axis=(0, 1))
    regions = list(_regions(pixels, ground))
    found = [_best(thing, regions) for thing in asked.things]
    kept = (
        all(overlap >= KEPT and _has_shape(thing, regions[at][0]) for thing, (at, overlap) in zip(
            asked.things, found, strict=True))
        and len(regions) == len({at for at, _ in found}) == len(found)
    )  # fmt: skip
    background = list(BACKDROP)[int(distances(to_lab(ground), lab_of(BACKDROP)).argmin())] == asked.background
    colors = background and sorted(color for _, color in regions) == sorted(thing.color for thing in asked.things)
    drawn = sorted((t.shape, t.size, regions[at][1]) for t, (at, _) in zip(asked.things, found, strict=True) if kept)
    wanted = sorted((thing.shape, thing.size, thing.color) for thing in asked.things)
    return Verdict(tuple(overlap for _, overlap in found), kept, colors, kept and background and drawn == wanted)


def measure(
    pipeline: GenLlavaPipeline, n: int = CASES, split: Split = "test", sheet: Path | None = None
) -> dict[str, object]:
    """Shares of pictures, with and without control, in percent with 95% intervals; and the mean overlap.

    Args:
        sheet: where a picture of the first cases is saved: edges, with control, without.
    """
    chosen = list(cases(n, split))
    results: dict[str, object] = {"cases": len(chosen), "overlap_from": KEPT}
    pictures: list[list[Image.Image]] = []
    for name, controlled in (("control", True), ("without", False)):
        drawings = _draw(pipeline, chosen, controlled)
        verdicts = [
            judge(drawing.image, case.asked) if drawing.image is not None else Verdict((0.0,), False, False, False)
            for drawing, case in zip(drawings, chosen, strict=True)
        ]
        pictures.append([drawing.image or Image.new("RGB", (CANVAS, CANVAS)) for drawing in drawings[:SHEET]])
        results[name] = {
            "layout": str(Share.of(verdict.layout for verdict in verdicts)),
            "colors": str(Share.of(verdict.colors for verdict in verdicts)),
            "both": str(Share.of(verdict.both for verdict in verdicts)),
            "mean_overlap": round(float(np.mean([each for verdict in verdicts for each in verdict.overlaps])), 3),
            "wrong": [case.seed for case, verdict in zip(chosen, verdicts, strict=True) if not verdict.both][:40],
        }
    if sheet is not None:
        _sheet([[case.edges for case in chosen[:SHEET]], *pictures]).save(sheet)
    return results


def _draw(pipeline: GenLlavaPipeline, chosen: Sequence[Case], controlled: bool) -> list[Drawing]:
    drawings: list[Drawing] = []
    for start in range(0, len(chosen), BATCH):
        part = chosen[start : start + BATCH]
        control = {"canny": [case.edges for case in part]} if controlled else None
        prompts, seeds = [case.prompt for case in part], [case.seed for case in part]
        drawings += pipeline.generate(prompts, seed=seeds, control=control)
    return drawings


def _regions(pixels: NDArray[np.uint8], ground: NDArray[np.float64]) -> Iterator[tuple[Mask, str]]:
    """The objects of a picture: their pixels, and their colours."""
    contrast = np.linalg.norm(to_lab(pixels) - to_lab(ground), axis=-1)
    labels, count = ndimage.label(contrast > CONTRAST, structure=np.ones((3, 3)))
    for index in range(1, count + 1):
        region = labels == index
        if region.sum() < SPECK:
            continue
        core = ndimage.binary_erosion(region, iterations=2)
        color = np.median(pixels[core if core.sum() >= 5 else region], axis=0)
        far = distances(to_lab(color), lab_of(PALETTE))
        # The edge of a soft shape lies where a pixel is half object, half background.
        toward = color - ground
        half = (pixels - ground) @ toward / float(toward @ toward) > 0.5
        yield half & ndimage.binary_dilation(region), list(PALETTE)[int(far.argmin())] if far.min() < NO_COLOR else ""


def _mask(thing: Thing, shape: str) -> Mask:
    """Where `thing` is, or would be in another shape."""
    canvas = np.zeros((CANVAS, CANVAS, 3), np.float32)
    x, y = thing.center
    paint(canvas, coverage(shape, RADIUS[thing.size]), round(x), round(y), np.ones(3, np.float32))
    return np.asarray(canvas[..., 0] > 0.5)


def _overlap(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


def _best(thing: Thing, regions: Sequence[tuple[Mask, str]]) -> tuple[int, float]:
    """(Number of the region that overlaps most with an object, how much); (-1, 0) where there is none."""
    wanted = _mask(thing, thing.shape)
    overlaps = [_overlap(mask, wanted) for mask, _ in regions]
    at = int(np.argmax(overlaps)) if overlaps else -1
    return (at, overlaps[at]) if at >= 0 and overlaps[at] > 0 else (-1, 0.0)


def _has_shape(thing: Thing, mask: Mask) -> bool:
    """Whether no other shape in its place is more like what is drawn there."""
    return max(SHAPES, key=lambda shape: _overlap(mask, _mask(thing, shape))) == thing.shape


def _sheet(rows: Sequence[Sequence[Image.Image]], gap: int = 6) -> Image.Image:
    step = CANVAS + gap
    sheet = Image.new("RGB", (len(rows[0]) * step - gap, len(rows) * step - gap), (90, 90, 90))
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            sheet.paste(image, (x * step, y * step))
    return sheet
