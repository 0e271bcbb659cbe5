"""Tools of a caller, for an agent in which a chat model decides."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_tests.unit_tests import ChatModelUnitTests
from PIL import Image
from pydantic import BaseModel
from scripted import RED, Scripted, call, draw, enum, shown

from genllava_agent import VisualAgent
from genllava_agent.interop.chat_model import ChatGenLlava

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

pytestmark = [
    pytest.mark.filterwarnings("error:.*(msgpack|LangGraph).*"),
    pytest.mark.filterwarnings("error:.*deprecated.*:DeprecationWarning"),
    pytest.mark.filterwarnings("error::DeprecationWarning:(langgraph|langchain).*"),
]


def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


class TestStandardUnit(ChatModelUnitTests):
    """LangChain's, tools and structured output included."""

    pytestmark = pytest.mark.filterwarnings("ignore:.*no effect on GenLLaVA.*:UserWarning")

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatGenLlava

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"agent": VisualAgent(store=":memory:", decider=Scripted(script=[]))}


def test_tools_of_a_caller(planned: Any) -> None:
    agent, inner = planned(draw(), call(("weather", {"city": "Oslo"}), text="Let me see."), "Rain, as on the picture.")
    model = agent.chat_model().bind_tools([weather])
    messages: list[BaseMessage] = [SystemMessage("Be brief."), HumanMessage("draw; and how is the weather in Oslo?")]
    first = model.invoke(messages)
    assert [(made["name"], made["args"]) for made in first.tool_calls] == [("weather", {"city": "Oslo"})]
    assert first.response_metadata["finish_reason"] == "tool_calls"
    assert first.text == "Let me see."
    assert len(shown([first])) == 1
    assert inner.heard[0][0].text.endswith("Be brief.")
    result = ToolMessage(weather("Oslo"), tool_call_id=first.tool_calls[0]["id"])
    second = model.invoke([*messages, first, result])
    assert second.text == "Rain, as on the picture."
    assert not second.tool_calls
    told = inner.heard[-1]
    assert [message.text for message in told[-3:-1]] == ["Let me see.", "rain in Oslo"]
    assert [call["name"] for call in told[-3].tool_calls] == ["weather"]
    assert isinstance(told[-1], HumanMessage)
    assert len(shown(told)) == 1, "the picture that was made before the call"


def test_calls_are_streamed(planned: Any) -> None:
    agent, _ = planned(call(("weather", {"city": "Oslo"})))
    chunks = list(agent.chat_model().bind_tools([weather]).stream("weather?"))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    assert whole.tool_calls[0]["args"] == {"city": "Oslo"}
    assert whole.text == ""


def test_structured_output(planned: Any) -> None:
    class Scene(BaseModel):
        """What is to be seen."""

        shapes: int

    agent, inner = planned(call(("Scene", {"shapes": 2})))
    assert agent.chat_model().with_structured_output(Scene).invoke("how many?") == Scene(shapes=2)
    assert inner.given == [{"tool_choice": "any"}]
    assert [spec["function"]["name"] for spec in inner.bound[0]] == ["Scene"], "there is nothing else to call"


def test_without_a_planner_there_is_nobody_to_call_them() -> None:
    with pytest.raises(NotImplementedError, match="decider"):
        VisualAgent(store=":memory:").chat_model().bind_tools([weather])


# --- a real server ---

SERVER = """
import http.server, json, sys
replies = json.loads(sys.argv[1])
requests = open(sys.argv[2], "w")

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        requests.write(json.dumps({"path": self.path, "body": json.loads(body)}) + "\\n")
        requests.flush()
        message = {"role": "assistant", **replies.pop(0)}
        finish = "tool_calls" if "tool_calls" in message else "stop"
        data = json.dumps({
            "id": "reply", "object": "chat.completion", "created": 0, "model": "scripted",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[list[dict[str, Any]]], tuple[str, Path]]]:
    """A server of OpenAI's protocol with scripted replies, and the file of what was asked of it."""
    started: list[subprocess.Popen[str]] = []

    def start(replies: list[dict[str, Any]]) -> tuple[str, Path]:
        asked = tmp_path / "requests.jsonl"
        command = [sys.executable, "-c", SERVER, json.dumps(replies), str(asked)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout is not None
        return f"http://127.0.0.1:{int(started[-1].stdout.readline())}/v1", asked

    yield start
    for process in started:
        process.terminate()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def http_call(name: str, **arguments: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"content": None, "tool_calls": [{"id": f"call_{name}", "type": "function", "function": function}]}


def test_through_a_server_of_openais_protocol(
    pipeline: GenLlavaPipeline, serve: Callable[[list[dict[str, Any]]], tuple[str, Path]]
) -> None:
    from langchain_openai import ChatOpenAI

    url, asked = serve(
        [
            http_call("generate", instruction=RED),
            http_call("edit", instruction="make the circle green", image="image_1"),
            http_call("understand", instruction="how many shapes are there?", image="image_2"),
            {"content": "One green circle."},
        ]
    )
    model = ChatOpenAI(base_url=url, api_key="none", model="scripted", max_retries=0)  # type: ignore[arg-type]
    agent = VisualAgent(pipeline, store=":memory:", seed=1, decider=model)
    reply = agent("draw it, make it green, count")
    assert reply.text == "One green circle."
    assert [picture.id for picture in reply.images] == ["image_1", "image_2"]

    requests = [json.loads(line) for line in asked.read_text().splitlines()]
    assert [request["path"] for request in requests] == ["/v1/chat/completions"] * 4
    assert "file_id" not in asked.read_text()
    last = requests[-1]["body"]
    urls = [
        block["image_url"]["url"]
        for message in last["messages"]
        if isinstance(message["content"], list)
        for block in message["content"]
        if block["type"] == "image_url"
    ]
    assert all(url.startswith("data:image/png;base64,") for url in urls)
    pixels = [Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).tobytes() for url in urls]
    assert pixels == [picture.image.tobytes() for picture in reply.images]
    assert all(isinstance(message["content"], str) for message in last["messages"] if message["role"] == "tool")
    assert enum(last["tools"], "edit") == ["image_1", "image_2"]
