"""Lineages: what they hold, and that nothing in their drawing covers anything else."""

from __future__ import annotations

import base64
import json
import random
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from genllava.errors import InvalidRequest
from genllava_agent import VisualAgent
from genllava_agent.errors import ThreadQuarantined, UnknownImage
from genllava_agent.pages.lineage import Lineage, wrapped
from genllava_agent.pictures import ThreadImages
from genllava_agent.records import ImageRecord

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
        store = agent.store.artifacts("a")
        image = Image.new("RGB", (128, 128), "orange")
        records = {"image_1": record(1, "user", key=store.put_image(image))}
        pictures = ThreadImages(records, store)
        (node,) = pictures["image_1"].lineage().nodes
        assert node == records["image_1"]
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


Point = tuple[float, float]
Box = tuple[float, float, float, float]


def cards(tree: ET.Element) -> list[Box]:
    """Left, top, right and bottom of each card."""
    found = []
    for group in tree.iter(f"{SVG}g"):
        left, top = map(float, re.findall(r"[\d.]+", group.get("transform", "")))
        card = next(each for each in group if each.get("class") == "card")
        found.append((left, top, left + float(card.get("width", 0)), top + float(card.get("height", 0))))
    return found


def points(path: str) -> list[Point]:
    """Points along a line."""
    found: list[Point] = []
    for letter, values in re.findall(r"([MVC])([\d. ]+)", path):
        numbers = [float(value) for value in values.split()]
        if letter == "M":
            found.append((numbers[0], numbers[1]))
        elif letter == "V":
            found += [(found[-1][0], found[-1][1] + (numbers[0] - found[-1][1]) * step / 8) for step in range(1, 9)]
        else:
            corners = [found[-1], *zip(numbers[::2], numbers[1::2], strict=True)]
            for step in range(1, 17):
                t = step / 16
                weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
                x, y = (sum(w * at[axis] for w, at in zip(weights, corners, strict=True)) for axis in (0, 1))
                found.append((x, y))
    return found


@pytest.mark.parametrize("name", FAMILIES)
def test_nothing_covers_anything(name: str) -> None:
    tree = ET.fromstring(FAMILIES[name].svg())
    width, height = float(tree.get("width", 0)), float(tree.get("height", 0))
    boxes = cards(tree)
    assert len(boxes) == len(FAMILIES[name].nodes)
    for place, (left, top, right, bottom) in enumerate(boxes):
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        for other in boxes[:place]:
            assert left >= other[2] or right <= other[0] or top >= other[3] or bottom <= other[1]
    lines = [each.get("d", "") for each in tree.iter(f"{SVG}path") if each.get("class") == "line"]
    assert len(lines) == len(FAMILIES[name].edges)
    for line in lines:
        for x, y in points(line):
            assert 0 <= x <= width
            assert 0 <= y <= height
            assert [box for box in boxes if box[0] + 1 < x < box[2] - 1 and box[1] + 1 < y < box[3] - 1] == []


@pytest.mark.parametrize("name", FAMILIES)
def test_lines_lead_from_parents_down_to_children(name: str) -> None:
    tree = ET.fromstring(FAMILIES[name].svg())
    boxes = dict(zip((node.id for node in FAMILIES[name].nodes), cards(tree), strict=True))
    ends = [points(each.get("d", "")) for each in tree.iter(f"{SVG}path") if each.get("class") == "line"]
    names = [node.id for node in FAMILIES[name].nodes]
    for edge, line in zip(FAMILIES[name].edges, ends, strict=True):
        parent, child = boxes[edge.parent], boxes[edge.child]
        if names.index(edge.child) == names.index(edge.parent) + 1:
            assert line == [pytest.approx(((parent[0] + parent[2]) / 2, y), abs=1) for _, y in line]
            assert (line[0][1], line[-1][1]) == (parent[3], child[1])
        else:  # around the cards in between
            assert line[0] == pytest.approx((parent[0], (parent[1] + parent[3]) / 2), abs=1)
            assert line[-1] == pytest.approx((child[0], (child[1] + child[3]) / 2), abs=1)
        assert parent[3] < child[1]


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


@pytest.mark.slow
def test_a_browser_shows_the_tree(browser: Any, tmp_path: Path) -> None:
    found = collage()
    tree = ET.fromstring(found.svg())
    size = int(tree.get("width", 0)), int(tree.get("height", 0))
    screen = browser.picture(found.save(tmp_path / "tree.svg"), *size)
    for node, (left, top, _, _) in zip(found.nodes, cards(tree), strict=True):
        assert screen.getpixel((round(left) + 76, round(top) + 76)) == (40 * node.number % 256, 90, 200)


def test_notebooks_get_a_drawing() -> None:
    shown = chain(2)._repr_html_()
    found = re.match(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="The lineage of image_2"', shown)
    assert found
    assert base64.b64decode(found[1]).decode() == chain(2).svg()


@pytest.mark.parametrize("ending", [".svg", ".json", ".SVG"])
def test_saving(tmp_path: Path, ending: str) -> None:
    path = chain(3).save(tmp_path / f"tree{ending}")
    assert path.is_file()
    assert list(tmp_path.iterdir()) == [path]
    if ending == ".json":
        assert json.loads(path.read_text())["image"] == "image_3"


@pytest.mark.parametrize("name", ["tree.gif", "tree.png", "tree", "missing/tree.svg", ".svg"])
def test_places_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot write"):
        chain(2).save(tmp_path / name)
    folder = tmp_path / "folder.svg"
    folder.mkdir()
    with pytest.raises(InvalidRequest, match="folder"):
        chain(2).save(folder)


def test_long_chains_are_drawn() -> None:
    assert chain(900).svg().count("<image") == 900


def test_wrapping() -> None:
    assert wrapped("", 3) == []
    assert wrapped("one two", 3) == ["one two"]
    assert len(wrapped("word " * 100, 3)) == 3
    assert wrapped("word " * 100, 3)[-1].endswith("…")
    assert "".join(wrapped("x" * 90, 99)) == "x" * 90
    assert max(map(len, wrapped("word " * 100, 3))) <= 32
    assert [len(line) for line in wrapped("図" * 20_000, 2)] == [16, 1], "they are as wide as two letters"
