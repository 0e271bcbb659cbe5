"""`genllava tool` and `genllava mcp`: the visual tools from a shell, and served to other programs.

The options of a tool are made from the schema of its arguments.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from argparse import BooleanOptionalAction, Namespace
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genllava.errors import InvalidRequest
from genllava_agent.addresses import is_loopback
from genllava_agent.files import check_picture_output, read_picture, write_picture
from genllava_agent.option_parser import OptionParser
from genllava_agent.reporting import DECLINED, note, one_line, progress

if TYPE_CHECKING:
    from PIL import Image

    from genllava_tools import ToolResult, VisualTool

_MAKES_PICTURES: Final = ("change", "mark", "control", "draw")
"""Kinds of tools whose result is a picture."""
_PLACES: Final = {4: "LEFT,TOP,RIGHT,BOTTOM", 2: "X,Y"}


def run(words: Sequence[str]) -> int:
    """Run a tool, list the tools, or explain one.

    Args:
        words: what was typed behind `genllava tool`.

    Returns:
        The exit code.

    Raises:
        InvalidRequest: what was typed cannot be done; the message says what to type instead.
        ToolUnavailable: the tool needs what is not here.
    """
    if not words or words[0].startswith("-"):
        return _overview(words)

    _keep_quiet()
    from genllava.images import picture_notes
    from genllava_tools import ToolUnavailable, find

    tool = find(words[0])
    options = _parser(tool).parse_intermixed_args(words[1:])
    if tool.missing:
        raise ToolUnavailable(f"{tool.name} {tool.missing}")
    if options.output is None and tool.kind in _MAKES_PICTURES:
        raise InvalidRequest(f"{tool.name} makes a picture: say where to write it, -o FILE")
    paths = _paths(tool, options)
    inputs = [Path(path) for given in paths.values() for path in given if path != "-"]
    if options.output is not None:
        _target(options.output, inputs, options)
    arguments = {name: value for name in _plain(tool) if (value := getattr(options, name)) is not None}
    for name, given in paths.items():
        read = [read_picture(path, transparency=True) for path in given]
        note(*(each for picture in read for each in picture_notes(picture)))
        arguments[name] = read if _is_list(tool, name) else read[0]
    with progress() as show:
        show(f"running {tool.name}")
        started = time.perf_counter()
        result = tool.run(arguments)
        seconds = time.perf_counter() - started
    return _report(tool, options, result, seconds, inputs)


def serve(http: bool, host: str, port: int, seconds: float) -> None:
    """Serve the tools to programs that speak MCP, until the program that began it or Ctrl-C ends it.

    Args:
        http: over HTTP, at `host` and `port`; else on standard input and output.
        seconds: the longest that a tool may take.

    Raises:
        ToolUnavailable: fastmcp is not installed.
    """
    _keep_quiet()
    from genllava_tools import ToolUnavailable, unavailable

    if find_spec("fastmcp") is None:
        raise ToolUnavailable("genllava mcp needs fastmcp: pip install 'genllava[mcp]'")
    from genllava_tools.mcp_server import serve_http, serve_stdio

    if missing := unavailable():
        note(f"not served, as they need more (`genllava tool --list` says what): {', '.join(missing)}")
    if not http:
        serve_stdio(seconds)
        return
    if not is_loopback(host):
        note(f"{host} can be reached from other machines: whoever reaches it can call the tools")
    note(f"serving at http://{host}:{port}/mcp")
    serve_http(seconds, host, port)


def _keep_quiet() -> None:
    """Keep the bars, notices and warnings of libraries that tools load out of what is printed; nothing is loaded."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")


def _overview(words: Sequence[str]) -> int:
    """List the tools, or say how the command is used."""
    parser = OptionParser(
        prog="genllava tool",
        usage="genllava tool NAME IMAGE [IMAGE ...] [-o OUTPUT] [--argument VALUE ...]",
        description="Run a visual tool on pictures. `genllava tool NAME --help` lists the arguments of a tool.",
    )
    parser.add_argument("--list", action="store_true", help="name all tools, a line each")
    options = parser.parse_args(words)
    if options.list:
        print(_table())
    else:
        parser.print_help()
    return 0


def _table() -> str:
    from genllava_tools import tools
    from genllava_tools.offers import first_sentence
    from genllava_tools.tool import KINDS

    every = tools()
    width = max(len(tool.name) for tool in every)
    lines = list[str]()
    for kind in KINDS:
        chosen = [tool for tool in every if tool.kind == kind]
        lines += [kind] if chosen else []
        for tool in chosen:
            missing = f" Cannot run here: {one_line(tool.missing)}" if tool.missing else ""
            lines.append(f"  {tool.name:{width}}  {first_sentence(tool.description)}{missing}")
    return "\n".join(lines)


def _parser(tool: VisualTool) -> OptionParser:
    """Reads what was typed behind the name of a tool."""
    needs = _safe(f"It cannot run here: {tool.missing}") if tool.missing else None
    pictures = " ".join(name.upper() for name in tool.pictures)
    usage = f"genllava tool {tool.name} {pictures} [-o OUTPUT] [--argument VALUE ...]"
    says = _safe(tool.description)
    parser = OptionParser(prog=f"genllava tool {tool.name}", usage=usage, description=says, epilog=needs)
    schema = tool.schema()
    says = f"files of the pictures, in this order: {', '.join(tool.pictures)}; - is standard input"
    if tool.pictures:
        parser.add_argument("files", nargs="*", metavar="IMAGE", help=says)
    says = "file to write the picture to: .png, .jpg or .webp; several are numbered"
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help=says)
    parser.add_argument("--json", action="store_true", dest="as_json", help="print the result as JSON")
    parser.add_argument("--overwrite", action="store_true", help="let the output replace a picture that was given")
    for name, each in schema["properties"].items():
        flags = list(dict.fromkeys([f"--{name.replace('_', '-')}", f"--{name}"]))
        default = f" Default: {each['default']}." if "default" in each else ""
        says = _safe(f"{each['description']}{default}{' Required.' * (name in schema['required'])}")
        settings: dict[str, Any] = {"dest": name, "help": says}
        if name in tool.pictures:
            settings |= {"metavar": "FILE", "help": f"{says} Instead of its place in the order."}
            settings |= {"action": "append"} if each.get("type") == "array" else {}
        else:
            settings |= _reading(each)
        parser.add_argument(*flags, **settings)
    return parser


def _reading(schema: Mapping[str, Any]) -> dict[str, Any]:
    """How an option is read whose value has this schema; the tool itself checks what comes of it."""
    kind = schema.get("type")
    if kind == "boolean":
        return {"action": BooleanOptionalAction}
    if kind == "array" and schema["items"].get("type") in ("integer", "number"):
        return {"type": lambda text: text.split(","), "metavar": _PLACES.get(schema["maxItems"], "NUMBER,NUMBER,…")}
    if kind == "array":
        return {**_reading(schema["items"]), "action": "append"}
    if "enum" in schema:
        return {"choices": schema["enum"]}
    return {"metavar": "NUMBER" if kind in ("integer", "number") else "TEXT"}


def _paths(tool: VisualTool, options: Namespace) -> dict[str, list[str]]:
    """The files of each argument that is a picture.

    Raises:
        InvalidRequest: there are too many, or one is missing.
    """
    named = {name: value for name in tool.pictures if (value := getattr(options, name)) is not None}
    found = {name: value if isinstance(value, list) else [value] for name, value in named.items()}
    left = list(getattr(options, "files", []))
    for name in tool.pictures:
        if name not in found and left:
            taken = len(left) if _is_list(tool, name) else 1
            found[name], left = left[:taken], left[taken:]
    if left:
        takes = ", ".join(tool.pictures) or "no pictures"
        raise InvalidRequest(f"{tool.name} was given {left[0]} too much: it takes {takes}")
    for name in tool.schema()["required"]:
        if name in tool.pictures and name not in found:
            raise InvalidRequest(f"{tool.name}: the picture `{name}` is missing: give the file of it")
    if sum(path == "-" for given in found.values() for path in given) > 1:
        raise InvalidRequest("standard input is one picture: give files for the others")
    return found


def _report(
    tool: VisualTool, options: Namespace, result: ToolResult, seconds: float, inputs: Sequence[Path]
) -> int:
    """Write the pictures and print the words of a result; the exit code."""
    written: dict[Path, Image.Image] = {}
    if options.output is not None:
        out = options.output
        several = len(result.images) > 1
        names = [out.with_stem(f"{out.stem}-{at + 1}") if several else out for at in range(len(result.images))]
        written = dict(zip(names, result.images, strict=True))
    targets = {path: _target(path, inputs, options) for path in written}
    for path, image in written.items():
        write_picture(targets[path], _fitting(image, path))
    if options.as_json:
        report = {"text": result.text, "data": result.data, "output": [str(path) for path in written]}
        print(json.dumps({**report, "seconds": round(seconds, 3)}, indent=2, ensure_ascii=False))
    else:
        print(f"{', '.join(map(str, written))}: {result.text}" if written else result.text)
    if options.output is not None and not written:
        note(f"{tool.name} made no picture: {options.output} was not written")
        return DECLINED
    if result.images and not written:
        note("it made a picture too: -o FILE writes it")
    return 0


def _fitting(image: Image.Image, path: Path) -> Image.Image:
    """A picture as the format of a file can hold it."""
    from genllava_tools.picture_files import on_white

    if path.suffix.lower() in (".jpg", ".jpeg") and image.has_transparency_data:
        note(f"{path}: JPEG has no transparency, and white is in its place; PNG and WebP keep it")
        return on_white(image)
    return image


def _target(path: Path, inputs: Sequence[Path], options: Namespace) -> Path:
    """Where a picture is written.

    Raises:
        InvalidRequest: it cannot be written there, or would replace one that was given.
    """
    target = check_picture_output(path)
    given = [each for each in inputs if target.exists() and each.exists() and target.samefile(each)]
    if given and not options.overwrite:
        raise InvalidRequest(f"the output would replace {given[0]} itself: give another name, or --overwrite")
    return target


def _plain(tool: VisualTool) -> list[str]:
    """The arguments that are no pictures."""
    return [name for name in tool.schema()["properties"] if name not in tool.pictures]


def _is_list(tool: VisualTool, name: str) -> bool:
    return bool(tool.schema()["properties"][name].get("type") == "array")


def _safe(text: str) -> str:
    """Words as a help text takes them."""
    return text.replace("%", "%%")
