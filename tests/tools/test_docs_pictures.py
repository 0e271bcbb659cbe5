"""The examples of the page of all tools, and their pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from genllava_tools.docs_examples import EXAMPLES, PHOTOGRAPHS, STEPS
from genllava_tools.docs_pictures import LONGEST, RESULTS, make, read
from genllava_tools.registry import built_in, find
from genllava_tools.tool import VisualTool

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "images" / "tools"
LARGEST = 1_500_000
"""Bytes of all pictures of the page."""


def fits(tool: VisualTool, arguments: dict[str, Any]) -> None:
    """See that an example is a call that the tool can be given."""
    schema = tool.schema()
    assert set(schema["required"]) <= arguments.keys() <= set(schema["properties"]), tool.name
    for name in tool.pictures:
        if name in arguments:
            given = arguments[name] if isinstance(arguments[name], list) else [arguments[name]]
            assert set(given) <= {*PHOTOGRAPHS, *STEPS}, tool.name


def test_every_tool_has_an_example() -> None:
    tools = {tool.name: tool for tool in built_in()}
    assert EXAMPLES.keys() == tools.keys()
    for name, arguments in EXAMPLES.items():
        fits(tools[name], arguments)
    for name, arguments in STEPS.values():
        fits(tools[name], arguments)


def test_the_pictures_are_small_and_all_on_the_page() -> None:
    shown = read(PICTURES)
    assert set(shown) <= {tool.name for tool in built_in()}
    used = {file for each in shown.values() for file in (*each["before"], *each["after"])}
    there = {file.name for file in PICTURES.iterdir()}
    assert there == {*used, RESULTS}
    for file in used:
        with Image.open(PICTURES / file) as image:
            assert max(image.size) <= LONGEST
    assert sum(file.stat().st_size for file in PICTURES.iterdir()) < LARGEST
    text = (PICTURES.parents[1] / "tools.md").read_text(encoding="utf-8")
    assert [file for file in used if f"](images/tools/{file})" not in text] == []


def test_tools_without_needs_are_shown() -> None:
    shown = read(PICTURES)
    assert [tool.name for tool in built_in() if not tool.needs and tool.name not in shown] == []
    for tool in built_in():
        if tool.name in shown and tool.kind in ("change", "mark", "control", "draw"):
            assert shown[tool.name]["after"], tool.name


def test_pictures_are_made_by_the_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made again, here for two of the tools: what other machines made stays, what no tool uses goes."""
    monkeypatch.setattr("genllava_tools.docs_pictures.built_in", lambda: [find("crop"), find("detect")])
    kept = {"call": "detect(...)", "before": ["far.png"], "after": [], "text": "Found by another machine."}
    gone = {**kept, "before": ["gone.png"]}
    (tmp_path / RESULTS).write_text(json.dumps({"detect": kept, "saw": gone}))
    for name in ("far.png", "gone.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    monkeypatch.setenv("GENLLAVA_DETECTION_MODEL", str(tmp_path / "none"))
    left = make(tmp_path)
    assert left.keys() == {"detect"}
    shown = read(tmp_path)
    assert shown["detect"] == kept
    assert shown["crop"]["call"] == 'find("crop")(cat, box=(0.25, 0.1, 0.75, 0.9))'
    assert shown["crop"]["text"] == "The part of 225x240 pixels of a picture of 451x300."
    assert {file.name for file in tmp_path.iterdir()} == {"cat.jpg", "crop_after.jpg", "far.png", RESULTS}
    with Image.open(tmp_path / "crop_after.jpg") as image:
        assert image.size == (225, 240)
