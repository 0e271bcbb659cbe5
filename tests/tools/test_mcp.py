"""The tools served by MCP, called by a real client: over stdio, over HTTP on loopback, and in memory."""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from mcp.shared.exceptions import MCPError
from photos import FOLDER, levels, photo, shapes
from PIL import Image

from genllava_agent.addresses import is_loopback
from genllava_tools import visual_tool
from genllava_tools.arguments import Picture
from genllava_tools.mcp_server import http_settings, server
from genllava_tools.picture_sessions import Limits, PictureSessions
from genllava_tools.registry import available, find
from genllava_tools.tool import package

BOX = [0.1, 0.3, 0.3, 0.7]
CROPPED = {"image": "image_1", "box": BOX}


def encoded(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def shown(result: Any) -> list[Image.Image]:
    """The pictures in a result."""
    return [Image.open(io.BytesIO(base64.b64decode(each.data))) for each in result.content if each.type == "image"]


def words(result: Any) -> str:
    return str(result.content[0].text)


async def put(client: Client[Any], image: Image.Image) -> str:
    """Send a picture; its name."""
    result = await client.call_tool("put_image", {"data": encoded(image)})
    return str(result.structured_content["pictures"][0]["name"])


async def whole(client: Client[Any], name: str) -> Image.Image:
    """A picture, read as a resource."""
    (found,) = await client.read_resource(f"image://{name}")
    assert found.mime_type == "image/png"
    return Image.open(io.BytesIO(base64.b64decode(found.blob)))


async def failure(client: Client[Any], name: str, arguments: dict[str, Any]) -> str:
    """What a client is told of a call that failed."""
    result = await client.call_tool(name, arguments, raise_on_error=False)
    assert result.is_error
    assert "Traceback" not in str(result.content)
    return words(result)


def in_memory(use: Callable[[Client[Any]], Coroutine[Any, Any, None]], **settings: Any) -> None:
    """Let a client use a server in this process."""

    async def main() -> None:
        async with Client(server(**settings)) as client:
            await use(client)

    asyncio.run(main())


@asynccontextmanager
async def over_http() -> AsyncIterator[str]:
    """The address of a server on this machine."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        listener.listen()
        settings = {**http_settings("127.0.0.1", port), "log_level": "ERROR"}
        serving = asyncio.create_task(server().run_http_async(**settings, sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            serving.cancel()
            await asyncio.wait([serving])


def test_over_http_other_peoples_web_pages_are_refused() -> None:
    def answer(port: int, headers: dict[str, str], body: bytes = b"{}") -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        usual = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        connection.request("POST", "/mcp", body=body, headers={**usual, **headers})
        return connection.getresponse().status

    async def main() -> None:
        async with over_http() as address:
            port = int(address.split(":")[2].split("/")[0])
            asked = [{}, {"Host": "evil.example"}, {"Origin": "http://evil.example"}]
            got = [await asyncio.to_thread(answer, port, headers) for headers in asked]
            assert got[0] == 400, "an empty request, which is read"
            assert set(got[1:]) <= {403, 421}
            assert await asyncio.to_thread(answer, port, {}, bytes(5_000_000)) == 413

    asyncio.run(main())


def test_over_stdio_whatever_libraries_print(tmp_path: Path) -> None:
    script = tmp_path / "serve.py"
    script.write_text(
        """
import os
from genllava_tools import visual_tool
from genllava_tools.arguments import Picture
from genllava_tools.mcp_server import serve_stdio

@visual_tool(kind="look")
def chatter(image: Picture) -> str:
    '''Say much.'''
    print("a line of a library", flush=True)
    os.write(1, b"{'half': 'a line of C")
    return "said"

serve_stdio(60)
"""
    )

    async def main() -> None:
        async with Client(StdioTransport(sys.executable, [str(script)], log_file=tmp_path / "log")) as client:
            assert {tool.name for tool in await client.list_tools()} >= {"put_image", "crop", "chatter"}
            assert await put(client, shapes()) == "image_1"
            assert words(await client.call_tool("chatter", {"image": "image_1"})) == "said"
            cropped = await client.call_tool("crop", CROPPED)
            assert (levels(shown(cropped)[0]) == (255, 0, 0)).all()
            assert (levels(await whole(client, "image_2")) == (255, 0, 0)).all()

    asyncio.run(main())
    assert "a line of a library" in (tmp_path / "log").read_text(), "it went to standard error"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_over_http_clients_are_apart(mode: str) -> None:
    async def main() -> None:
        async with over_http() as address, Client(address, mode=mode) as one, Client(address, mode=mode) as other:
            names = [await put(one, shapes()), await put(other, photo("cat"))]
            cropped = await one.call_tool("crop", {"image": names[0], "box": BOX})
            assert (levels(shown(cropped)[0]) == (255, 0, 0)).all()
            made = cropped.structured_content["pictures"][0]["name"]
            assert (levels(await whole(one, made)) == (255, 0, 0)).all()
            both = await one.call_tool("side_by_side", {"image": made, "other": names[0], "gap": 0})
            assert both.structured_content["pictures"][0]["width"] == 100 + 200
            for name in ("image_1", "image_2", "image_3", "image_1-", f"image_1-{'0' * 24}"):
                mine = {"image_1": 451} if mode == "legacy" else {}
                if name in mine:
                    found = await other.call_tool("measure", {"image": name})
                    assert found.structured_content["data"]["width"] == mine[name], "its own, and not the other's"
                else:
                    assert "no picture" in await failure(other, "measure", {"image": name})
                    with pytest.raises(MCPError, match="no picture"):
                        await other.read_resource(f"image://{name}")
            if mode == "auto":
                assert names[0].rpartition("-")[2] != names[1].rpartition("-")[2]
                assert len(names[0].rpartition("-")[2]) == 24, "96 random bits"

    asyncio.run(main())


def test_all_tools_that_can_run_are_listed_with_their_schemas(own_tools: None) -> None:
    @visual_tool(kind="look", needs=[package("nowhere_to_be_found", "pip install nowhere")])
    def guess(image: Picture) -> str:
        """Guess what a picture shows."""
        return "a cat"

    async def use(client: Client[Any]) -> None:
        listed = {tool.name: tool for tool in await client.list_tools()}
        assert listed.keys() == {"put_image", *(tool.name for tool in available())}
        for tool in available():
            schema = tool.schema()
            seen = listed[tool.name].input_schema
            assert listed[tool.name].description == tool.description
            assert seen["required"] == schema["required"]
            for name, each in schema["properties"].items():
                if name in tool.pictures:
                    assert "image_1" in seen["properties"][name].pop("description")
                    each.pop("description")
                assert seen["properties"][name] == each
        assert listed["crop"].annotations.read_only_hint

    in_memory(use)


def test_figures_and_words_come_back(own_tools: None) -> None:
    async def use(client: Client[Any]) -> None:
        await put(client, photo("coins"))
        result = await client.call_tool("count_objects", {"image": "image_1"})
        assert result.structured_content["data"] == json.loads(json.dumps(find("count_objects")(photo("coins")).data))
        assert "24 separate things" in words(result)

    in_memory(use)


def test_a_photograph_is_shown_small_and_kept_whole() -> None:
    large = photo("rocket").resize((1280, 854))

    async def use(client: Client[Any]) -> None:
        await put(client, large)
        result = await client.call_tool("flip", {"image": "image_1"})
        (small,) = shown(result)
        assert max(small.size) == 1024
        data = next(each.data for each in result.content if each.type == "image")
        assert not any(data[:100] in each.text for each in result.content if each.type == "text")
        link = next(each for each in result.content if each.type == "resource_link")
        assert link.uri == "image://image_2"
        assert (levels(await whole(client, "image_2")) == levels(large)[:, ::-1]).all()
        assert np.abs(levels(small.convert("RGB")) - levels(large.resize(small.size))[:, ::-1]).mean() < 4

    in_memory(use)


def test_transparency_goes_through() -> None:
    async def use(client: Client[Any]) -> None:
        layer = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
        layer.paste((0, 255, 0, 255), (0, 0, 20, 10))
        await put(client, shapes())
        await put(client, layer)
        await client.call_tool("paste", {"image": "image_1", "other": "image_2", "box": [0, 0, 0.5, 1]})
        pasted = await whole(client, "image_3")
        assert pasted.getpixel((50, 10)) == (0, 255, 0)
        assert pasted.getpixel((50, 90)) == (255, 255, 255)

    in_memory(use)


def test_what_is_wrong_is_told() -> None:
    async def use(client: Client[Any]) -> None:
        assert "send one with put_image" in await failure(client, "crop", CROPPED)
        await put(client, shapes())
        assert "`box`" in await failure(client, "crop", {"image": "image_1", "box": [0, 0, 1]})
        assert "upside down" in await failure(client, "crop", {"image": "image_1", "box": [0.5, 0.9, 0.7, 0.1]})
        assert "no argument `speed`" in await failure(client, "crop", {**CROPPED, "speed": 1})
        assert "`image` is missing" in await failure(client, "flip", {})
        assert "there are image_1" in await failure(client, "flip", {"image": "image_9"})
        for given in ("/etc/passwd", "file:///etc/passwd", "http://127.0.0.1/a.png", f"data:,{encoded(shapes())}"):
            assert "no picture" in await failure(client, "flip", {"image": given})
        for given in ("etc/passwd", "..%2f..%2fetc%2fpasswd", "127.0.0.1", "image_1/../image_2"):
            with pytest.raises(MCPError):
                await client.read_resource(f"image://{given}")
        assert "named by a string" in await failure(client, "flip", {"image": 1})
        assert "a list" in await failure(client, "flip", {"image": ["image_1"]})
        assert "no picture" in await failure(client, "grid", {"images": ["image_1", "image_7"]})
        assert "saw" in await failure(client, "saw", {"image": "image_1"})
        assert "base64" in await failure(client, "put_image", {"data": "not base64!"})
        assert "not a PNG" in await failure(client, "put_image", {"data": base64.b64encode(b"GIF?").decode()})
        assert "`data`" in await failure(client, "put_image", {"path": "/etc/passwd"})
        bomb = io.BytesIO()
        Image.new("1", (8_000, 8_000)).save(bomb, "PNG")
        assert "64,000,000 pixels" in await failure(
            client, "put_image", {"data": base64.b64encode(bomb.getvalue()).decode()}
        )
        assert words(await client.call_tool("flip", {"image": "image_1"})), "and it goes on"

    in_memory(use)


def test_a_broken_tool_and_one_that_needs_more(own_tools: None) -> None:
    @visual_tool(kind="look")
    def break_down(image: Picture) -> str:
        """Break."""
        raise ZeroDivisionError("zero")

    async def use(client: Client[Any]) -> None:
        await put(client, shapes())
        assert "no fault of its arguments" in await failure(client, "break_down", {"image": "image_1"})

    in_memory(use)


def test_a_tool_that_takes_too_long_is_abandoned(own_tools: None) -> None:
    release, began = threading.Event(), threading.Event()

    @visual_tool(kind="look")
    def dawdle(image: Picture) -> str:
        """Take long."""
        began.set()
        release.wait(30)
        return "late"

    async def use(client: Client[Any]) -> None:
        await put(client, shapes())
        started = time.monotonic()
        assert "longer than 0.5 seconds" in await failure(client, "dawdle", {"image": "image_1"})
        assert time.monotonic() - started < 10
        assert words(await client.call_tool("measure", {"image": "image_1"})).startswith("200x100")

    async def cancel(client: Client[Any]) -> None:
        await put(client, shapes())
        began.clear()
        call = asyncio.create_task(client.call_tool("dawdle", {"image": "image_1"}))
        while not began.is_set():
            await asyncio.sleep(0.01)
        call.cancel()
        await asyncio.wait([call], timeout=10)
        assert call.cancelled()
        assert words(await client.call_tool("measure", {"image": "image_1"})).startswith("200x100")

    try:
        in_memory(use, seconds=0.5)
        in_memory(cancel, seconds=30)
    finally:
        release.set()


def test_memory_is_bounded() -> None:
    now = [0.0]
    sessions = PictureSessions(Limits(pictures=3, idle_seconds=60), clock=lambda: now[0])

    async def use(client: Client[Any]) -> None:
        for _ in range(3):
            await put(client, shapes())
        await client.call_tool("measure", {"image": "image_1"})
        await put(client, shapes())
        assert "let go to make room" in await failure(client, "measure", {"image": "image_2"})
        assert words(await client.call_tool("measure", {"image": "image_1"})), "it was used last"
        now[0] = 61
        assert "no picture 'image_1'" in await failure(client, "measure", {"image": "image_1"})

    in_memory(use, sessions=sessions)


def test_sessions_are_let_go() -> None:
    pixels = 200 * 100 * 3
    bounded = PictureSessions(Limits(sessions=2))
    for key in ("a", "b", "a", "c"):
        bounded.open(key).put(shapes())
    assert [bounded.find(key) is not None for key in "abc"] == [True, False, True]
    full = PictureSessions(Limits(all_bytes=2 * pixels))
    for key in ("a", "b", "c", "d"):
        full.open(key).put(shapes())
    assert len(full) <= 3, "and the one in use"
    assert full.find("a") is None
    heavy = PictureSessions(Limits(session_bytes=pixels)).open("a")
    heavy.put(shapes())
    heavy.put(shapes())
    assert heavy.bytes == pixels


def test_addresses_of_this_machine() -> None:
    assert [is_loopback(each) for each in ("127.0.0.1", "::1", "localhost")] == [True] * 3
    assert [is_loopback(each) for each in ("0.0.0.0", "192.168.0.1", "example.com")] == [False] * 3


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_command_over_stdio(mode: str) -> None:
    async def main() -> None:
        transport = StdioTransport(sys.executable, ["-m", "genllava_agent.cli", "mcp"], env=dict(os.environ))
        async with Client(transport, mode=mode) as client:
            assert await put(client, photo("cat")) == "image_1"
            await client.call_tool("crop", {"image": "image_1", "box": [0, 0, 0.5, 1]})
            assert (levels(await whole(client, "image_2")) == levels(photo("cat"))[:, :226]).all()

    asyncio.run(main())


@pytest.mark.slow
def test_the_command_over_http() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "genllava_agent.cli", "mcp", "--http", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            for _ in range(600):
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.1)

            async def main() -> None:
                async with Client(f"http://127.0.0.1:{port}/mcp") as client:
                    name = await put(client, Image.open(FOLDER / "coffee.png"))
                    cut = await client.call_tool("remove_background", {"image": name, "box": [0.2, 0.08, 0.85, 0.97]})
                    assert shown(cut)[0].mode == "RGBA"

            asyncio.run(main())
        finally:
            process.send_signal(signal.SIGINT)
            said, noted = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said == ""
    assert f"http://127.0.0.1:{port}/mcp" in noted
