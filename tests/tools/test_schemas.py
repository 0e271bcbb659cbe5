"""What models see of the tools: descriptions and schemas, kept in a file so that no change of them goes unseen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genllava_tools.docs import main, page, schemas, snapshot
from genllava_tools.registry import built_in, find
from genllava_tools.tool import VisualTool

ROOT = Path(__file__).resolve().parents[2]
KEPT = Path(__file__).with_name("schemas.json")
PICTURES = ROOT / "docs" / "images" / "tools"
AGAIN = "run: python -m genllava_tools.docs docs/tools.md tests/tools/schemas.json"
ALL = pytest.mark.parametrize("tool", built_in(), ids=lambda tool: tool.name)


def test_the_snapshot_is_of_these_tools() -> None:
    assert json.loads(KEPT.read_text(encoding="utf-8")) == json.loads(json.dumps(schemas())), AGAIN


def test_the_page_is_of_these_tools(tmp_path: Path) -> None:
    assert (ROOT / "docs" / "tools.md").read_text(encoding="utf-8") == page(PICTURES), AGAIN
    main([str(tmp_path / "page.md"), str(tmp_path / "schemas.json")])
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == page()
    assert (tmp_path / "schemas.json").read_text(encoding="utf-8") == snapshot()


def test_the_page_has_every_tool_and_argument() -> None:
    text = page()
    for tool in built_in():
        section = text.split(f"### {tool.name}\n")[1].split("\n### ")[0]
        assert tool.description in section
        for argument in tool.schema()["properties"]:
            assert f"| `{argument}` |" in section


@ALL
def test_every_argument_is_typed_described_and_bounded(tool: VisualTool) -> None:
    schema = tool.schema()
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) <= set(schema["properties"]), "what is required is there by that name"
    for name, each in schema["properties"].items():
        assert each["type"] in ("string", "number", "integer", "boolean", "array"), name
        assert each["description"].endswith("."), name
        assert "path" not in name
        assert "url" not in name
        assert "code" not in name
        assert "file" not in name
        if "default" in each:
            assert name not in schema["required"]


@ALL
def test_schemas_are_plain(tool: VisualTool) -> None:
    """No references, no `null`, no arrays with a schema for each item: some servers take none of these."""

    def keys(value: Any) -> set[str]:
        if isinstance(value, dict):
            names = {key for key in value if not isinstance(value[key], dict) or key in ("items",)}
            return names | {key for each in value.values() for key in keys(each)}
        return {key for each in value for key in keys(each)} if isinstance(value, list) else set()

    for dialect in ("0-1", "0-1000", "pixels"):
        schema = tool.schema(dialect)  # type: ignore[arg-type]
        assert not keys(schema) & {"$ref", "$defs", "anyOf", "prefixItems", "title", "oneOf", "allOf"}
        assert "null" not in json.dumps(schema)
        json.dumps(schema, allow_nan=False)


@ALL
def test_descriptions_are_for_a_model_to_act_on(tool: VisualTool) -> None:
    assert 30 < len(tool.description) < 420
    assert "\n" not in tool.description
    assert tool.description[0].isupper()
    assert tool.description.endswith(".")


TABLE = {
    "zoom_in": "image box label", "crop": "image box", "measure": "image", "palette": "image", "histogram": "image",
    "compare": "image other", "detect": "image labels", "segment": "image point box label",
    "count_objects": "image label", "depth_map": "image", "classify": "image labels", "caption": "image",
    "find_faces": "image", "resize": "image width height", "rotate": "image angle", "flip": "image direction",
    "pad": "image", "adjust": "image brightness contrast color sharpness", "grayscale": "image",
    "blur": "image box mask", "pixelate": "image box", "remove_background": "image", "cut_out": "image mask",
    "paste": "image other box", "side_by_side": "image other", "grid": "images", "draw_boxes": "image boxes labels",
    "draw_points": "image points", "draw_arrow": "image start end", "add_text": "image text position color",
    "highlight": "image mask",
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_tools_have_the_arguments_by_which_the_field_calls_them(name: str) -> None:
    assert set(TABLE[name].split()) <= set(find(name).schema()["properties"])


def test_names_of_arguments_are_the_ones_that_are_used_elsewhere() -> None:
    names = {name for tool in built_in() for name in tool.schema()["properties"]}
    assert names >= {"image", "other", "box", "boxes", "mask", "label", "labels", "point", "points", "text", "color"}
    assert not names & {"bbox", "bbox_2d", "img", "img_idx", "image_path", "target_image", "colour"}


def test_what_is_the_simple_way_is_said_before_and_after() -> None:
    for name in ("segment", "count_objects", "remove_background", "remove_object", "upscale"):
        assert "the simple way" in find(name).description
