"""Lineages: what they hold, and that nothing in their drawing covers anything else."""

from __future__ import annotations

import io
import json
import random
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageFont

from genllava.errors import InvalidRequest
from genllava_agent import VisualAgent
from genllava_agent.errors import ThreadQuarantined, UnknownImage
from genllava_agent.pages.lineage import Lineage
from genllava_agent.pages.lineage_drawing import _polyline
from genllava_agent.pages.lineage_layout import CARD_WIDTH, FONT, PAD, THUMB, lay_out, wrapped
from genllava_agent.pictures import ThreadImages
from genllava_agent.records import ImageRecord
from genllava_agent.stores.base import ThreadStore

SVG = "{http://www.w3.org/2000/svg}"
NASTY = "<script>alert(1)</script>\"'&]]>\x00\udc80 photo.jpg"


def record(number: int, origin: str = "edit", parents: tuple[int, ...] = (), **fields: Any) -> ImageRecord:
    names = tuple(f"image_{parent}" for parent in parents)
    given = {"key": "0" * 64, "width": 128, "height": 128, "turn": number} | fields
    return ImageRecord.model_validate({"id": f"image_{number}", "origin": origin, "parents": names, **given})


def lineage(*records: ImageRecord, name: str | None = None) -> Lineage:
    def image_of(wanted: str) -> Image.Image:
        found = next(each for each in records if each.id == wanted)
        return Image.new("RGB", (found.width, found.height), (40 * found.number % 256, 90, 200))

    return Lineage(name or records[-1].id, {each.id: each for each in records}, image_of)


def chain(length: int) -> Lineage:
    edits = [record(n, parents=(n - 1,), instruction=f"make it {n}", seed=n) for n in range(2, length + 1)]
    return lineage(record(1, "generate", instruction="a large red circle", plan="a large red circle, on white"), *edits)


def collage() -> Lineage:
    return lineage(
        record(1, "user", label="photo.png", width=90, height=300),
        record(2, "user", width=640, height=200),
        record(3, "generate"),
        record(4, "tool", (1, 2), params={"tool": "side_by_side"}),
        record(5, "edit", (4,)),
        record(6, "tool", (5, 3, 1), instruction="W" * 300),
        record(7, "edit", (6,)),
        record(8, "tool", (7, 2, 3, 3)),
        record(9, "edit", (2,)),
        name="image_8",
    )


def any_family(seed: int) -> Lineage:
    rng = random.Random(seed)
    records = []
    for number in range(1, rng.randint(3, 26)):
        parents = rng.sample(range(1, number), min(number - 1, rng.choice([0, 1, 1, 1, 2, 3])))
        text = " ".join(["word"] * rng.randint(0, 60))
        records.append(record(number, "tool", tuple(parents), instruction=text or None, plan=text or None))
    return lineage(*records)


def test_nodes_and_edges() -> None:
    found = collage()
    names = [node.id for node in found.nodes]
    assert names == [f"image_{n}" for n in range(1, 9)]  # image_9 is no ancestor
    pairs = [(edge.parent, edge.child) for edge in found.edges]
    assert len(pairs) == len(set(pairs)) == 10
    assert all(names.index(parent) < names.index(child) for parent, child in pairs)
    assert [edge.parent for edge in found.edges if edge.child == "image_6"] == ["image_5", "image_3", "image_1"]
    assert next(edge for edge in found.edges if edge.child == "image_6").instruction == "W" * 300
    assert repr(found) == "<lineage of image_8: 7 pictures before it>"


def test_plain_data_can_be_read_again() -> None:
    data = json.loads(json.dumps(collage().to_dict()))
    assert data["image"] == "image_8"
    assert [ImageRecord.model_validate(node) for node in data["nodes"]] == list(collage().nodes)
    assert data["edges"][0] == {"parent": "image_1", "child": "image_4", "instruction": None}


def test_of_a_thread(tmp_path: Path) -> None:
    with VisualAgent(store=":memory:") as agent:
        store: ThreadStore = agent.store.open("a")
        image = Image.new("RGB", (128, 128), "orange")
        records = {"image_1": record(1, "user", key=store.put_image(image))}
        pictures = ThreadImages(records, store)
        drawn = pictures["image_1"].lineage().image()
        assert drawn.getpixel((100, 100)) == (255, 165, 0)
        with pytest.raises(UnknownImage, match="image_1"):
            Lineage("image_2", records, lambda name: image)
        with pytest.raises(InvalidRequest, match="must end in"):
            pictures["image_1"].save(tmp_path / "picture.xyz")
        pictures["image_1"].save(tmp_path / "picture.png")
        assert Image.open(tmp_path / "picture.png").getpixel((5, 5)) == (255, 165, 0)


@pytest.mark.parametrize(
    "records",
    [
        [record(1, "edit", (9,)), record(2, "edit", (1,))],
        [record(1, "edit", (2,)), record(2, "edit", (1,))],
        [record(1, "edit", (1,))],
    ],
)
def test_damaged_records_are_told(records: list[ImageRecord]) -> None:
    with pytest.raises(ThreadQuarantined, match="damaged"):
        lineage(*records)


FAMILIES: Mapping[str, Lineage] = {
    "alone": lineage(record(1, "user", label=NASTY, width=1600, height=900)),
    "chain of 20": chain(20),
    "collage": collage(),
    **{f"random {seed}": any_family(seed) for seed in range(12)},
}


@pytest.mark.parametrize("name", FAMILIES)
def test_nothing_covers_anything(name: str) -> None:
    layout = lay_out(FAMILIES[name].nodes)
    boxes = [(card.x, card.y, card.x + CARD_WIDTH, card.y + card.height) for card in layout.cards]
    for place, (left, top, right, bottom) in enumerate(boxes):
        assert left >= 0
        assert top >= 0
        assert right <= layout.width
        assert bottom <= layout.height
        for other in boxes[:place]:
            assert left >= other[2] or right <= other[0] or top >= other[3] or bottom <= other[1]
    for points in layout.curves:
        for x, y in _polyline(points):
            assert 0 <= x <= layout.width
            assert 0 <= y <= layout.height
            inside = [box for box in boxes if box[0] + 1 < x < box[2] - 1 and box[1] + 1 < y < box[3] - 1]
            assert inside == []
    assert len(layout.arrows) == len(FAMILIES[name].edges) == len(set(layout.arrows))


@pytest.mark.parametrize("name", FAMILIES)
def test_text_stays_on_its_card(name: str) -> None:
    font = ImageFont.load_default(FONT)
    for card in lay_out(FAMILIES[name].nodes).cards:
        assert card.lines
        for line in card.lines:
            assert font.getlength(line.text) <= CARD_WIDTH - THUMB - 3 * PAD


def test_long_chains_are_folded_and_read_down_and_to_the_right() -> None:
    layout = lay_out(chain(20).nodes)
    assert 0.5 < layout.width / layout.height < 2
    places = [(card.x, card.y) for card in layout.cards]
    assert places == sorted(places)
    assert lay_out(chain(5).nodes).width < 2 * CARD_WIDTH


def test_svg_is_whole_and_says_what_it_shows() -> None:
    for name, found in FAMILIES.items():
        tree = ET.fromstring(found.svg())
        assert len(tree.findall(f".//{SVG}image")) == len(found.nodes), name
        assert all(each.get("href", "").startswith("data:image/png;base64,") for each in tree.iter(f"{SVG}image"))
        allowed = {"svg", "title", "rect", "path", "g", "image", "text"}
        assert {each.tag.removeprefix(SVG) for each in tree.iter()} <= allowed
    said = "\n".join(each.text or "" for each in ET.fromstring(chain(20).svg()).iter(f"{SVG}text"))
    for words in ("image_20", "edited, turn 20, seed 20", "“make it 20”", "drawn, turn 1", "shows: a large red circle"):
        assert words in said
    alone = FAMILIES["alone"].svg()
    assert "<script" not in alone
    assert "&lt;script&gt;" in alone


def test_png_shows_the_pictures_where_the_layout_says() -> None:
    found = collage()
    sheet = found.image()
    assert Image.open(io.BytesIO(found.png())).size == sheet.size
    _is_drawn(sheet, found)


@pytest.mark.slow
def test_a_browser_shows_the_tree(browser: Any, tmp_path: Path) -> None:
    found = collage()
    _is_drawn(browser.picture(found.save(tmp_path / "tree.svg"), *found.image().size), found)


def _is_drawn(sheet: Image.Image, found: Lineage) -> None:
    layout = lay_out(found.nodes)
    assert sheet.size == (layout.width, layout.height)
    for card in layout.cards:
        middle = (round(card.x) + PAD + THUMB // 2, round(card.y) + PAD + THUMB // 2)
        assert sheet.getpixel(middle) == (40 * card.record.number % 256, 90, 200)
    x, y = layout.arrows[0]
    pixel = sheet.getpixel((round(x), round(y) - 4))
    assert isinstance(pixel, tuple)
    assert max(pixel) < 200  # an arrow is drawn there


def test_notebooks_get_a_drawing() -> None:
    assert chain(2)._repr_svg_() in chain(2)._repr_html_()


@pytest.mark.parametrize("ending", [".svg", ".png", ".json", ".PNG"])
def test_saving(tmp_path: Path, ending: str) -> None:
    path = chain(3).save(tmp_path / f"tree{ending}")
    assert path.is_file()
    assert list(tmp_path.iterdir()) == [path]
    if ending == ".json":
        assert json.loads(path.read_text())["image"] == "image_3"


@pytest.mark.parametrize("name", ["tree.gif", "tree", "missing/tree.svg", ".svg"])
def test_places_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot write"):
        chain(2).save(tmp_path / name)
    folder = tmp_path / "folder.svg"
    folder.mkdir()
    with pytest.raises(InvalidRequest, match="folder"):
        chain(2).save(folder)


def test_too_large_for_pixels_is_said() -> None:
    long = chain(900)
    with pytest.raises(InvalidRequest, match=r"\.svg"):
        long.image()
    assert long.svg().count("<image") == 900


def test_wrapping() -> None:
    assert wrapped("", 100, 3) == []
    assert wrapped("one two", 1000, 3) == ["one two"]
    assert len(wrapped("word " * 100, 100, 3)) == 3
    assert wrapped("word " * 100, 100, 3)[-1].endswith("…")
    assert "".join(wrapped("x" * 30, 60, 99)) == "x" * 30
    assert wrapped("図" * 20_000, 100, 2)[-1].endswith("…")
