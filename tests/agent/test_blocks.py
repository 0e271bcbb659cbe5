"""Pictures in messages, in all the forms in which programs send them; and what is refused."""

from __future__ import annotations

import base64
import io
import json
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from PIL import Image

from genllava.errors import GenLlavaError, ImageRejected, InvalidRequest
from genllava_agent import VisualAgent, create_genllava_agent
from genllava_agent.messages import blocks, for_chat_model, image_block, is_picture, picture_file, records_in

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

RED = "draw a large red circle at the top left"
COLOR = "what color is the circle?"
FORMS = [
    "v1", "v1 bytes", "v0", "data url", "v1 url", "openai", "openai string", "openai responses", "anthropic",
    "anthropic data url", "google", "google bytes", "chat ui", "mcp", "file", "v1 lines", "openai lines", "jpeg",
]  # fmt: skip
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"type": "deepagents_blob", "id": "x"}, "another agent's files"),
    ({"type": "audio", "base64": "AA==", "mime_type": "audio/wav"}, "'audio'"),
    ({"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}, "audio'"),
    ({"type": "video", "base64": "AA==", "mime_type": "video/mp4"}, "'video'"),
    ({"type": "file", "base64": "AA==", "mime_type": "application/pdf"}, "'file'"),
    ({"type": "document", "source": {"type": "base64", "data": "AA=="}}, "'document'"),
    ({"type": "media", "mime_type": "audio/mpeg", "data": "AA=="}, "'media'"),
    ({"type": "text-plain", "text": "a"}, "'text-plain'"),
    ({"type": "image", "url": "https://example.org/a.png"}, "URLs are not fetched"),
    ({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}, "URLs are not fetched"),
    ({"type": "image_url", "image_url": "file:///etc/passwd"}, "URLs are not fetched"),
    ({"type": "input_image", "image_url": "https://example.org/a.png"}, "URLs are not fetched"),
    ({"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}, "URLs are not fetched"),
    ({"type": "image", "file_id": "file-123"}, "file_id is not known"),
    ({"type": "image", "base64": "not base64!", "mime_type": "image/png"}, "damaged"),
    ({"type": "image", "base64": base64.b64encode(b"no picture").decode(), "mime_type": "image/png"}, ""),
    ({"type": "image"}, "base64"),
]


@pytest.fixture(scope="module")
def drawn(pipeline: GenLlavaPipeline) -> Image.Image:
    image = VisualAgent(pipeline, store=":memory:", seed=1)(RED).image
    assert image is not None
    return image


@pytest.fixture
def seeded(pipeline: GenLlavaPipeline) -> VisualAgent:
    return VisualAgent(pipeline, store=":memory:", seed=1)


def in_form(form: str, image: Image.Image) -> dict[str, Any]:
    file = io.BytesIO()
    image.save(file, "JPEG" if form == "jpeg" else "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    lines, url = "\r\n".join(textwrap.wrap(data, 76)), f"data:image/png;base64,{data}"
    made: dict[str, dict[str, Any]] = {
        "v1": {"type": "image", "base64": data, "mime_type": "image/png"},
        "v1 bytes": {"type": "image", "base64": file.getvalue(), "mime_type": "image/png"},
        "v0": {"type": "image", "source_type": "base64", "data": data, "mime_type": "image/png"},
        "data url": {"type": "image", "source_type": "url", "url": url},
        "v1 url": {"type": "image", "url": url},
        "openai": {"type": "image_url", "image_url": {"url": url, "detail": "high"}},
        "openai string": {"type": "image_url", "image_url": url},
        "openai responses": {"type": "input_image", "image_url": url, "detail": "auto"},
        "anthropic": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        "anthropic data url": {"type": "image", "source": {"type": "url", "url": url}},
        "google": {"type": "media", "mime_type": "image/png", "data": data},
        "google bytes": {"type": "media", "mime_type": "image/png", "data": file.getvalue()},
        "chat ui": {"type": "image", "mimeType": "image/png", "data": data, "metadata": {"name": "a.png"}},
        "mcp": {"type": "image", "data": data, "mimeType": "image/png"},
        "file": {"type": "file", "mime_type": "image/png", "base64": data},
        "v1 lines": {"type": "image", "base64": lines, "mime_type": "image/png"},
        "openai lines": {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{lines}"}},
        "jpeg": {"type": "image", "base64": data, "mime_type": "image/jpeg"},
    }
    return made[form]


def said_by(who: str, block: dict[str, Any]) -> list[Any]:
    """Messages with a picture that the user, a tool or another assistant has shown, and a question about it."""
    text: Any = {"type": "text", "text": COLOR}
    if who == "user":
        return [HumanMessage([text, block])]
    if who == "user, alone":
        return [HumanMessage([block]), HumanMessage(COLOR)]
    if who == "assistant":
        return [HumanMessage("show me a picture"), AIMessage([block, "Here it is."]), HumanMessage(COLOR)]
    made = [{"name": "camera", "args": {}, "id": "1"}]
    called = AIMessage("", tool_calls=made)
    shown = ToolMessage([block], tool_call_id="1", name="camera")
    return [HumanMessage("take a picture"), called, shown, AIMessage("There."), HumanMessage(COLOR)]


@pytest.mark.parametrize("form", FORMS)
def test_a_block_has_a_picture(drawn: Image.Image, form: str) -> None:
    block = in_form(form, drawn)
    assert is_picture(block)
    assert Image.open(io.BytesIO(picture_file(block))).size == drawn.size


@pytest.mark.slow
@pytest.mark.parametrize("kept", [False, True], ids=["inline", "on a thread"])
@pytest.mark.parametrize("who", ["user", "user, alone", "assistant", "tool"])
@pytest.mark.parametrize("form", ["v1", "openai", "anthropic", "google", "chat ui", "jpeg", "openai lines"])
def test_pictures_of_everybody_are_seen(
    pipeline: GenLlavaPipeline, drawn: Image.Image, form: str, who: str, kept: bool
) -> None:
    saver = InMemorySaver() if kept else None
    graph = create_genllava_agent(pipeline, checkpointer=saver, artifacts=":memory:", seed=1)
    thread: Any = {"configurable": {"thread_id": "a"}} if kept else None
    messages = graph.invoke({"messages": said_by(who, in_form(form, drawn))}, thread)["messages"]
    assert messages[-1].text == "The circle is red."
    shown = [block for message in messages for block in blocks(message) if is_picture(block)]
    assert len(shown) == 1, "in its place, and nowhere else"
    if not kept:
        return
    (record,) = [record for message in messages for record in records_in(message)]
    assert shown[0]["file_id"] == (record.jpeg or record.key)
    assert record.jpeg if form == "jpeg" else not record.jpeg
    assert record.origin == ("user" if "user" in who else "tool")
    json.dumps([message.model_dump(mode="json") for message in messages])
    assert "green circle" in graph.invoke({"messages": [HumanMessage("make it green")]}, thread)["messages"][-1].text


def test_a_picture_alone_is_described(seeded: VisualAgent, drawn: Image.Image) -> None:
    for form in ("v1", "chat ui"):
        reply = seeded.graph.invoke({"messages": [HumanMessage([in_form(form, drawn)])]})["messages"][-1]
        assert "red circle" in reply.text
    assert "red circle" in seeded.chat_model().invoke([HumanMessage([in_form("openai", drawn)])]).text


@pytest.mark.parametrize("kept", [False, True], ids=["inline", "on a thread"])
@pytest.mark.parametrize(("block", "why"), REFUSED, ids=lambda given: str(given)[:40])
def test_what_cannot_be_seen_is_refused(seeded: VisualAgent, block: dict[str, Any], why: str, kept: bool) -> None:
    graph = create_genllava_agent(
        seeded.engine.pipeline, checkpointer=InMemorySaver() if kept else None, artifacts=":memory:"
    )
    thread: Any = {"configurable": {"thread_id": "a"}} if kept else None
    for who in ("user", "tool", "assistant"):
        with pytest.raises((InvalidRequest, ImageRejected), match=why) as refused:
            graph.invoke({"messages": said_by(who, block)}, thread)
        assert len(str(refused.value).split("\n")[0]) > 20, "it says what to do"
    with pytest.raises(GenLlavaError, match=why):
        seeded.chat_model().invoke(said_by("user", block))


def test_as_many_pictures_as_are_looked_at(seeded: VisualAgent, drawn: Image.Image) -> None:
    shown = [in_form("v1", drawn)] * 17
    with pytest.raises(InvalidRequest, match="17 pictures"):
        seeded.graph.invoke({"messages": [HumanMessage(shown)]})


def test_content_blocks_of_a_reply(seeded: VisualAgent) -> None:
    """Text first, then pictures; of whole replies, of pieces, and of calls."""
    reply = seeded.graph.invoke({"messages": [HumanMessage(RED)]})["messages"][-1]
    assert isinstance(reply.content, str)
    assert [block["type"] for block in reply.content_blocks] == ["text", "image"]
    again = AIMessage.model_validate(json.loads(reply.model_dump_json()))
    assert again.content_blocks == reply.content_blocks
    chunk = AIMessageChunk("a", additional_kwargs=reply.additional_kwargs, response_metadata=reply.response_metadata)
    assert [block["type"] for block in chunk.content_blocks] == ["text", "image"]
    assert [block["type"] for block in (chunk + AIMessageChunk("b")).content_blocks] == ["text", "image"]  # type: ignore[operator]


@pytest.mark.slow
def test_apis_of_chat_models_get_pictures_in_messages_of_the_user_alone(seeded: VisualAgent) -> None:
    """Chat completions answer pictures elsewhere with 400."""
    openai = pytest.importorskip("langchain_openai").ChatOpenAI
    done = seeded.as_tool().invoke({"type": "tool_call", "name": "genllava", "id": "1", "args": {"request": RED}})
    call = AIMessage("", tool_calls=[{"name": "genllava", "args": {"request": RED}, "id": "1"}])
    said = seeded.chat_model().invoke(RED)
    whole = seeded.graph.invoke({"messages": [HumanMessage(RED)]})["messages"]
    for messages in (
        [HumanMessage("draw"), call, done], [HumanMessage("draw"), said, HumanMessage("nice?")],
        [*whole, HumanMessage("nice?")],
    ):  # fmt: skip
        model = openai(model="gpt-4o", api_key="x", use_responses_api=False)
        for message in model._get_request_payload(messages)["messages"]:
            kinds = [b["type"] for b in message["content"]] if isinstance(message["content"], list) else []
            assert message["role"] == "user" or "image_url" not in kinds, message["role"]


def test_what_a_deciding_chat_model_is_shown(drawn: Image.Image) -> None:
    picture = image_block(drawn, "image_1")
    messages = [
        SystemMessage("Be kind."), HumanMessage("show me"),
        AIMessage("Here.", additional_kwargs={"images": [picture]}, response_metadata={"model_provider": "genllava"}),
        HumanMessage("nice"),
    ]  # fmt: skip
    for message in for_chat_model(messages, None):
        if not isinstance(message, HumanMessage):
            assert isinstance(message.content, str)
            assert "images" not in message.additional_kwargs
