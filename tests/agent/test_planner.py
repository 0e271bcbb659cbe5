"""A chat model that plans, and our model that does the work."""

from __future__ import annotations

import io
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import invalid_tool_call
from langchain_core.tools import ToolException, tool
from PIL import Image, ImageOps
from scripted import RED, Scripted, call, draw, edit, enum, look, offered, shown

from genllava.errors import Cancelled, InvalidRequest
from genllava_agent import VisualAgent, create_genllava_agent, events
from genllava_agent.deciders.chat_model import NOTHING_MADE, SHOWN, ChatModel
from genllava_agent.errors import InvalidAnswer
from genllava_agent.messages import answered

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

pytestmark = [
    pytest.mark.filterwarnings("error:.*(msgpack|LangGraph).*"),
    pytest.mark.filterwarnings("error:.*deprecated.*:DeprecationWarning"),
    pytest.mark.filterwarnings("error::DeprecationWarning:(langgraph|langchain).*"),
]


def test_several_steps(planned: Any) -> None:
    last = "A red circle, then green; there is one shape."
    agent, model = planned(
        draw(), edit("make the circle green", "image_1"), look("how many shapes are there?", "image_2"), last
    )
    reply = agent("draw a red circle; make it green; how many shapes are there?")
    assert reply.text == last
    assert [step.action for step in reply.steps] == ["generate", "edit", "understand", "understand"]
    assert [picture.id for picture in reply.images] == ["image_1", "image_2"]
    assert "green circle" in (reply.images[1].record.plan or "")
    assert reply.images[1].record.parents == ("image_1",)
    assert reply.steps[2].text == "There is one shape."
    assert not reply.stopped

    first, second, third, fourth = model.bound
    assert offered(first) == ["generate", "undo", "redo", "retry"], "there is nothing to look at yet"
    assert offered(second) == ["understand", "generate", "edit", "undo", "redo", "retry", "show_image"]
    assert enum(second, "edit") == enum(second, "understand") == ["image_1"]
    assert enum(third, "edit") == enum(fourth, "edit") == ["image_1", "image_2"]
    results = [message for message in model.heard[-1] if isinstance(message, ToolMessage)]
    assert "image_1 was made" in results[0].text
    assert results[2].text == "There is one shape."
    (one, two) = shown(model.heard[-1])
    assert Image.open(io.BytesIO(one)).tobytes() == reply.images[0].image.tobytes()
    assert Image.open(io.BytesIO(two)).tobytes() == reply.images[1].image.tobytes()


def test_it_is_shown_the_conversation(planned: Any) -> None:
    agent, model = planned(draw(), "Drawn.", edit("make the circle blue", "image_1"), "It is blue now.", "Hello again.")
    thread = agent.thread()
    thread(f"draw {RED}")
    thread("now blue, please")
    thread("hello", Image.new("RGB", (64, 64), "red"))
    heard = [message for message in model.heard[-1] if not isinstance(message, SystemMessage)]
    assert [type(message) for message in heard] == [
        *(HumanMessage, AIMessage, ToolMessage, HumanMessage, AIMessage),
        *(HumanMessage, AIMessage, ToolMessage, HumanMessage, AIMessage),
        HumanMessage,
    ]
    texts = [message.text for message in heard]
    assert texts[0] == f"draw {RED}"
    assert heard[1].tool_calls[0]["args"] == {"instruction": RED}
    assert texts[2].startswith("image_1 was made")
    assert "image_1, made" in texts[3]
    assert texts[4] == "Drawn."
    assert texts[5] == "now blue, please"
    assert texts[7].startswith("image_2 was made")
    assert "image_2, made from image_1" in texts[8]
    assert texts[9] == "It is blue now."
    assert "image_3, from the user" in texts[10]
    assert texts[10].endswith("hello")
    assert len(shown(model.heard[-1])) == 3, "each picture once"


def test_only_the_latest_pictures_are_shown(planned: Any) -> None:
    agent, model = planned("I see.")
    agent("look", [Image.new("RGB", (16, 16), (shade, 0, 0)) for shade in range(SHOWN + 2)])
    pictures = shown(model.heard[0])
    assert len(pictures) == SHOWN
    assert Image.open(io.BytesIO(pictures[-1])).getpixel((0, 0)) == (SHOWN + 1, 0, 0)
    assert "image_1," in model.heard[0][-1].text, "it still knows of the others"


def test_a_planner_that_sees_nothing(pipeline: GenLlavaPipeline) -> None:
    model = Scripted(script=[draw(), "Done."])
    agent = VisualAgent(pipeline, store=":memory:", seed=1, decider=ChatModel(model, pictures=False))
    agent(f"draw {RED}")
    assert not shown(model.heard[-1])
    assert "large red circle" in model.heard[-1][-1].text


def test_several_calls_at_once_are_done_one_by_one(planned: Any) -> None:
    both = call(
        ("generate", {"instruction": RED}), ("edit", {"instruction": "make the circle green", "image": "image_1"})
    )
    agent, model = planned(both, "Done.")
    reply = agent("red, then green")
    assert [picture.id for picture in reply.images] == ["image_1", "image_2"]
    assert len(model.heard) == 2
    assert [type(message) for message in model.heard[1][-4:]] == [AIMessage, ToolMessage, ToolMessage, HumanMessage]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (edit("make it green", "image_9"), "must be one of image_1, not 'image_9'"),
        (edit("make it green", "image/ab12.png"), "must be one of image_1, not 'image/ab12.png'"),
        (call(("show_image", {"image": "image_9"})), "must be one of image_1, not 'image_9'"),
        (call(("edit", {"instruction": "make it green"})), "needs the argument 'image'"),
        (call(("generate", {"instruction": 7})), "must be of type string"),
        (call(("generate", {"instruction": " "})), "must not be empty"),
        (call(("generate", {"instruction": RED, "size": 4})), "no argument 'size'"),
        (call(("fly", {})), "no tool 'fly'"),
        (AIMessage(""), "empty message"),
        (AIMessage("", invalid_tool_calls=[invalid_tool_call(name="generate", args="{", id="x", error=None)]), "JSON"),
    ],
    ids=["picture", "file", "shown", "missing", "type", "empty", "unknown", "tool", "nothing", "json"],
)
def test_what_cannot_be_called_goes_back_once(planned: Any, wrong: AIMessage, why: str) -> None:
    agent, model = planned(wrong, edit("make the circle green", "image_1"), "Better.")
    reply = agent("what now?", Image.new("RGB", (64, 64), "red"))
    assert reply.text == "Better."
    assert why in model.heard[1][-1].text
    assert [step.outcome for step in reply.steps] == ["ok", "ok"]


def test_what_cannot_be_called_twice_is_an_error(planned: Any) -> None:
    agent, model = planned(*[call(("fly", {}), ("generate", {"instruction": RED}))] * 4)
    reply = agent("what now?")
    assert [step.outcome for step in reply.steps] == ["error", "error"]
    assert reply.steps[0].text.startswith("PlannerFailed: the chat model that decides went wrong twice")
    assert "two errors in a row" in reply.stopped
    assert len(model.heard) == 4
    dropped = [message.text for message in model.heard[1] if isinstance(message, ToolMessage)][1]
    assert "not done" in dropped
    assert agent.thread().name, "the next turn is not touched by it"


def test_what_fails_is_told(planned: Any) -> None:
    agent, _ = planned(draw(), RuntimeError("the server is gone"), "It is drawn.")
    reply = agent("draw")
    assert reply.text == "It is drawn."
    assert [step.outcome for step in reply.steps] == ["ok", "error", "ok"]
    assert "RuntimeError: the server is gone" in reply.steps[1].text


def test_it_may_end_in_words_at_once(planned: Any) -> None:
    agent, _ = planned("Hello!")
    heard = list(agent.stream("hi"))
    assert "".join(event.text for event in heard if isinstance(event, events.TextDelta)) == "Hello!"
    assert heard[-1].reply.text == "Hello!"


def test_it_does_not_name_pictures_that_there_are_not(planned: Any) -> None:
    agent, _ = planned("See image_7.")
    assert agent("hi").text == "See image_7. (There is no image_7.)"
    agent, _ = planned("This is `image_1`, or image_1's.", "image_1, (image_2) and image_02")
    reply = agent("hi", Image.new("RGB", (64, 64), "red"))
    assert reply.text == "This is `image_1`, or image_1's."
    assert reply.thread("hi").text == "image_1, (image_2) and image_02 (There is no image_2.)"


def test_limits_are_the_graphs(planned: Any) -> None:
    colors = ["red", "blue", "green", "yellow"]
    agent, _ = planned(*[draw(f"a large {color} circle at the top left") for color in colors], limits={"images": 2})
    reply = agent("draw for ever")
    assert len(reply.images) == 2
    assert "2 pictures" in reply.stopped
    agent, _ = planned("too late", wait=3.0, limits={"seconds": 0.5})
    began = time.monotonic()
    assert "0.5 seconds" in agent("hi").stopped
    assert time.monotonic() - began < 2.5, "nobody waits for the chat model then"


def test_cancelling_does_not_wait_for_the_chat_model(planned: Any) -> None:
    agent, _ = planned("too late", wait=3.0)
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        agent("hi", cancel=stop.is_set)
    assert time.monotonic() - began < 2.5


def test_other_turns_go_on_while_the_chat_model_thinks(planned: Any) -> None:
    agent, _ = planned("Hm.", "Hm.", wait=2.0)
    began = time.monotonic()
    replies = agent.batch(["one", "two"])
    assert [reply.text for reply in replies] == ["Hm.", "Hm."]
    assert time.monotonic() - began < 3.8


@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_approvals_are_asked_for_as_always(planned: Any, decision: str) -> None:
    agent, model = planned(draw(), edit("make the circle green", "image_1"), "Done.", approve="edit")
    waiting = agent("draw and change")
    assert waiting.pending.action == "edit"
    assert waiting.pending.image == "image_1"
    done = waiting.thread.approve() if decision == "approve" else waiting.thread.reject()
    assert len(done.images) == 1 + (decision == "approve")
    if decision == "approve":
        assert done.text == "Done."
        results = [message.text for message in model.heard[-1] if isinstance(message, ToolMessage)]
        assert "image_2 was made" in results[1], "what came before is known after the question"


def test_a_call_of_a_tool_is_approved_as_it_is_or_not_at_all(planned: Any) -> None:
    removed: list[str] = []

    @tool
    def remove(path: str) -> str:
        """Remove a file."""
        removed.append(path)
        return f"removed {path}"

    agent, _ = planned(call(("remove", {"path": "/all"})), "Done.", tools=[remove], approve="tool:remove")
    thread = agent("tidy up").thread
    assert "'tidy up'" in thread.pending.text
    assert "remove(path='/all')" in thread.pending.text
    with pytest.raises(InvalidAnswer, match="approve, reject"):
        thread.approve("remove nothing but /tmp/x")
    assert removed == []
    thread.approve()
    assert removed == ["/all"]


def test_calls_that_were_planned_for_other_words_are_not_made(planned: Any) -> None:
    agent, model = planned(
        call(("generate", {"instruction": RED}), ("generate", {"instruction": "a green star"})),
        "A blue square.",
        approve="generate",
    )
    done = agent("draw two").thread.approve("draw a large blue square at the top left")
    assert done.text == "A blue square."
    assert [("blue square" in (picture.record.plan or "")) for picture in done.images] == [True]
    heard = model.heard[-1]
    assert next(m for m in heard if isinstance(m, HumanMessage)).text == "draw two", "that is what was asked"
    first, second = (m.text for m in heard if isinstance(m, ToolMessage))
    assert "changed the instruction to 'draw a large blue square at the top left'" in first
    assert "not done, because the user changed" in second


@pytest.mark.parametrize("elsewhere", [False, True])
def test_calls_of_one_message_are_all_done_or_asked_for_again(planned: Any, elsewhere: bool) -> None:
    done: list[str] = []

    @tool
    def first() -> str:
        """One thing."""
        done.append("first")
        return "1"

    @tool
    def second() -> str:
        """Another."""
        done.append("second")
        return "2"

    agent, model = planned(call(("first", {}), ("second", {})), "Both.", tools=[first, second], approve="tool:first")
    thread = agent("do both").thread
    if elsewhere:  # as another process would find it
        agent.parts.sessions.clear()
        agent.parts.histories.clear()
    assert thread.approve().text == "Both."
    assert done == ["first", "second"]
    assert [message.text for message in model.heard[-1] if isinstance(message, ToolMessage)] == ["1", "2"]


def test_tools_have_names_of_their_own_and_only_those_wait_for_approval(planned: Any) -> None:
    @tool
    def edit() -> str:
        """Not ours."""
        return ""

    for options, why in (
        ({"tools": [mirror, mirror]}, "cannot be called 'mirror'"),
        ({"tools": [edit]}, "cannot be called 'edit'"),
        ({"tools": [mirror], "approve": "tool:miror"}, "tool:mirror"),
        ({"approve": ("edit", "tool:mirror")}, "there is no tool"),
    ):
        with pytest.raises(InvalidRequest, match=why):
            planned(**options)
    agent, _ = planned(tools=[mirror])
    for ask in (agent.thread(), agent.as_tool, lambda *_, **options: agent.chat_model(**options).invoke("hello")):
        with pytest.raises(InvalidRequest, match="tool:mirror"):
            ask("hello", approve="tool:miror") if ask != agent.as_tool else ask(approve="tool:miror")


@tool(response_format="content_and_artifact")
def mirror(image: Any, times: int) -> tuple[str, Any]:
    """Mirror a picture."""
    for _ in range(times):
        image = ImageOps.mirror(image)
    return f"mirrored {times} times", image


mirror.metadata = {"images": ["image"]}


def test_tools_of_the_agent(planned: Any) -> None:
    agent, model = planned(
        draw(),
        call(("mirror", {"image": "image_1", "times": "often"})),
        call(("mirror", {"image": "image_1", "times": 1})),
        "Mirrored.",
        tools=[mirror],
    )
    reply = agent("draw, then mirror")
    assert offered(model.bound[0]) == ["generate", "undo", "redo", "retry"]
    assert enum(model.bound[1], "mirror") == ["image_1"]
    assert "times of mirror must be of type integer, not 'often'" in model.heard[2][-1].text
    assert reply.images[1].record.origin == "tool"
    assert reply.images[1].record.parents == ("image_1",)
    assert reply.images[1].image.tobytes() == ImageOps.mirror(reply.images[0].image).tobytes()


@tool
def shatter(image: Any) -> str:
    """Break off."""
    raise OSError("no room for pieces")


@tool
def refuse() -> str:
    """Say that it does not work."""
    raise ToolException("not today")


shatter.metadata = {"images": ["image"]}
refuse.handle_tool_error = True


def test_events_of_tools_and_of_what_fails(planned: Any) -> None:
    mirrored, shattered = {"image": "image_1", "times": 1}, {"image": "image_1"}
    agent, _ = planned(
        draw(),
        call(("mirror", mirrored)),
        call(("shatter", shattered)),
        "Let me stop here.",
        call(("refuse", {})),
        "Enough.",
        tools=[mirror, shatter, refuse],
    )
    heard = [event for event in agent.stream("draw, mirror, shatter") if not isinstance(event, events.Preview)]
    steps = heard[-1].reply.steps
    at = next(place for place, event in enumerate(heard) if isinstance(event, events.ToolStarted))
    assert heard[at : at + 2] == [
        events.ToolStarted("mirror", mirrored),
        events.ToolFinished("mirror", "mirrored 1 times", "image_2"),
    ]
    ready, chosen, started, failed = heard[at + 2 : at + 6]
    assert (ready.record.id, ready.record.origin) == ("image_2", "tool")
    assert ready.image.tobytes() == heard[-1].reply.images[1].image.tobytes()
    assert (chosen.kind, chosen.tool) == ("tool", "shatter")
    assert started == events.ToolStarted("shatter", shattered)
    assert failed == events.StepFailed(steps[2])
    assert (failed.step.outcome, failed.step.tool, failed.step.arguments) == ("error", "shatter", shattered)
    assert failed.step.text == "OSError: no room for pieces"
    assert sum(isinstance(event, (events.ToolFinished, events.StepFailed)) for event in heard) == 2

    heard = list(heard[-1].reply.thread.stream("refuse"))
    at = next(place for place, event in enumerate(heard) if isinstance(event, events.ToolStarted))
    (step, _last) = heard[-1].reply.steps
    assert step.outcome == "error"
    assert step.text == "not today"
    assert heard[at : at + 2] == [events.ToolStarted("refuse", {}), events.StepFailed(step)]


def test_an_answer_that_is_needed_is_an_event(planned: Any) -> None:
    mirrored = {"image": "image_1", "times": 1}
    agent, _ = planned(draw(), call(("mirror", mirrored)), "Mirrored.", tools=[mirror], approve="tool:mirror")
    *before, needed, waits = agent.stream("draw, then mirror")
    assert isinstance(needed, events.AnswerNeeded)
    assert (needed.question.tool, needed.question.arguments) == ("mirror", mirrored)
    assert needed.question == waits.reply.pending == waits.reply.thread.pending
    assert not any(isinstance(event, (events.AnswerNeeded, events.ToolStarted)) for event in before)
    after = list(waits.reply.thread.answer_stream({"decision": "approve"}))
    kinds = [type(event) for event in after]
    order = [events.TurnStarted, events.ToolStarted, events.ToolFinished, events.ImageReady, events.TurnFinished]
    assert [kind for kind in kinds if kind in order] == order
    assert events.AnswerNeeded not in kinds


def test_pictures_of_tools_are_streamed_by_the_chat_model(planned: Any) -> None:
    script = (draw(), call(("mirror", {"image": "image_1", "times": 1})), "Mirrored.")
    said = planned(*script, tools=[mirror])[0].chat_model().invoke("draw, then mirror")
    chunks = list(planned(*script, tools=[mirror])[0].chat_model().stream("draw, then mirror"))
    assert len(shown([said])) == 2
    assert [picture for chunk in chunks for picture in shown([chunk])] == shown([said])


# --- claims, faults and messages ---

CLAIMED = "I have drawn a cat and saved it as image/cat.png."


def test_what_it_claims_to_have_made(planned: Any) -> None:
    """It is asked about its own words where nothing was made, and only then."""
    agent, model = planned(CLAIMED, "Hello!", draw(), CLAIMED)
    model.claims = "Yes."
    assert agent("draw a cat").text == f"{CLAIMED} {NOTHING_MADE}"
    assert model.asked == [CLAIMED]
    model.claims = "no"
    heard = list(agent.stream("hi"))
    assert heard[-1].reply.text == "Hello!"
    assert "".join(event.text for event in heard if isinstance(event, events.TextDelta)) == "Hello!"
    assert agent("draw a cat").text == CLAIMED, "a picture was made, and nobody asks"
    assert model.asked == [CLAIMED, "Hello!"]
    agent, model = planned(CLAIMED, check_claims=False)
    model.claims = "yes"
    assert agent("draw a cat").text == CLAIMED
    assert model.asked == []


def test_words_are_kept_where_nobody_can_say_what_they_claim(planned: Any) -> None:
    agent, model = planned("Hello!")
    model.claims = RuntimeError("gone")
    assert agent("hi").text == f"Hello! {NOTHING_MADE}", "which is true whatever they say"


def test_the_answer_about_claims_is_not_streamed(pipeline: GenLlavaPipeline) -> None:
    model = Scripted(script=["Hello!"], claims="no, it does not")
    graph = create_genllava_agent(pipeline, decider=model, artifacts=":memory:")
    parts = graph.stream({"messages": [HumanMessage("hi")]}, stream_mode="messages")
    assert "".join(part.text for part, _ in parts) == "Hello!"


class Busy(Exception):
    """As those of clients of servers."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status_code = status


@pytest.mark.parametrize("fault", [Busy(429), TimeoutError("no answer")], ids=repr)
def test_what_may_work_in_a_moment_is_tried_again(planned: Any, fault: Exception) -> None:
    agent, model = planned(draw(), fault, fault, "Drawn.")
    reply = agent("draw")
    assert reply.text == "Drawn."
    assert [step.outcome for step in reply.steps] == ["ok", "ok"], "it costs no step"
    assert len(model.heard) == 4
    agent, model = planned(fault, fault, fault, "It was busy.")
    reply = agent("draw")
    assert [step.outcome for step in reply.steps] == ["error", "ok"], "but not for ever"
    assert str(fault) in reply.steps[0].text


@pytest.mark.parametrize("fault", [Busy(401), ValueError("no such model")], ids=repr)
def test_what_will_never_work_is_an_error(planned: Any, fault: Exception) -> None:
    agent, model = planned(fault, "I can go on.")
    reply = agent("draw")
    assert [step.outcome for step in reply.steps] == ["error", "ok"]
    assert reply.steps[0].text == f"{type(fault).__name__}: {fault}"
    assert len(model.heard) == 2


def test_messages_as_apis_take_them(planned: Any) -> None:
    """Pictures in messages of the user alone, each behind its name, and each result right behind its call."""
    both = call(
        ("generate", {"instruction": RED}),
        ("edit", {"instruction": "make the circle green", "image": "image_1"}),
        ("fail", {}),
        ("generate", {"instruction": "a blue star"}),
    )

    @tool
    def fail() -> str:
        """Fail."""
        raise OSError("no")

    twice = AIMessage("", tool_calls=[{"name": "undo", "args": {}, "id": ""}] * 2)
    agent, model = planned(both, "Drawn.", twice, "Nothing.", tools=[fail])
    thread = agent.thread()
    thread("draw", [Image.new("RGB", (16, 16), (shade, 0, 0)) for shade in range(SHOWN)])
    thread("undo twice")
    from langchain_openai import ChatOpenAI

    client = ChatOpenAI(api_key="none", model="scripted")  # type: ignore[arg-type]
    for heard in model.heard:
        payload = client._get_request_payload(heard)["messages"]
        assert payload[0]["role"] == "system"
        open_calls: list[str] = []
        pictures = 0
        for message in payload[1:]:
            if message["role"] == "tool":
                assert isinstance(message["content"], str)
                assert message["tool_call_id"] == open_calls.pop(0), "in the order of the calls"
                continue
            assert not open_calls, "each is answered right behind its message"
            open_calls = [each["id"] for each in message.get("tool_calls", [])]
            assert len(set(open_calls)) == len(open_calls)
            assert all(open_calls)
            if isinstance(message["content"], list):
                kinds = [block["type"] for block in message["content"]]
                assert "image_url" not in kinds or message["role"] == "user"
                for place, kind in enumerate(kinds):
                    if kind == "image_url":
                        pictures += 1
                        assert "image_" in message["content"][place - 1]["text"]
        assert pictures <= SHOWN


def test_results_stand_behind_their_calls() -> None:
    calls = call(("first", {}), ("second", {}))
    results = [ToolMessage(str(each["id"]), tool_call_id=each["id"]) for each in calls.tool_calls]
    said = [HumanMessage("do"), calls, results[1], HumanMessage("quick"), results[0], AIMessage("Done.")]
    sorted_ = [said[0], calls, *results, said[3], said[5]]
    assert answered(said) == sorted_
    assert answered([*said, *said]) == [*sorted_, *sorted_], "ids may come again"
    (missing,) = [each for each in answered([calls, results[0]]) if each.text == "There is no result."]
    assert isinstance(missing, ToolMessage)
    assert (missing.tool_call_id, missing.status) == ("call_1_second", "error")
