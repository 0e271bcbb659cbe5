"""Tools that give figures: sizes, distances, colours, and how far two pictures are apart."""

from __future__ import annotations

import math
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from pydantic import Field

from genllava.errors import InvalidRequest
from genllava.images import difference
from genllava_tools.arguments import POINT_WORDS, Picture, Point
from genllava_tools.coordinates import box_of_pixels
from genllava_tools.registry import visual_tool

_NAMED: Final = {
    "black": (0, 0, 0), "dark gray": (70, 70, 70), "gray": (128, 128, 128), "light gray": (200, 200, 200),
    "white": (255, 255, 255), "red": (225, 25, 25), "dark red": (130, 10, 20), "orange": (245, 140, 20),
    "dark brown": (60, 30, 15), "brown": (125, 75, 40), "light brown": (175, 130, 90), "beige": (230, 210, 180),
    "yellow": (245, 225, 40), "olive": (120, 120, 20), "light green": (150, 230, 140), "green": (30, 150, 45),
    "dark green": (10, 75, 25), "turquoise": (50, 200, 190), "light blue": (150, 200, 240), "blue": (30, 60, 230),
    "dark blue": (15, 20, 100), "purple": (125, 40, 160), "magenta": (230, 40, 210), "pink": (245, 160, 190),
}  # fmt: skip
_SAMPLED: Final = 256
"""Pixels of the longer side of a picture whose colours are counted."""
_COMPARED: Final = 2048
"""Pixels of the longer side of pictures that are compared, at most: memory goes with their number."""
_DIFFERENT: Final = 16
"""Levels of 255 from which on a pixel counts as changed."""
_BARS: Final = (512, 256)


@visual_tool(kind="look")
def measure(
    image: Picture,
    start: Annotated[Point | None, Field(description=f"To measure a distance, where it begins: {POINT_WORDS}.")] = None,
    end: Annotated[Point | None, Field(description=f"To measure a distance, where it ends: {POINT_WORDS}.")] = None,
) -> dict[str, Any] | tuple[str, dict[str, Any]]:
    """Measure a picture: its size, proportions, mean colour, brightness, contrast and sharpness; with two points, how
    far they are apart in pixels, and in which direction the second lies (0 degrees is right, 90 is down).
    """
    if (start is None) != (end is None):
        raise InvalidRequest("a distance has two ends: give both `start` and `end`, or neither")
    gray = np.asarray(image.convert("L"), float)
    color = [round(float(level)) for level in np.asarray(image).reshape(-1, 3).mean(0)]
    edges = np.asarray(image.convert("L").filter(ImageFilter.Kernel((3, 3), (0, 1, 0, 1, -4, 1, 0, 1, 0), 1, 128)))
    inner = edges[1:-1, 1:-1].astype(float)  # the filter leaves the outermost pixels as they are
    found: dict[str, Any] = {
        "width": image.width,
        "height": image.height,
        "aspect": round(image.width / image.height, 4),
        "mean_color": color,
        "brightness": round(float(gray.mean() / 255), 4),
        "contrast": round(float(gray.std() / 127.5), 4),
        "sharpness": round(float(inner.std() / 255), 4) if inner.size else 0.0,
    }
    said = (
        f"{image.width}x{image.height} pixels, mean colour {_hex(color)}, brightness {found['brightness']:.2f} of 1, "
        f"contrast {found['contrast']:.2f} of 1, sharpness {found['sharpness']:.3f}."
    )
    if start is not None and end is not None:
        across, down = (end[0] - start[0]) * image.width, (end[1] - start[1]) * image.height
        found["distance"] = round(math.hypot(across, down), 2)
        found["angle"] = round(math.degrees(math.atan2(down, across)) % 360, 2)
        said += f" The points are {found['distance']:g} pixels apart, at {found['angle']:g} degrees."
    return said, found


@visual_tool(kind="look")
def palette(
    image: Picture,
    count: Annotated[int, Field(ge=1, le=16, description="How many colours, at most.")] = 5,
) -> tuple[str, dict[str, Any]]:
    """Find the main colours of a picture, each with its share of the picture, the largest first."""
    small = image.copy()
    small.thumbnail((_SAMPLED, _SAMPLED), Image.Resampling.BOX)
    pixels = np.asarray(small).reshape(-1, 3)
    unlike = np.unique(pixels, axis=0)
    if len(unlike) <= count:
        centers = unlike.astype(float)
    else:
        reduced = small.quantize(count, Image.Quantize.MEDIANCUT, kmeans=3)
        flat = reduced.getpalette() or []
        centers = np.array(flat[: 3 * count], float).reshape(-1, 3)
    nearest = np.abs(pixels[:, None, :] - centers[None]).sum(2).argmin(1)
    shares = np.bincount(nearest, minlength=len(centers)) / len(pixels)
    order = [place for place in np.argsort(-shares, kind="stable") if shares[place] > 0]
    colors = [
        {
            "color": _hex(centers[place]),
            "name": color_name(centers[place]),
            "share": round(float(shares[place]), 4),
        }
        for place in order
    ]
    return "; ".join(f"{each['color']} ({each['name']}) {each['share']:.0%}" for each in colors) + ".", {
        "colors": colors
    }


@visual_tool(kind="look")
def histogram(image: Picture) -> tuple[Image.Image, str, dict[str, Any]]:
    """Show how often each level of red, green and blue occurs in a picture, as a drawing and in figures, to tell
    whether it is too dark, too bright, flat or tinted.
    """
    counts = np.array(image.histogram(), float).reshape(3, 256)
    levels = np.arange(256)
    names, found = ("red", "green", "blue"), dict[str, Any]()
    for name, row in zip(names, counts, strict=True):
        cumulative, mean = row.cumsum() / row.sum(), float((row * levels).sum() / row.sum())
        low, middle, high = (int(np.searchsorted(cumulative, part)) for part in (0.05, 0.5, 0.95))
        found[name] = {"mean": round(mean, 2), "p05": low, "median": middle, "p95": high}
    black, white = (float(counts[:, end].sum() / counts.sum()) for end in (0, 255))
    found["black_share"], found["white_share"] = round(black, 4), round(white, 4)
    drawn = Image.new("RGB", _BARS, "white")
    pen, top = ImageDraw.Draw(drawn), math.sqrt(max(counts.max(), 1.0))
    for name, row in zip(names, counts, strict=True):
        heights = _BARS[1] - 1 - np.sqrt(row) / top * (_BARS[1] - 8)
        pen.line([(2 * level, float(height)) for level, height in enumerate(heights)], fill=name, width=2)
    said = "; ".join(f"{name} mean {found[name]['mean']:.0f}, median {found[name]['median']}" for name in names)
    return drawn, f"{said} (of 255). Black {black:.1%}, white {white:.1%}. Heights are square roots of counts.", found


@visual_tool(kind="look")
def compare(
    image: Picture,
    other: Annotated[Picture, Field(description="The picture that it is compared with.")],
) -> tuple[Image.Image, str, dict[str, Any]]:
    """Compare two pictures of the same proportions pixel by pixel: a map that is brighter where they differ more, how
    much has changed and where, and the usual figures (mean difference, PSNR, SSIM).
    """
    from skimage.metrics import structural_similarity

    if abs(image.width / image.height / (other.width / other.height) - 1) > 0.02:
        raise InvalidRequest(
            f"pictures of {image.width}x{image.height} and {other.width}x{other.height} cannot be compared pixel by "
            "pixel: crop or resize one to the other's proportions first"
        )
    scale = min(1.0, _COMPARED / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    both = (image, other)
    one, scaled = (each if each.size == size else each.resize(size, Image.Resampling.LANCZOS) for each in both)
    first, second = np.asarray(one), np.asarray(scaled)
    apart = difference(first, second)
    squared = float(((first.astype(float) - second.astype(float)) ** 2).mean())
    window = min(7, min(one.size) - (1 - min(one.size) % 2))
    ssim: Any = structural_similarity
    similar = ssim(first, second, channel_axis=2, win_size=window) if window >= 3 else None
    changed = apart >= _DIFFERENT
    found: dict[str, Any] = {
        "same": image.size == other.size and image.tobytes() == other.tobytes(),
        "mean_difference": round(float(np.abs(first.astype(float) - second.astype(float)).mean()), 3),
        "psnr": None if squared == 0 else round(10 * math.log10(255**2 / squared), 2),
        "ssim": None if similar is None else round(float(similar), 4),
        "changed_share": round(float(changed.mean()), 4),
        "changed_box": _around(changed),
    }
    resized = "" if other.size == image.size else f" (the other one was resized from {other.width}x{other.height})"
    if one.size != image.size:
        resized += f" (compared at {one.width}x{one.height} pixels)"
    if found["same"]:
        said = "The pictures are the same, pixel by pixel."
    else:
        psnr = "endless" if found["psnr"] is None else f"{found['psnr']:g} dB"
        place = f", all of it within {list(found['changed_box'])}" if found["changed_box"] else ""
        said = (
            f"{found['changed_share']:.1%} of the pixels differ clearly{place}{resized}. Mean difference "
            f"{found['mean_difference']:g} of 255, PSNR {psnr}, SSIM {found['ssim']}."
        )
    return Image.fromarray(apart.round().astype(np.uint8)), said, found


def color_name(color: NDArray[Any] | tuple[int, ...]) -> str:
    """The everyday word for a colour (red, green, blue in 0..255) that comes nearest as eyes see it (CIELAB)."""
    from skimage.color import rgb2lab

    to_lab: Any = rgb2lab
    levels = np.array([np.asarray(color, float)[:3], *_NAMED.values()]) / 255
    lab = to_lab(levels[None])[0]
    return list(_NAMED)[int(((lab[1:] - lab[0]) ** 2).sum(1).argmin())]


def _around(region: NDArray[Any]) -> tuple[float, float, float, float] | None:
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    if not len(rows):
        return None
    size = (region.shape[1], region.shape[0])
    return box_of_pixels(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1, size)


def _hex(color: Any) -> str:
    return "#" + "".join(f"{round(float(level)):02x}" for level in color)
