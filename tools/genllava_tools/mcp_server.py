"""The visual tools as an MCP server, for any program that speaks MCP: Claude Desktop, an editor, an agent.

    genllava mcp                                # on standard input and output
    genllava mcp --http --port 8000             # on this machine, at http://127.0.0.1:8000/mcp

Arguments that are pictures are names. `put_image` takes the file of a picture and gives its name; each picture that a
tool makes has one too. Results are words, figures (structured content), and pictures as image content: one of at most
1024 pixels to look at, and the whole one as the resource `image://NAME`. Nothing is read from paths or addresses.

The pictures of a client are its own. Over stdio, and over HTTP in a session of MCP's earlier protocols, names are short
(image_1) and mean nothing to other clients. In the protocol of 2026-07-28, HTTP requests belong to no session: there
names end in a random key (image_1-3f9c...), and who has not been told a name cannot guess it.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import secrets
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

from fastmcp import FastMCP
from fastmcp.exceptions import ResourceError
from fastmcp.resources import ResourceContent, ResourceResult
from fastmcp.server.context import Context
from fastmcp.server.dependencies import get_context
from fastmcp.tools import Tool, ToolResult
from mcp_types import ContentBlock, ImageContent, ResourceLink, TextContent, ToolAnnotations
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from PIL import Image
from pydantic import PrivateAttr

from genllava.errors import GenLlavaError, ImageRejected, InvalidRequest
from genllava.images import MAX_BYTES, decode_base64, picture_notes
from genllava_tools.errors import ToolFailed
from genllava_tools.picture_files import as_base64, load_layer, png_bytes, preview
from genllava_tools.picture_sessions import PictureSessions
from genllava_tools.registry import available
from genllava_tools.tool import VisualTool

_PREVIEW: Final = 1024
"""Pixels of the longer side of a picture in a result."""
_KEY_BYTES: Final = 12
"""Of the random key in the names of pictures that belong to no session of MCP."""
_LONGEST_NAME: Final = 64
_INSTRUCTIONS: Final = """\
Tools that look at pictures, change them and draw on them. Pictures have names: send the file of one with put_image, \
and give its name to the tools. A picture that a tool makes gets a name too, and can be given to the next tool."""
_PUT_IMAGE: Final = f"""\
Send a picture, and get its name, which the other tools take. The file has at most {MAX_BYTES // 1_000_000} MB; over \
HTTP 3 MB, as a request has at most 4 MiB with its base64."""
_log: Final = logging.getLogger(__name__)
_HARMLESS: Final = ToolAnnotations(read_only_hint=True, destructive_hint=False, open_world_hint=False)
Value = TypeVar("Value")
Answer = tuple[str, dict[str, Any], list[tuple[Image.Image, tuple[bytes, str]]]]
"""What a tool gave: words, figures, and its pictures, each with a small file of it and the type of that."""


def server(seconds: float = 120.0, sessions: PictureSessions | None = None) -> FastMCP:
    """An MCP server with all tools that can run here.

    Args:
        seconds: the longest that a tool may take.
        sessions: where the pictures of its clients are kept.
    """
    desk = _Desk(seconds, PictureSessions() if sessions is None else sessions)
    made = FastMCP("genllava", instructions=_INSTRUCTIONS, mask_error_details=True)
    made.add_tool(_PutImage.made(desk))
    for tool in available():
        made.add_tool(_Visual.made(desk, tool))

    @made.resource("image://{name}", name="image", description="A picture, whole, as PNG.", mime_type="image/png")
    async def image(name: str) -> ResourceResult:
        try:
            picture = desk.pictures(get_context()).get(name)
        except InvalidRequest as error:
            raise ResourceError(str(error), log_level=logging.DEBUG) from None
        return ResourceResult([ResourceContent(await desk.work(lambda: png_bytes(picture)), "image/png")])

    return made


def serve_stdio(seconds: float) -> None:
    """Serve on standard input and output until the input ends; what libraries print goes to standard error.

    Args:
        seconds: the longest that a tool may take.
    """
    server(seconds).run("stdio", show_banner=False, log_level="WARNING")


def serve_http(seconds: float, host: str, port: int) -> None:
    """Serve over streamable HTTP at http://host:port/mcp.

    Args:
        seconds: the longest that a tool may take.
        host: an address of this machine.
        port: to listen at.
    """
    server(seconds).run("http", **http_settings(host, port))


def http_settings(host: str, port: int) -> dict[str, Any]:
    """How it is served over HTTP: at an address of this machine alone, requests that a web page makes under the name or
    from the origin of another machine are refused."""
    guard = {"host_origin_protection": "auto"}
    return {"show_banner": False, "log_level": "WARNING", "host": host, "port": port, **guard}


class _Names:
    """The pictures that the client of one request may name."""

    def __init__(self, sessions: PictureSessions, scope: str | None) -> None:
        self._sessions = sessions
        self._scope = scope
        self._key = ""

    def get(self, name: object) -> Image.Image:
        """The picture of that name.

        Raises:
            InvalidRequest: there is none.
        """
        if not isinstance(name, str):
            raise InvalidRequest(f"a picture is named by a string such as image_1, and not by {str(name)[:40]}")
        if self._scope is not None:
            return self._sessions.open(self._scope).get(name)
        plain, _, key = name.rpartition("-")
        session = self._sessions.find(f"key {key}")
        if session is None:
            raise InvalidRequest(f"no picture {name[:_LONGEST_NAME]!r}: give the whole name that a result told")
        self._key = self._key or key
        return session.get(plain)

    def put(self, image: Image.Image) -> str:
        """Keep a picture beside those that were named; its name."""
        if self._scope is not None:
            return self._sessions.open(self._scope).put(image)
        self._key = self._key or secrets.token_hex(_KEY_BYTES)
        return f"{self._sessions.open(f'key {self._key}').put(image)}-{self._key}"


class _Desk:
    """What all tools of a server share: the pictures of its clients, and threads to work in."""

    def __init__(self, seconds: float, sessions: PictureSessions) -> None:
        self.seconds = seconds
        self._sessions = sessions
        self._slots = threading.BoundedSemaphore(os.cpu_count() or 2)

    def pictures(self, context: Context) -> _Names:
        """The pictures of the client that asks."""
        request = context.request_context
        if request is None or request.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            return _Names(self._sessions, f"session {context.session_id}")
        return _Names(self._sessions, None if context.transport in ("streamable-http", "sse") else "this process")

    async def work(self, call: Callable[[], Value]) -> Value:
        """Call in a thread of its own. Where the client cancels, or the time is over, it is abandoned: its result is
        not waited for.

        Raises:
            InvalidRequest: it took too long.
        """
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Value] = loop.create_future()

        def settle(value: Any, error: BaseException | None) -> None:
            if outcome.done():
                return
            if error is None:
                outcome.set_result(value)
            else:
                outcome.set_exception(error)

        def run() -> None:
            value, failed = None, None
            with self._slots:
                if outcome.done():
                    return
                try:
                    value = call()
                except BaseException as error:  # it is raised where the result is awaited
                    failed = error
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, value, failed)

        threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True).start()
        try:
            return await asyncio.wait_for(outcome, self.seconds)
        except TimeoutError:
            said = f"it took longer than {self.seconds:g} seconds and was abandoned"
            raise InvalidRequest(f"{said}: ask for less, such as a smaller picture") from None

    async def answer(self, name: str, call: Callable[[_Names], Callable[[], Answer]]) -> ToolResult:
        """The result of a tool as MCP has it, or what went wrong with it, in words for whoever called.

        Args:
            name: of the tool.
            call: looks up the pictures that were named, and gives what is to be done in a thread.
        """
        try:
            names = self.pictures(get_context())
            return self._result(names, await self.work(call(names)))
        except ToolFailed as error:
            _log.error("%s", error, exc_info=error)
            said = str(error)
        except GenLlavaError as error:
            said = str(error) if str(error).startswith(name) else f"{name}: {error}"
        return ToolResult([TextContent(text=said)], is_error=True)

    def _result(self, names: _Names, answer: Answer) -> ToolResult:
        words, data, shown = answer
        blocks, listed = list[ContentBlock](), list[dict[str, Any]]()
        for image, (file, kind) in shown:
            name = names.put(image)
            link = f"image://{name}"
            blocks += [
                ImageContent(data=as_base64(file), mime_type=kind),
                ResourceLink(name=name, uri=link, mime_type="image/png", description=f"{name}, whole"),
            ]
            listed.append({"name": name, "width": image.width, "height": image.height, "uri": link})
            words = f"{words} This is {name}, {image.width}x{image.height} pixels."
        return ToolResult([TextContent(text=words), *blocks], {"text": words, "data": data, "pictures": listed})


class _Visual(Tool):
    """A visual tool as MCP has it."""

    _tool: VisualTool = PrivateAttr()
    _desk: _Desk = PrivateAttr()

    @classmethod
    def made(cls, desk: _Desk, tool: VisualTool) -> _Visual:
        """It, with the schema of the tool."""
        made = cls(
            name=tool.name,
            description=tool.description,
            parameters=tool.named_schema(),
            annotations=_HARMLESS,
            tags={tool.kind},
        )
        made._tool, made._desk = tool, desk
        return made

    async def run(self, arguments: dict[str, Any]) -> ToolResult:
        """Run it on the pictures that are named."""
        tool = self._tool

        def call(names: _Names) -> Callable[[], Answer]:
            given = tool.with_pictures(arguments, names.get)

            def work() -> Answer:
                result = tool.run(given)
                return result.text, result.data, [(image, preview(image, _PREVIEW)) for image in result.images]

            return work

        return await self._desk.answer(tool.name, call)


class _PutImage(Tool):
    """The tool by which pictures come in."""

    _desk: _Desk = PrivateAttr()

    @classmethod
    def made(cls, desk: _Desk) -> _PutImage:
        """It, with its schema."""
        data = {"type": "string", "description": "The file (PNG, JPEG, WebP, ...) as base64, or as a data URI of it."}
        schema = {"type": "object", "properties": {"data": data}, "required": ["data"], "additionalProperties": False}
        made = cls(name="put_image", description=_PUT_IMAGE, parameters=schema, annotations=_HARMLESS)
        made._desk = desk
        return made

    async def run(self, arguments: dict[str, Any]) -> ToolResult:
        """Let a picture in."""

        def call(names: _Names) -> Callable[[], Answer]:
            data = arguments.get("data")
            if not isinstance(data, str) or arguments.keys() != {"data"}:
                raise InvalidRequest("it takes `data`: the file of a picture as base64")
            if len(data) > 2 * MAX_BYTES:
                raise ImageRejected(f"the file has more than {MAX_BYTES:,} bytes: save it smaller, such as a JPEG")

            def work() -> Answer:
                image = load_layer(decode_base64(data))
                words = "; ".join(["The picture is here", *picture_notes(image)])
                return f"{words}.", {}, [(image, preview(image, _PREVIEW))]

            return work

        return await self._desk.answer(self.name, call)
