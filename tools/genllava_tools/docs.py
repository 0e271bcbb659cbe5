"""The page of all tools and the snapshot of their schemas, made from the registry.

    python -m genllava_tools.docs docs/tools.md tests/tools/schemas.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from genllava_tools.control_table import control_section
from genllava_tools.docs_models import helped_by, models_section
from genllava_tools.offers import first_sentence
from genllava_tools.registry import built_in
from genllava_tools.tool import KINDS, VisualTool

_HEAD: Final = """\
# Visual tools

Made by `python -m genllava_tools.docs docs/tools.md` from the tools themselves; do not edit it by hand.

```python
from genllava_tools import find, tools, visual_tools

part = find("crop")(photo, box=(0.1, 0.2, 0.6, 0.9)).image      # a PIL image in, a PIL image out
found = find("count_objects")(photo)
print(found.text, found.data["count"])
VisualAgent(tools=visual_tools())                               # the same ones for an agent: LangChain tools
```

A box is `[left, top, right, bottom]` and a point `[x, y]`, in fractions of the picture's width and height, from the top
left corner. For models that write thousandths or pixels, `visual_tools(dialect="0-1000")` or `dialect="pixels"` reads
them so. A mask is a picture, white where the region is, with the proportions of the picture that it belongs to. In an
agent, arguments that are pictures are their names (`image_1`). No argument is a path, an address or code. What is wrong
with arguments is an `InvalidRequest` that says what to give instead.

A tool that needs weights or a package that does not come with this one says so below; `unavailable()` of
`genllava_tools` lists those that cannot run, and how to get what they need. The
checkpoints that tools run are listed under [Models](#models).

Your own: a typed function under `@visual_tool(kind="change")` (`genllava_tools.registry`).
"""
_CONTROL: Final = """\
A map goes to the ControlNet of its kind: `generate(prompt, control={"canny": find("canny")(photo).image})`. It has the
size of the picture, and `resolution` says in what size it is made. A map of one colour, which would steer nothing, is
an `EmptyControlMap` that says what to do instead. What controlnet-aux computes runs one call at a time; its weights are
pickles, of which only tensors are read. ControlNets are named by public ids to begin with; `controlnet-union` is a
`ControlNetUnionModel` of diffusers.
"""
_KINDS: Final = {
    "look": "Look",
    "change": "Change",
    "mark": "Mark",
    "control": "Control",
    "draw": "Draw",
}


def page() -> str:
    """The page in Markdown: a table of this package's tools by kind, and the arguments of each."""
    shipped = built_in()
    parts = [_HEAD]
    for kind in KINDS:
        chosen = [tool for tool in shipped if tool.kind == kind]
        if not chosen:
            continue
        rows = [f"| [`{tool.name}`](#{tool.name}) | {_cell(first_sentence(tool.description))} |" for tool in chosen]
        parts.append("\n".join([f"## {_KINDS[kind]}", "", "| tool | what it does |", "|---|---|", *rows, ""]))
        if kind == "control":
            parts.append("\n".join([_CONTROL, *control_section(), ""]))
        parts += [_section(tool) for tool in chosen]
    return "\n".join([*parts, models_section(shipped)])


def schemas() -> dict[str, Any]:
    """What models see of each of this package's tools: its description and the schema of its arguments, by name."""
    return {tool.name: {"description": tool.description, "parameters": tool.schema()} for tool in built_in()}


def snapshot() -> str:
    """`schemas` as JSON text."""
    return json.dumps(schemas(), indent=1, ensure_ascii=False) + "\n"


def _section(tool: VisualTool) -> str:
    schema = tool.schema()
    lines = [f"### {tool.name}", "", tool.description, ""]
    needs = [*(f"Needs {need.name}: {need.remedy}." for need in tool.needs), helped_by(tool)]
    lines += [line for need in needs if need for line in (need, "")]
    lines += ["| argument | type | default | meaning |", "|---|---|---|---|"]
    for name, each in schema["properties"].items():
        kind = "picture" if name in tool.pictures else _type(each)
        if name in tool.pictures and each.get("type") == "array":
            kind = f"{_count(each)} pictures"
        default = "required" if name in schema["required"] else f"`{each['default']}`" if "default" in each else "none"
        lines.append(f"| `{name}` | {_cell(kind)} | {default} | {_cell(each['description'])} |")
    return "\n".join([*lines, ""])


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    kind = str(schema.get("type", "value"))
    if kind == "array":
        return f"{_count(schema)} × {_type(schema['items'])}"
    low, high = schema.get("minimum"), schema.get("maximum")
    bounds = f" {low:g} to {high:g}" if low is not None and high is not None else ""
    return {"boolean": "yes or no", "string": "text", "integer": "whole number"}.get(kind, kind) + bounds


def _count(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minItems", 0), schema.get("maxItems")
    return str(high) if low == high else f"{low} to {high}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: Sequence[str]) -> None:
    """Write the page, and the snapshot where its path is given too."""
    for path, text in zip(arguments, (page(), snapshot()), strict=False):
        Path(path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
