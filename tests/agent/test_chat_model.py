"""The agent as a LangChain chat model; the standard tests of LangChain first."""

from __future__ import annotations

import asyncio
import base64
import copy
import io
import pickle
import textwrap
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, CallbackManagerForLLMRun, UsageMetadataCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, trim_messages
from langchain_core.output_parsers import StrOutputParser
from langchain_core.tools import tool
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from langgraph.types import interrupt
from PIL import Image
from pydantic import BaseModel
from scripted import Scripted, call

from genllava.errors import InvalidRequest
from genllava_agent import VisualAgent, events
from genllava_agent.interop.chat_model import ChatGenLlava
from genllava_agent.interop.chat_text import ReplyText
from genllava_agent.records import Step
from genllava_agent.reply import Reply

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

pytestmark = [
    pytest.mark.filterwarnings("error:.*(msgpack|LangChain|LangGraph).*"),
    pytest.mark.filterwarnings("error::DeprecationWarning:(langgraph|langchain).*"),
]
quiet = pytest.mark.filterwarnings("ignore:.*(no effect on GenLLaVA|does not read).*:UserWarning")
RED = "draw a large red circle at the top left"


@quiet
class TestStandardUnit(ChatModelUnitTests):
    """LangChain's; none of them loads the model."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatGenLlava

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"agent": VisualAgent(store=":memory:")}

    @property
    def has_tool_calling(self) -> bool:
        return False  # without a planner; with one, see test_planner.py

    @property
    def has_structured_output(self) -> bool:
        return False

    @property
    def supports_image_inputs(self) -> bool:
        return True


@quiet
@pytest.mark.slow
@pytest.mark.asyncio
@pytest.mark.filterwarnings("ignore:.*marked with '@pytest.mark.asyncio' but it is not an async function.*")
class TestStandardIntegration(ChatModelIntegrationTests):
    """LangChain's, with the model that ships."""

    @pytest.fixture(autouse=True)
    def _agent(self, pipeline: GenLlavaPipeline) -> None:
        self.agent = VisualAgent(pipeline, store=":memory:", seed=1)

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatGenLlava

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"agent": self.agent}

    @property
    def has_tool_calling(self) -> bool:
        return False  # without a planner; with one, see test_planner.py

    @property
    def has_structured_output(self) -> bool:
        return False

    @property
    def supports_image_inputs(self) -> bool:
        return False  # it does; but those tests fetch their pictures from the internet


@pytest.fixture
def model(pipeline: GenLlavaPipeline) -> Iterator[BaseChatModel]:
    agent = VisualAgent(pipeline, store=":memory:", seed=1)
    yield agent.chat_model()
    assert not agent.parts.sessions, "nothing is kept between calls"
    assert not agent.threads()


def pictures(message: BaseMessage) -> list[Image.Image]:
    blocks: list[Any] = [block for block in message.content_blocks if block["type"] == "image"]
    return [Image.open(io.BytesIO(base64.b64decode(block["base64"]))) for block in blocks]


def merged(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return whole


def test_a_reply_has_text_pictures_and_what_is_known_of_them(model: BaseChatModel) -> None:
    reply = model.invoke(RED)
    assert [block["type"] for block in reply.content_blocks] == ["text", "image"]
    assert isinstance(reply.content, str), "APIs of other chat models take no pictures in it"
    assert reply.text == "image_1: at the top left a large red circle, on white."
    (picture,) = pictures(reply)
    assert picture.size == (128, 128)
    about = reply.response_metadata
    assert about["finish_reason"] == "stop"
    assert about["seed"] == 1
    assert about["steps"][0]["plan"] == "at the top left a large red circle, on white"
    assert reply.usage_metadata is not None
    assert reply.usage_metadata["input_tokens"] > 5
    assert reply.usage_metadata["output_tokens"] > 20


def test_it_is_the_turn_that_a_thread_takes(model: BaseChatModel, agent: VisualAgent) -> None:
    reply = agent(RED, seed=1)
    assert reply.image is not None
    assert pictures(model.invoke(RED))[0].tobytes() == reply.image.tobytes()


def test_a_picture_of_an_earlier_reply_is_edited(model: BaseChatModel) -> None:
    messages: list[BaseMessage] = []
    for text in (RED, "make it green", "what color is the circle?"):
        messages += [HumanMessage(text)]
        messages += [model.invoke(messages)]
    assert "green circle" in messages[3].text
    block: Any = messages[3].content_blocks[1]
    assert block["id"] == "image_2"
    assert messages[5].text == "The circle is green."


@pytest.mark.slow
@pytest.mark.parametrize("form", ["standard", "openai", "short", "bytes of a jpeg", "lines", "openai in lines"])
def test_pictures_come_in_all_the_ways_that_langchain_knows(model: BaseChatModel, form: str) -> None:
    file = io.BytesIO()
    pictures(model.invoke(RED))[0].save(file, "JPEG" if "jpeg" in form else "PNG", quality=95)
    data = base64.b64encode(file.getvalue()).decode()
    lines = "\r\n".join(textwrap.wrap(data, 76))
    url = f"data:image/png;base64,{data}"
    block: dict[str, Any] = {
        "standard": {"type": "image", "base64": data, "mime_type": "image/png"},
        "openai": {"type": "image_url", "image_url": {"url": url}},
        "short": {"type": "image_url", "image_url": url},
        "bytes of a jpeg": {"type": "image", "base64": data, "mime_type": "image/jpeg"},
        "lines": {"type": "image", "base64": lines, "mime_type": "image/png"},
        "openai in lines": {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{lines}"}},
    }[form]
    reply = model.invoke([HumanMessage([{"type": "text", "text": "what color is the circle?"}, block])])
    assert reply.text == "The circle is red."


def test_a_stream_is_the_reply_in_pieces(model: BaseChatModel) -> None:
    text = f"{RED}, then tell me what you see"
    whole = model.invoke(text)
    chunks = list(model.stream(text))
    again = merged(chunks)
    assert again.text == whole.text
    assert pictures(again)[0].tobytes() == pictures(whole)[0].tobytes()
    assert [block["type"] for block in again.content_blocks] == ["text", "image"]
    assert again.usage_metadata == whole.usage_metadata
    assert again.response_metadata["seed"] == whole.response_metadata["seed"]
    assert chunks[-1].chunk_position == "last"
    assert sum(bool(chunk.text) for chunk in chunks) > 3, "word by word"
    first = next(place for place, chunk in enumerate(chunks) if pictures(chunk))
    assert any(chunk.text for chunk in chunks[first:]), "the picture comes when it is ready"


def test_callbacks_hear_every_token(model: BaseChatModel) -> None:
    class Ear(BaseCallbackHandler):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def on_llm_new_token(self, token: Any, *, chunk: Any = None, **kwargs: Any) -> None:
            self.heard.append(chunk.text)

    ear = Ear()
    chunks = list(model.stream("how are you?", {"callbacks": [ear]}))
    assert [heard for heard in ear.heard if heard] == [chunk.text for chunk in chunks if chunk.text]
    own = Ear()
    run = CallbackManagerForLLMRun(run_id=uuid.uuid4(), handlers=[own], inheritable_handlers=[])
    list(model._stream([HumanMessage("how are you?")], run_manager=run))
    assert "".join(own.heard) == "".join(ear.heard)


@pytest.mark.asyncio
async def test_the_event_loop_goes_on(model: BaseChatModel) -> None:
    ticks, longest, running = 0, 0.0, True

    async def tick() -> None:
        nonlocal ticks, longest
        while running:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - before)
            ticks += 1

    ticking = asyncio.create_task(tick())
    reply = await model.ainvoke(RED)
    pieces = [chunk async for chunk in model.astream(RED)]
    running = False
    await ticking
    assert merged(pieces).text == reply.text
    assert ticks > 20
    assert longest < 0.5


@pytest.mark.asyncio
async def test_cancelling_stops_the_turn(model: BaseChatModel) -> None:
    agent: VisualAgent = model.agent  # type: ignore[attr-defined]
    rows = agent.engine.pipeline.counters

    async def listen() -> None:
        async for _ in model.astream(RED, num_inference_steps=900):
            pass

    for long in (lambda: model.ainvoke(RED, num_inference_steps=900), listen):
        before = rows.unet_rows
        task = asyncio.ensure_future(long())
        while not agent.parts.sessions:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not agent.parts.sessions
        assert rows.unet_rows - before < 900, "the picture was not finished"


def test_a_stream_that_is_closed_stops_the_turn(model: BaseChatModel) -> None:
    stream = model.stream(RED, num_inference_steps=900)
    next(stream)
    stream.close()  # type: ignore[attr-defined]


@pytest.mark.slow
def test_batches(model: BaseChatModel) -> None:
    red, blue, error = model.batch([RED, "draw a small blue square in the middle", " "], return_exceptions=True)
    assert "red circle" in red.text
    assert "blue square" in blue.text
    assert isinstance(error, InvalidRequest)


def test_it_is_part_of_chains(model: BaseChatModel) -> None:
    chain = model.bind(task="understand") | StrOutputParser()
    assert chain.invoke("hello")


@pytest.mark.slow
def test_options_of_the_model_and_of_a_call(pipeline: GenLlavaPipeline) -> None:
    agent = VisualAgent(pipeline, store=":memory:", seed=1)
    other = agent.chat_model(seed=2).invoke(RED)
    assert other.response_metadata["seed"] == 2
    assert pictures(other)[0].tobytes() == pictures(agent.chat_model().invoke(RED, seed=2))[0].tobytes()
    assert pictures(other)[0].tobytes() != pictures(agent.chat_model().invoke(RED))[0].tobytes()
    with pytest.raises(InvalidRequest, match="sead"):
        agent.chat_model(sead=1)
    with pytest.raises(InvalidRequest, match="sead"):
        agent.chat_model().invoke(RED, sead=1)


def test_it_cannot_wait_for_approval(pipeline: GenLlavaPipeline) -> None:
    agent = VisualAgent(pipeline, store=":memory:", approve="edit")
    with pytest.raises(InvalidRequest, match="approve=\\(\\)"):
        agent.chat_model()
    assert agent.chat_model(approve=())


def test_what_is_unclear_is_done_since_nobody_can_answer(pipeline: GenLlavaPipeline) -> None:
    model = VisualAgent(pipeline, store=":memory:", margin=1.0, seed=1).chat_model()
    reply = model.invoke(RED)
    assert "red circle" in reply.text
    assert reply.response_metadata["finish_reason"] == "stop"
    assert len(pictures(reply)) == 1
    assert merged(list(model.stream(RED))).text == reply.text
    assert model.invoke("what is two plus two?").text


def test_a_limit_ends_the_turn_and_says_so(model: BaseChatModel) -> None:
    reply = model.invoke(f"{RED}, then make it green", limits={"images": 1})
    assert reply.response_metadata["finish_reason"] == "length"
    assert "1 picture" in reply.response_metadata["stopped"]
    assert len(pictures(reply)) == 1


def test_a_timeout_is_a_limit(pipeline: GenLlavaPipeline) -> None:
    model = ChatGenLlava(agent=VisualAgent(pipeline, store=":memory:"), timeout=0.001)
    assert model.invoke(RED).response_metadata["finish_reason"] == "length"


def test_what_is_not_read_is_said(model: BaseChatModel) -> None:
    with pytest.warns(UserWarning, match="does not read a system message"):
        reply = model.invoke([SystemMessage("Answer in French."), HumanMessage(RED)])
    assert reply.response_metadata["ignored"] == ["system message"]
    with pytest.warns(UserWarning, match="temperature: no effect"):
        model.invoke("hello", temperature=0.5)


def test_text_ends_before_a_stop_word(model: BaseChatModel) -> None:
    whole = model.invoke("how are you?").text
    word = whole.split()[-2]
    cut = model.invoke("how are you?", stop=[word]).text
    assert cut == whole[: whole.index(word)]
    assert merged(list(model.stream("how are you?", stop=[word]))).text == cut


def test_messages_in_a_row_are_one_request(model: BaseChatModel) -> None:
    drawn = model.invoke(RED)
    shown: Any = [block for block in drawn.content_blocks if block["type"] == "image"]
    reply = model.invoke([HumanMessage(shown), HumanMessage("what color is the circle?")])
    assert reply.text == "The circle is red."
    reply = model.invoke([AIMessage("Hello, what can I do?"), HumanMessage(RED)])
    assert pictures(reply)


def test_what_langchain_asks_about_it_loads_nothing() -> None:
    model = VisualAgent(store=":memory:").chat_model(seed=3)
    assert model._llm_type == "genllava"
    about = model.asdict()
    assert about.items() >= {"model": "genllava", "seed": 3, "_type": "genllava", "tools": "{}"}.items()
    assert "shipped" in about["weights"]
    assert model._get_ls_params()["ls_model_name"] == "genllava"
    assert model.profile is not None
    assert model.profile["image_outputs"]
    assert model.agent.engine._pipeline is None  # type: ignore[attr-defined]


def test_what_is_streamed_is_what_a_reply_says(agent: VisualAgent) -> None:
    asked = "how many shapes are there, then describe image 7"
    thread = agent(RED, seed=1).thread
    said = "There is one shape. There is no picture of that number: there is one picture."
    assert thread(asked).text == said
    heard = "".join(event.text for event in thread.stream(asked) if isinstance(event, events.TextDelta))
    assert heard == said
    model = agent.chat_model()
    assert model.invoke([HumanMessage(RED), model.invoke(RED), HumanMessage(asked)]).text == said


def used(text: str, total: int, *calls: Any) -> AIMessage:
    """What a chat model says that tells what it took."""
    about = {"model_name": "planner"}
    made = call(*calls, text=text) if calls else AIMessage(text)
    usage = {"input_tokens": total - 1, "output_tokens": 1, "total_tokens": total}
    return made.model_copy(update={"usage_metadata": usage, "response_metadata": about})


def test_a_cache_tells_agents_apart(pipeline: GenLlavaPipeline) -> None:
    cache, steps = InMemoryCache(), {"num_inference_steps": 1, "seed": 1}

    def asked(decider: Any = None, of: Any = pipeline, **options: Any) -> str:
        agent = VisualAgent(of, store=":memory:", decider=decider)
        return agent.chat_model(cache=cache, **{**steps, **options}).invoke("who are you?").text

    one, two, none = asked(Scripted(script=["I am one"])), asked(Scripted(script=["I am two"])), asked()
    assert (one, two) == ("I am one", "I am two")
    assert none not in (one, two)
    assert len(cache._cache) == 3
    rows = pipeline.counters.tokens
    assert asked() == none
    assert pipeline.counters.tokens == rows, "the same agent is not asked again"
    asked(seed=2)
    asked(verify=2)
    asked(limits={"images": 1})
    assert len(cache._cache) == 6
    other = copy.copy(pipeline)
    weight = next(iter(other.components["generation_head"].parameters()))
    with torch.no_grad():
        weight += 1
    try:
        asked(of=other)
    finally:
        with torch.no_grad():
            weight -= 1
    assert len(cache._cache) == 7, "other weights are another model"


def test_without_a_seed_nothing_is_cached(pipeline: GenLlavaPipeline) -> None:
    cache = InMemoryCache()
    set_llm_cache(cache)
    try:
        model = VisualAgent(pipeline, store=":memory:", num_inference_steps=1, verify=0).chat_model()
        drawn = [model.invoke("draw a red circle").response_metadata["seed"] for _ in range(2)]
    finally:
        set_llm_cache(None)
    assert drawn[0] != drawn[1]
    assert not cache._cache


def test_tokens_are_counted_offline(pipeline: GenLlavaPipeline) -> None:
    model = VisualAgent(pipeline, store=":memory:").chat_model()
    assert model.get_num_tokens(RED) == len(pipeline.processor.tokenizer.encode(RED, add_special_tokens=False))
    asked = [HumanMessage(RED * 3) for _ in range(6)]
    assert model.get_num_tokens_from_messages(asked) >= 6 * 3 * (model.get_num_tokens(RED) - 1)
    kept = trim_messages(asked, max_tokens=model.get_num_tokens_from_messages(asked[:2]), token_counter=model)
    assert len(kept) == 2


@pytest.mark.parametrize("awaited", [False, True])
def test_what_a_deciding_chat_model_takes_is_counted(pipeline: GenLlavaPipeline, awaited: bool) -> None:
    script = [used("", 10, ("generate", {"instruction": "a red circle"})), used("Here it is.", 7)]
    agent = VisualAgent(pipeline, store=":memory:", decider=Scripted(script=script), seed=1, num_inference_steps=1)
    heard = UsageMetadataCallbackHandler()
    model, config = agent.chat_model(), {"callbacks": [heard]}
    reply = asyncio.run(model.ainvoke(RED, config)) if awaited else model.invoke(RED, config)  # type: ignore[arg-type]
    assert reply.text == "Here it is."
    assert heard.usage_metadata["planner"]["total_tokens"] == 17
    assert set(heard.usage_metadata) == {"planner", "genllava"}
    assert reply.usage_metadata is not None


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])
def test_agents_models_and_replies_are_copied_and_pickled(tmp_path: Path, way: Any) -> None:
    agent = VisualAgent(store=tmp_path / "kept", seed=1, num_inference_steps=1)
    model = agent.chat_model(stop=["x"])
    before = agent.parts  # and what is open is not taken along
    other, again = way(agent), way(model)
    assert other.settings == agent.settings
    assert other.parts is not before
    assert again.asdict() == model.asdict()
    assert again.stop == ["x"]
    reply = Reply("Hello.", (), (), agent.thread("a"), 1)
    assert way(reply).text == "Hello."
    assert way(reply).thread.name == "a"


@pytest.mark.slow
def test_a_copy_of_an_agent_works(pipeline: GenLlavaPipeline, tmp_path: Path) -> None:
    agent = VisualAgent(pipeline, store=tmp_path / "kept", seed=1)
    reply = agent(RED)
    for other in (copy.copy(agent), copy.deepcopy(agent)):
        assert other.engine.pipeline is pipeline or other.engine.pipeline is agent.engine.pipeline
        assert other.thread(reply.thread.name)("what color is the circle?").text == "The circle is red."
        assert "red circle" in other.chat_model().invoke(RED).text
    again = copy.deepcopy(reply)
    assert again.image is not None
    assert again.thread("what color is the circle?").text == "The circle is red."


@pytest.mark.slow
@pytest.mark.asyncio
async def test_asynchronous_batches_and_streams(model: BaseChatModel) -> None:
    red, blue = await model.abatch([RED, "draw a small blue square in the middle"])
    assert "red circle" in red.text
    assert "blue square" in blue.text
    first, second = await asyncio.gather(*(_listened(model, text) for text in (RED, "how are you?")))
    assert first.text == red.text
    assert [block["type"] for block in first.content_blocks] == ["text", "image"]
    assert second.text
    kinds = {event["event"] async for event in model.astream_events("how are you?")}
    assert {"on_chat_model_start", "on_chat_model_stream", "on_chat_model_end"} <= kinds


async def _listened(model: BaseChatModel, text: str) -> AIMessageChunk:
    return merged([chunk async for chunk in model.astream(text)])


class Weather(BaseModel):
    """What the weather is like."""

    place: str
    degrees: int


def test_tools_of_a_caller_and_structured_output(pipeline: GenLlavaPipeline) -> None:
    told = call(("Weather", {"place": "Rome", "degrees": 30}))
    decider = Scripted(script=[told, told, "Fine."])
    agent = VisualAgent(pipeline, store=":memory:", decider=decider)
    model = agent.chat_model()
    assert model.with_structured_output(Weather).invoke("How is it in Rome?") == Weather(place="Rome", degrees=30)
    assert decider.given[0]["tool_choice"]
    reply = model.bind_tools([Weather]).invoke("How is it in Rome?")
    assert [made["name"] for made in reply.tool_calls] == ["Weather"]
    assert reply.response_metadata["finish_reason"] == "tool_calls"
    assert model.bind_tools([Weather]).invoke("How are you?").text == "Fine."
    assert not agent.parts.sessions
    with pytest.raises(NotImplementedError, match="planner"):
        VisualAgent(pipeline, store=":memory:").chat_model().bind_tools([Weather])


def test_a_tool_that_asks_cannot_be_answered(pipeline: GenLlavaPipeline) -> None:
    @tool
    def confirm() -> str:
        """Ask."""
        return str(interrupt("Really?"))

    agent = VisualAgent(pipeline, store=":memory:", decider=Scripted(script=[call(("confirm", {}))]), tools=[confirm])
    with pytest.raises(InvalidRequest, match="nobody can answer a chat model"):
        agent.chat_model().invoke("go")
    assert not agent.parts.sessions


class TestReplyText:
    """What is streamed adds up to the reply."""

    def test_notes_and_words(self) -> None:
        text = ReplyText()
        first = Step(action="generate", image="image_1", plan="a circle", unsure="it may be a square")
        heard = text.stepped([first]) + text.delta("There is") + text.delta(" one.")
        second = Step(action="understand", text="There is one.")
        heard += text.stepped([first, second])
        assert heard + text.ended(heard) == "I am not sure about image_1: it may be a square. There is one."

    def test_words_that_were_taken_back(self) -> None:
        text = ReplyText()
        assert text.delta("It is in image 7.") + text.ended("I meant another.") == "It is in image 7. I meant another."

    @pytest.mark.parametrize("size", [1, 2, 5, 100])
    def test_stop_words_over_the_edges_of_pieces(self, size: int) -> None:
        whole = "one STOP two"
        text = ReplyText(["STOP", "never"])
        pieces = [whole[place : place + size] for place in range(0, len(whole), size)]
        assert "".join(text.delta(piece) for piece in pieces) + text.ended(whole) == "one "

    def test_what_only_looked_like_a_stop_word_is_said_in_the_end(self) -> None:
        text = ReplyText(["STOP"])
        assert text.delta("one ST") == "one"
        assert text.ended("one ST") == " ST"
