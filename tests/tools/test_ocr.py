"""Reading text, by the models that come with the package: on a scanned page, on photographs and where there is none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photos import in_mode, photo, shapes
from PIL import Image, ImageDraw, ImageFont

from genllava_tools import ToolUnavailable, find, release_models
from genllava_tools.ocr import Text, in_reading_order
from genllava_tools.results import ToolResult

pytest.importorskip("rapidocr")
pytest.importorskip("onnxruntime")

PAGE = [
    "Region-based segmentation",
    "Let us first determine markers of the coins and the",
    "background. These markers are pixels that we can label",
    "unambiguously as either object or background. Here,",
    "the markers are found at the two extreme parts of the",
    "histogram of grey values:",
    ">>> markers = np.zeros_like(coins)",
]


def written(image: Image.Image, text: str, place: tuple[int, int], size: int, color: str) -> Image.Image:
    """A picture with text in it."""
    made = image.copy()
    ImageDraw.Draw(made).text(place, text, font=ImageFont.load_default(size), fill=color)
    return made


def read(image: Image.Image, **arguments: Any) -> ToolResult:
    return find("read_text")(image, **arguments)


def lines_of(result: ToolResult) -> list[str]:
    return [line["text"] for line in result.data["lines"]]


def inside(box: list[float], other: tuple[float, float, float, float], slack: float = 0.03) -> bool:
    """Whether a box is in another one, but for some slack."""
    left, top, right, bottom = other
    return box[0] > left - slack and box[1] > top - slack and box[2] < right + slack and box[3] < bottom + slack


def test_words_on_a_photograph() -> None:
    result = read(written(photo("coffee").resize((300, 200)), "Fresh coffee", (20, 10), 28, "white"))
    (line,) = result.data["lines"]
    assert line["text"] == "Fresh coffee" == result.data["text"]
    assert line["confidence"] > 0.9
    assert [word["text"] for word in line["words"]] == ["Fresh", "coffee"]
    fresh, coffee = (word["box"] for word in line["words"])
    assert inside(line["box"], (0.06, 0.06, 0.62, 0.22))
    assert line["box"][0] <= fresh[0] < fresh[2] < coffee[0] + 0.02
    assert coffee[2] <= line["box"][2] + 0.01
    assert f'"Fresh coffee" at {line["box"]} (0-1), confidence {line["confidence"]:.2f}' in result.text
    assert result.text.startswith("1 line of text with 2 words:")
    assert not result.images
    json.dumps(result.data)


def test_where_there_is_no_text() -> None:
    for image in (shapes(), Image.new("RGB", (1, 1), "red")):
        result = read(image)
        assert result.text.startswith("No text was found.")
        assert (result.data["text"], result.data["lines"]) == ("", [])


@pytest.mark.slow
def test_only_in_a_box() -> None:
    both = written(Image.new("RGB", (400, 120), "white"), "left side", (20, 40), 26, "black")
    both = written(both, "right side", (240, 40), 26, "black")
    result = read(both, box=(0.5, 0, 1, 1))
    assert lines_of(result) == ["right side"]
    assert inside(result.data["lines"][0]["box"], (0.6, 0.33, 0.92, 0.6)), "in fractions of the whole picture"


def test_reading_order() -> None:
    def line(text: str, left: float, top: float, right: float, bottom: float) -> Text:
        return Text(text, 1.0, np.asarray([(left, top), (right, top), (right, bottom), (left, bottom)], float))

    given = [
        line("5", 0, 60, 90, 80), line("2", 200, 8, 300, 26), line("4", 210, 38, 300, 52), line("1", 0, 10, 90, 30),
        line("3", 0, 34, 90, 54), line("0", 0, 0, 20, 6),
    ]  # fmt: skip
    assert [each.text for each in in_reading_order(given)] == ["0", "1", "2", "3", "4", "5"]
    assert in_reading_order([]) == []


def test_what_is_no_letter_is_not_read() -> None:
    def one(text: str, width: float, confidence: float = 0.95) -> bool:
        return Text(text, confidence, np.asarray([(0, 0), (width, 0), (width, 100), (0, 100)], float)).certain

    assert one("7", 60)
    assert not one("8", 150)
    assert one("88", 150)
    assert not one("88", 150, 0.7)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    assert find("read_text").missing == "needs rapidocr: pip install 'genllava[tools]'"
    with pytest.raises(ToolUnavailable, match=r"read_text needs rapidocr: pip install 'genllava\[tools\]'"):
        read(shapes())


def test_without_its_models_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from importlib.machinery import ModuleSpec

    from genllava_tools import packaged

    bare = ModuleSpec("rapidocr", None, is_package=True)
    bare.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(packaged, "find_spec", lambda name: bare)
    with pytest.raises(ToolUnavailable, match=r"rapidocr has no models/.*reinstall"):
        read(shapes())


@pytest.mark.slow
def test_a_scanned_page() -> None:
    result = read(photo("page"))
    found = lines_of(result)
    assert sum(line in found for line in PAGE) >= 6
    assert [line for line in found if line in PAGE] == [line for line in PAGE if line in found], "from the top"
    assert result.data["text"].splitlines() == found
    words = [word for line in result.data["lines"] for word in line["words"]]
    assert {"Region-based", "unambiguously", "histogram"} <= {word["text"] for word in words}
    assert [line["box"][1] for line in result.data["lines"]] == sorted(line["box"][1] for line in result.data["lines"])
    for line in result.data["lines"]:
        assert all(inside(word["box"], tuple(line["box"])) for word in line["words"])


@pytest.mark.slow
@pytest.mark.parametrize("angle", [90, 180, 270])
def test_a_page_that_lies_on_its_side_or_head(angle: int) -> None:
    found = lines_of(read(photo("page").rotate(angle, expand=True)))
    assert sum(line in found for line in PAGE) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["astronaut", "cat", "coffee", "coins", "rocket"])
def test_photographs_without_text(name: str) -> None:
    assert read(photo(name)).text.startswith("No text was found.")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "text", "place", "size", "color"),
    [
        ("coffee", "Fresh coffee 3.50", (40, 20), 48, "white"),
        ("coffee", "EXIT", (40, 20), 150, "red"),
        ("coffee", "7", (40, 20), 60, "white"),
        ("rocket", "Launch at noon", (30, 330), 30, "yellow"),
        ("rocket", "small words here", (30, 330), 12, "white"),
    ],
)
def test_text_of_every_size(name: str, text: str, place: tuple[int, int], size: int, color: str) -> None:
    assert lines_of(read(written(photo(name), text, place, size, color))) == [text]


@pytest.mark.slow
@pytest.mark.parametrize("upright", [True, False])
def test_a_strip_of_ten_thousand_pixels(upright: bool) -> None:
    """Text at both ends, and across the places where the strip is cut into parts, once each."""
    if upright:
        strip = Image.new("RGB", (400, 10_000), "white")
        places = [(20, top) for top in (30, 1720, 1880, 3560, 5300, 7100, 8900, 9930)]
    else:
        strip = Image.new("RGB", (10_000, 200), "white")
        places = [(left, 80) for left in (20, 1680, 3480, 5230, 7050, 8900)]
    for number, place in enumerate(places):
        strip = written(strip, f"number {number} here", place, 30, "black")
    result = read(strip)
    words = [word["text"] for line in result.data["lines"] for word in line["words"]]
    assert " ".join(words) == " ".join(f"number {number} here" for number in range(len(places)))
    for line, place in zip(result.data["lines"], places, strict=True):
        assert abs(line["box"][0] * strip.width - place[0]) < 20
        assert abs(line["box"][1] * strip.height - place[1]) < 20


@pytest.mark.slow
def test_large_pictures_are_read_smaller_and_that_is_said() -> None:
    large = written(photo("rocket").resize((3200, 2134)), "Launch at noon", (150, 1700), 150, "white")
    result = read(large)
    assert lines_of(result) == ["Launch at noon"]
    assert "62% of its size" in result.text


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "CMYK", "I;16", "animation"])
def test_pictures_of_every_mode(mode: str) -> None:
    image = in_mode(written(Image.new("RGB", (300, 80), "white"), "Plain words", (20, 20), 30, "black"), mode)
    assert lines_of(read(image)) == ["Plain words"]


@pytest.mark.slow
def test_threads_and_silence() -> None:
    """Several threads load one model and all read right; nothing is printed."""
    code = """
import threading
from photos import shapes
from test_ocr import lines_of, read, written
from PIL import Image
image = [written(Image.new("RGB", (300, 80), "white"), f"Thread {n}", (20, 20), 30, "black") for n in range(4)]
found = [None] * 4
def work(n): found[n] = lines_of(read(image[n]))
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
[each.start() for each in threads]; [each.join() for each in threads]
assert found == [[f"Thread {n}"] for n in range(4)], found
read(shapes())
"""
    here = Path(__file__).resolve()
    folders = [here.parent, here.parents[2], here.parents[2] / "tools"]
    code = f"import sys; sys.path[:0] = {[str(each) for each in folders]!r}\n{code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
def test_models_can_be_let_go() -> None:
    drawn = written(Image.new("RGB", (300, 80), "white"), "Plain words", (20, 20), 30, "black")
    before = read(drawn)
    release_models()
    assert read(drawn) == before
