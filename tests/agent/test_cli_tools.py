"""`genllava tool`: every tool from the shell."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genllava_agent import cli, tool_command
from genllava_agent.reporting import BAD_INPUT, DECLINED
from genllava_tools import find, tools, visual_tool
from genllava_tools.arguments import Picture
from genllava_tools.registry import built_in
from genllava_tools.tool import package

HALF = "0,0,0.5,1"


@pytest.fixture(autouse=True)
def _loud(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command sets to keep libraries quiet is as before for other tests."""
    for name in ("TQDM_DISABLE", "TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a picture of 80x40, red on the left and blue on the right, and one with transparency."""
    picture = Image.new("RGB", (80, 40), "red")
    picture.paste((0, 0, 255), (40, 0, 80, 40))
    picture.save(tmp_path / "photo.png")
    layer = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    layer.paste((0, 255, 0, 255), (0, 0, 20, 10))
    layer.save(tmp_path / "layer.png")
    Image.new("L", (80, 40)).save(tmp_path / "mask.png")
    mask = Image.new("L", (80, 40))
    mask.paste(255, (0, 0, 20, 40))
    mask.save(tmp_path / "mask.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """What `genllava tool` leaves with and prints."""
    with pytest.raises(SystemExit) as left:
        cli.main(["tool", *words])
    code = left.value.code
    assert isinstance(code, int)
    return code, *capsys.readouterr()


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_picture_is_cut_and_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, noted = run(capsys, "crop", "photo.png", "--box", HALF, "-o", "part.png")
    assert (code, noted) == (0, "")
    assert said == "part.png: The part of 40x40 pixels of a picture of 80x40.\n"
    assert pixels(folder / "part.png").shape == (40, 40, 3)
    assert (pixels(folder / "part.png") == (255, 0, 0)).all()


def test_words_and_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, _ = run(capsys, "measure", "photo.png")
    assert code == 0
    assert said == find("measure")(Image.open(folder / "photo.png")).text + "\n"
    code, said, _ = run(capsys, "measure", "photo.png", "--json")
    report = json.loads(said)
    assert report["data"]["width"] == 80
    assert report["output"] == []
    _, said, _ = run(capsys, "crop", "photo.png", "--box", HALF, "-o", "part.png", "--json")
    assert json.loads(said)["output"] == ["part.png"]


def test_pictures_stand_in_their_order_or_by_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "blur", "photo.png", "mask.png", "-o", "one.png")[0] == 0
    assert run(capsys, "blur", "--mask", "mask.png", "photo.png", "-o", "two.png")[0] == 0
    assert (pixels(folder / "one.png") == pixels(folder / "two.png")).all()
    assert run(capsys, "blur", "-o", "three.png", "photo.png", "--box", "0,0,0.25,1")[0] == 0
    assert (pixels(folder / "one.png") == pixels(folder / "three.png")).all()
    code, said, _ = run(capsys, "grid", "photo.png", "layer.png", "mask.png", "--cell", "32", "-o", "all.png")
    assert code == 0
    assert said.startswith("all.png: 3 pictures")


def test_lists_are_options_that_are_repeated(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boxes = ["--boxes", "0,0,0.4,1", "--boxes", "0.5,0,1,1", "--labels", "one", "--labels", "two"]
    code, said, _ = run(capsys, "draw_boxes", "photo.png", *boxes, "--color", "lime", "-o", "boxes.webp")
    assert code == 0, said
    assert "2 boxes in lime" in said


def test_transparency_is_kept_in_png_and_told_in_jpeg(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "cut_out", "photo.png", "mask.png", "--no-trim", "-o", "cut.png")[0] == 0
    cut = pixels(folder / "cut.png")
    assert cut.shape == (40, 80, 4)
    assert cut[20, 10].tolist() == [255, 0, 0, 255]
    assert cut[20, 60, 3] == 0
    code, _, noted = run(capsys, "cut_out", "photo.png", "mask.png", "--no-trim", "-o", "cut.jpg")
    assert code == 0
    assert "white" in noted
    assert (pixels(folder / "cut.jpg")[20, 60] > 250).all()
    assert run(capsys, "paste", "photo.png", "layer.png", "--box", "0,0,0.5,1", "-o", "pasted.png")[0] == 0
    pasted = pixels(folder / "pasted.png")
    assert pasted[5, 20].tolist() == [0, 255, 0]
    assert pasted[35, 20].tolist() == [255, 0, 0], "the file's transparency came in with it"


def test_several_pictures_are_numbered(folder: Path, capsys: pytest.CaptureFixture[str], own_tools: None) -> None:
    @visual_tool(kind="change")
    def halves(image: Picture) -> list[Image.Image]:
        """Cut a picture into its halves."""
        return [image.crop((0, 0, 40, 40)), image.crop((40, 0, 80, 40))]

    code, said, _ = run(capsys, "halves", "photo.png", "-o", "half.png")
    assert code == 0
    assert said.startswith("half-1.png, half-2.png: ")
    assert (pixels(folder / "half-1.png") == (255, 0, 0)).all()
    assert (pixels(folder / "half-2.png") == (0, 0, 255)).all()
    Image.new("RGB", (80, 40)).save(folder / "other-2.png")
    code, _, said = run(capsys, "halves", "other-2.png", "-o", "other.png")
    assert code == BAD_INPUT
    assert "replace other-2.png itself" in said
    assert not (folder / "other-1.png").exists(), "nothing is written where one cannot be"


def test_an_input_is_not_replaced_unless_it_is_meant(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (folder / "photo.png").read_bytes()
    (folder / "link.png").symlink_to("photo.png")
    for name in ("photo.png", "./photo.png", "link.png"):
        code, _, said = run(capsys, "flip", "photo.png", "-o", name)
        assert code == BAD_INPUT
        assert "--overwrite" in said
    assert (folder / "photo.png").read_bytes() == before
    assert run(capsys, "flip", "photo.png", "-o", "photo.png", "--overwrite")[0] == 0
    assert pixels(folder / "photo.png")[0, 0].tolist() == [0, 0, 255]


def test_standard_input(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Piped(io.StringIO):
        buffer = io.BytesIO((folder / "photo.png").read_bytes())

    monkeypatch.setattr("sys.stdin", Piped())
    assert run(capsys, "measure", "-")[1].startswith("80x40 pixels")
    code, _, said = run(capsys, "compare", "-", "-")
    assert code == BAD_INPUT
    assert "standard input is one picture" in said


BAD = {
    "unknown tool": (["saw", "photo.png"], "no tool 'saw'"),
    "no picture": (["crop", "--box", HALF], "the picture `image` is missing"),
    "too many": (["crop", "photo.png", "mask.png", "--box", HALF, "-o", "x.png"], "mask.png too much: it takes image"),
    "no file": (["measure", "none.png"], "none.png"),
    "a URL": (["measure", "https://example.com/a.png"], "is a URL"),
    "no argument": (["crop", "photo.png", "-o", "x.png"], "`box` is missing"),
    "unknown option": (["flip", "photo.png", "--quickly", "-o", "x.png"], "--quickly"),
    "shortened option": (["crop", "photo.png", "--bo", HALF, "-o", "x.png"], "--bo"),
    "no choice": (["flip", "photo.png", "--direction", "sideways", "-o", "x.png"], "sideways"),
    "out of bounds": (["crop", "photo.png", "--box", "0,0,2,1", "-o", "x.png"], "outside of the picture"),
    "no number": (["rotate", "photo.png", "--angle", "much", "-o", "x.png"], "`angle`"),
    "three numbers": (["crop", "photo.png", "--box", "0,0,1", "-o", "x.png"], "`box`"),
    "no output": (["flip", "photo.png"], "-o FILE"),
    "unknown format": (["flip", "photo.png", "-o", "x.txt"], ".png"),
    "no folder": (["flip", "photo.png", "-o", "none/x.png"], "no folder"),
    "option before the name": (["--box", HALF], "--box"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_said_in_a_line(folder: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    words, reason = BAD[case]
    code, said, noted = run(capsys, *words)
    assert (code, said) == (BAD_INPUT, "")
    assert noted.startswith("error: ")
    assert noted.count("\n") == 1
    assert reason in noted
    assert not (folder / "x.png").exists()


def test_a_tool_without_its_package(folder: Path, capsys: pytest.CaptureFixture[str], own_tools: None) -> None:
    @visual_tool(kind="look", needs=[package("nowhere_to_be_found", "pip install nowhere")])
    def guess(image: Picture) -> str:
        """Guess what a picture shows."""
        return "a cat"

    code, said, noted = run(capsys, "guess", "photo.png")
    assert (code, said) == (DECLINED, "")
    assert noted == "error: guess needs nowhere_to_be_found: pip install nowhere\n"
    code, said, _ = run(capsys, "--list")
    (line,) = [line for line in said.splitlines() if line.split()[0] == "guess"]
    assert line.endswith("Cannot run here: needs nowhere_to_be_found: pip install nowhere")
    assert "pip install nowhere" in run(capsys, "guess", "--help")[1]


def test_a_broken_tool_is_our_fault(folder: Path, capsys: pytest.CaptureFixture[str], own_tools: None) -> None:
    @visual_tool(kind="look")
    def break_down(image: Picture) -> str:
        """Break."""
        raise ZeroDivisionError("zero")

    code, _, noted = run(capsys, "break_down", "photo.png")
    assert code == DECLINED
    assert noted.count("\n") == 1
    assert "Traceback" not in noted


def test_every_tool_is_listed_in_a_line_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    code, said, _ = run(capsys, "--list")
    assert code == 0
    lines = [line for line in said.splitlines() if line.startswith("  ")]
    assert [line.split()[0] for line in lines] == [
        tool.name for kind in ("look", "change", "mark", "control", "draw") for tool in tools([kind])
    ]
    for tool in built_in():
        parser = tool_command._parser(tool)
        known = {action.dest for action in parser._actions}
        assert known >= set(tool.schema()["properties"]), tool.name
        assert tool.name in parser.format_help()
    code, said, _ = run(capsys, "crop", "--help")
    assert code == 0
    assert "--box LEFT,TOP,RIGHT,BOTTOM" in said
    assert run(capsys)[1] == run(capsys, "--help")[1]


def test_a_result_without_a_picture_leaves_no_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, noted = run(capsys, "measure", "photo.png", "-o", "x.png")
    assert code == DECLINED
    assert said.startswith("80x40")
    assert "x.png was not written" in noted
    assert not (folder / "x.png").exists()
    code, _, noted = run(capsys, "crop", "photo.png", "--box", HALF)
    assert code == 0
    assert "-o FILE" in noted


def test_listing_loads_nothing_heavy() -> None:
    probe = """
import sys
from genllava_agent.cli import main
try:
    main(["tool", "--list"])
except SystemExit:
    pass
print(sorted({"torch", "transformers", "diffusers", "langchain_core", "cv2", "fastmcp"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout
