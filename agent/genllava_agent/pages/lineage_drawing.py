"""A lineage drawn: as SVG for pages, as pixels for everything else. Both draw the same layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from PIL import Image, ImageDraw, ImageFont

from genllava.errors import InvalidRequest
from genllava_agent.pages.lineage_layout import CARD_WIDTH, FONT, LEADING, PAD, RADIUS, THUMB
from genllava_agent.pages.markup import data_uri, escaped, fitted

if TYPE_CHECKING:
    from genllava_agent.pages.lineage_layout import Card, Layout, Point

PAPER: Final = "#f6f5f1"
CARD: Final = "#ffffff"
FRAME: Final = "#cfcdc6"
INK: Final = "#1c1e24"
SOFT: Final = "#5c606a"
LINE: Final = "#7c8190"
_COLORS: Final = {"name": INK, "ink": INK, "soft": SOFT}
_FAMILY: Final = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
_ARROW: Final = 6
_MOST_PIXELS: Final = 40_000_000
_FINE: Final = 4
"""Lines are drawn this many times larger and made smaller, since Pillow draws hard edges."""


def draw_svg(layout: Layout, image_of: Callable[[str], Image.Image]) -> str:
    """The drawing as SVG. Colours are attributes, so that a page's own style sheet can change them by class."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="lineage" width="{layout.width}" height="{layout.height}" '
        f'viewBox="0 0 {layout.width} {layout.height}" font-family="{_FAMILY}" font-size="{FONT}" role="img">',
        f"<title>{escaped(_told(layout))}</title>",
        f'<rect class="paper" width="{layout.width}" height="{layout.height}" rx="{RADIUS}" fill="{PAPER}"/>',
    ]
    for points in layout.curves:
        curves = zip(points[1::3], points[2::3], points[3::3], strict=True)
        path = f"M{_at(points[0])}" + "".join(f"C{_at(a)} {_at(b)} {_at(c)}" for a, b, c in curves)
        parts.append(f'<path class="line" d="{path}" fill="none" stroke="{LINE}" stroke-width="1.5"/>')
    for x, y in layout.arrows:
        path = f"M{_at((x, y))}l{-_ARROW * 0.7:g} {-_ARROW}h{_ARROW * 1.4:g}z"
        parts.append(f'<path class="arrow" d="{path}" fill="{LINE}"/>')
    parts += [_svg_card(card, image_of(card.record.id)) for card in layout.cards]
    return "\n".join([*parts, "</svg>"])


def draw_image(layout: Layout, image_of: Callable[[str], Image.Image]) -> Image.Image:
    """The drawing as a picture, RGB.

    Raises:
        InvalidRequest: it would be too large.
    """
    if layout.width * layout.height > _MOST_PIXELS:
        raise InvalidRequest(
            f"the lineage of {len(layout.cards)} pictures would be {layout.width}x{layout.height} pixels: "
            "save it as .svg"
        )
    sheet = Image.new("RGB", (layout.width, layout.height), PAPER)
    draw = ImageDraw.Draw(sheet)
    for points in layout.curves:
        _paste_fine(sheet, _polyline(points), closed=False)
    for x, y in layout.arrows:
        _paste_fine(sheet, [(x, y), (x - _ARROW * 0.7, y - _ARROW), (x + _ARROW * 0.7, y - _ARROW)], closed=True)
    fonts = ImageFont.load_default(FONT), ImageFont.load_default(FONT + 2)
    for card in layout.cards:
        box = (round(card.x), round(card.y), round(card.x) + CARD_WIDTH, round(card.y) + card.height)
        draw.rounded_rectangle(box, RADIUS, fill=CARD, outline=FRAME)
        left, top = box[0] + PAD, box[1] + PAD
        thumb = _thumb(image_of(card.record.id))
        x, y = left + (THUMB - thumb.width) // 2, top + (THUMB - thumb.height) // 2
        sheet.paste(thumb, (x, y))
        draw.rectangle((x - 1, y - 1, x + thumb.width, y + thumb.height), outline=FRAME)
        for number, line in enumerate(card.lines):
            font = fonts[line.tone == "name"]
            place = (left + THUMB + PAD, top + number * LEADING + FONT)
            draw.text(place, line.text, fill=_COLORS[line.tone], font=font, anchor="ls")
    return sheet


def _svg_card(card: Card, image: Image.Image) -> str:
    left, top, thumb = card.x + PAD, card.y + PAD, _thumb(image)
    x, y = left + (THUMB - thumb.width) / 2, top + (THUMB - thumb.height) / 2
    rest = f'width="{thumb.width}" height="{thumb.height}"'
    parts = [
        "<g>",
        f"<title>{escaped(_whole(card))}</title>",
        f'<rect class="card" x="{card.x:g}" y="{card.y:g}" width="{CARD_WIDTH}" height="{card.height}" rx="{RADIUS}" '
        f'fill="{CARD}" stroke="{FRAME}"/>',
        f'<image x="{x:g}" y="{y:g}" {rest} href="{data_uri(thumb)}"/>',
        f'<rect class="frame" x="{x - 0.5:g}" y="{y - 0.5:g}" width="{thumb.width + 1}" height="{thumb.height + 1}" '
        f'fill="none" stroke="{FRAME}"/>',
    ]
    for number, line in enumerate(card.lines):
        bold = ' font-weight="bold"' if line.tone == "name" else ""
        parts.append(
            f'<text class="{line.tone}" x="{left + THUMB + PAD:g}" y="{top + number * LEADING + FONT:g}" '
            f'fill="{_COLORS[line.tone]}"{bold}>{escaped(line.text)}</text>'
        )
    return "".join([*parts, "</g>"])


def _thumb(image: Image.Image) -> Image.Image:
    """`image` as large as fits on a card."""
    return fitted(image.convert("RGB"), THUMB)


def _told(layout: Layout) -> str:
    """The drawing in words, for those who hear the page."""
    count = len(layout.cards)
    return f"The lineage of {layout.cards[-1].record.id}: {count} picture{'' if count == 1 else 's'}"


def _whole(card: Card) -> str:
    """What a card says without its cuts."""
    record = card.record
    said = [record.id, record.label, record.instruction, record.plan]
    made = f"made from {', '.join(record.parents)}" if record.parents else None
    return "\n".join(each for each in [*said, made] if each)


def _at(point: Point) -> str:
    return f"{point[0]:g},{point[1]:g}"


def _polyline(points: list[Point]) -> list[Point]:
    """Points along Bezier curves."""
    line = [points[0]]
    for first in range(1, len(points), 3):
        a, (b, c, d) = line[-1], points[first : first + 3]
        steps = 1 if a == b and c == d else 16
        for step in range(1, steps + 1):
            t = step / steps
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            line.append(
                (
                    sum(weight * point[0] for weight, point in zip(weights, (a, b, c, d), strict=True)),
                    sum(weight * point[1] for weight, point in zip(weights, (a, b, c, d), strict=True)),
                )
            )
    return line


def _paste_fine(sheet: Image.Image, points: list[Point], closed: bool) -> None:
    """Draw a line, or an area, with soft edges: on a mask of its own, larger, and only as large as it needs to be."""
    left, top = (int(min(point[axis] for point in points)) - 2 for axis in (0, 1))
    right, bottom = (int(max(point[axis] for point in points)) + 3 for axis in (0, 1))
    mask = Image.new("L", ((right - left) * _FINE, (bottom - top) * _FINE))
    moved = [((x - left) * _FINE, (y - top) * _FINE) for x, y in points]
    draw = ImageDraw.Draw(mask)
    if closed:
        draw.polygon(moved, fill=255)
    else:
        draw.line(moved, fill=255, width=round(1.5 * _FINE), joint="curve")
    small = mask.resize((right - left, bottom - top), Image.Resampling.BOX)
    sheet.paste(Image.new("RGB", small.size, LINE), (left, top), small)
