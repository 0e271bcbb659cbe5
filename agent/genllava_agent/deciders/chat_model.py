"""A LangChain chat model decides: it reads the conversation with its pictures, and calls tools."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.constants import TAG_NOSTREAM

from genllava.errors import Cancelled
from genllava.protocols.verbs import ToolSpec, check_call
from genllava_agent.background import left_behind
from genllava_agent.deciders.base import Possible, TellText, forced, last_words
from genllava_agent.deciders.offers import IN_THREAD, asked_for, by_use, offers, tool_spec
from genllava_agent.errors import PlannerFailed
from genllava_agent.messages import for_chat_model, text_of
from genllava_agent.records import is_image_name
from genllava_agent.session import Session, Spent, next_image, spent_limit, unwanted
from genllava_agent.state import AgentState
from genllava_agent.tool_faults import exhausted
from genllava_agent.workers import VerbWorker, Worker
from genllava_tools.offers import MORE_TOOLS

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

INSTRUCTIONS: Final = """\
You are an assistant that sees pictures, draws and edits them with tools. Every picture of this conversation has a name,
such as image_1, and you are shown the latest of them.
- Do what the user asks for with the tools, in the order in which it is asked; after each call you are told and shown
what came of it.
- Whoever draws and edits knows only the instruction and the picture that a call names, and nothing of this
conversation: say in the instruction all that it needs.
- If a picture is not what was asked for, you may try again in other words.
- When all is done, or cannot be done, reply to the user in words, without calling a tool. The pictures that were made
are shown with your reply. Say what was done and what was not; claim nothing that no call has shown."""
CLAIM: Final = (
    "Does this reply say that a picture was drawn, changed, made or saved just now? Answer with yes or no, in one word."
)
NOTHING_MADE: Final = "(No picture was made in this turn.)"
SHOWN: Final = 8
"""Pictures that a chat model is shown at once, the latest ones; it is told the names of the others."""
_MARKS: Final = ".,:;!?()[]'\"`*"


class ChatModel:
    """Decides by asking a chat model with tool calling.

    Args:
        chat_model: any LangChain chat model that has `bind_tools`.
        tools: the agent's own, by name.
        pictures: whether it is shown pictures; without them it is only told their names.
        instructions: what it is told first; empty for nothing.
    """

    worker: Worker = VerbWorker()
    needs_model = False
    speaks = True
    sees = False
    """Whether it answers about pictures itself, so that there is nothing to ask our model."""
    silent = False
    """Whether it may end a turn without a word."""
    unable: frozenset[str] = frozenset()
    """Verbs that the model cannot carry out."""

    def __init__(
        self, chat_model: BaseChatModel, tools: Any = None, *, pictures: bool = True, instructions: str = INSTRUCTIONS
    ) -> None:
        self.chat_model = chat_model
        self.tools = by_use(tools or {})
        self._pictures = pictures
        self._instructions = instructions

    def decide(self, session: Session, state: AgentState, possible: Possible, tell: TellText) -> list[AnyMessage]:
        """The next calls of the chat model, or its last words.

        Raises:
            PlannerFailed: it called what cannot be called, and did so again after it was told.
            Cancelled, Spent: while it was asked; and whatever the chat model raises.
        """
        if (call := forced(state)) is not None:
            return [call]
        if session.calls:  # of the caller's tools, beside ours, which are done
            return [last_words()]
        bound = {tool["function"]["name"] for tool in session.bound.get("tools", [])}
        only_bound = session.bound.get("tool_choice") not in (None, False, "auto", "none")
        kinds = [kind for kind in dict.fromkeys([*possible.kinds, "edit"]) if kind not in self.unable]
        corrected: list[AnyMessage] = []

        gone, asked = exhausted(state["steps"]), asked_for(state["messages"])
        tools = {name: tool for name, tool in self.tools.items() if name not in gone}

        def offered(images: Sequence[str], called: Iterable[str] = ()) -> list[ToolSpec]:
            """What is offered, and those of the tools that are called though they stand in the index alone."""
            able = Possible(kinds, possible.finish)
            if only_bound:
                return []
            made = offers(tools, images, able, self.sees, asked, self._at_once(session))
            others = {*called} & tools.keys() - {spec["function"]["name"] for spec in made}
            return made + [tool_spec(tools[name], images) for name in others]

        while True:
            told = [*self._told(session, state), *corrected]
            said = _with_ids(self._ask(session, told, offered(list(state["images"])), tell))
            session.calls += [call for call in said.tool_calls if call["name"] in bound]
            ours = [call for call in said.tool_calls if call["name"] not in bound]
            wrong = _wrong(state, said, ours, offered, self.silent)
            if not wrong:
                break
            if words := self._refusal(said, wrong):
                said = said.model_copy(update={"tool_calls": [], "invalid_tool_calls": []})
                return [self._last(state, said, [words], tell)]
            if corrected:
                raise PlannerFailed(f"the chat model that decides went wrong twice: {next(iter(wrong.values()))}")
            corrected = [said, *_corrections(said, wrong)]
        about = {"probabilities": {}, "seen": "", **said.response_metadata}
        said = said.model_copy(
            update={"id": said.id or uuid.uuid4().hex, "tool_calls": ours, "response_metadata": about}
        )
        if ours:
            return [said]
        notes = _unknown(state, text_of(said))
        if not session.calls and self._claims(session, state, said):
            notes.append(NOTHING_MADE)
        return [self._last(state, said, notes, tell)]

    def other_words(self, session: Session, state: AgentState, instruction: str) -> dict[str, Any]:
        """The chat model reads it in the call, which has the new words, and in its result."""
        return {}

    def _at_once(self, session: Session) -> int:
        """How many tools it is offered at once."""
        return session.settings.offered

    def _refusal(self, said: AIMessage, wrong: Mapping[str, str]) -> str:
        """What the user is told of calls that cannot be carried out; empty where whoever made them is told, once."""
        return ""

    def _last(self, state: AgentState, said: AIMessage, notes: Sequence[str], tell: TellText) -> AIMessage:
        """The last words of the turn, with what has to be said of them."""
        text = " ".join(filter(None, [text_of(said), *notes]))
        if text:
            tell(text)
        return said.model_copy(update={"content": text}) if notes else said

    def _told(self, session: Session, state: AgentState) -> list[AnyMessage]:
        """The conversation as the chat model reads it."""
        messages = session.messages(state)
        rules = [text_of(message) for message in messages if isinstance(message, SystemMessage)]
        told = "\n\n".join(filter(None, [self._instructions, *rules]))
        spoken = [message for message in messages if not isinstance(message, SystemMessage)]
        shown = for_chat_model(spoken, session.artifacts if self._pictures else None, SHOWN)
        return [SystemMessage(told), *shown] if told else shown

    def _ask(
        self, session: Session, messages: list[AnyMessage], offered: Sequence[ToolSpec], tell: TellText
    ) -> AIMessage:
        model: Any = self.chat_model
        bound = dict(session.bound)
        specs = [*offered, *bound.pop("tools", [])]
        if specs:
            try:
                model = model.bind_tools(specs, **bound)
            except NotImplementedError:
                raise PlannerFailed("this chat model cannot call tools, so it cannot decide: give another") from None
        return self._invoke(session, model, messages, tell)

    def _invoke(self, session: Session, model: Any, messages: list[AnyMessage], tell: TellText) -> AIMessage:
        """Ask a chat model, which may take long, and stop waiting where the turn has to end.

        Raises:
            Cancelled, Spent: meanwhile; and whatever the chat model raises.
        """

        def watch() -> None:
            if unwanted():
                raise Cancelled("cancelled while the chat model was asked")
            if spent := spent_limit(session):
                raise Spent(spent)

        reply: AIMessage = left_behind(lambda: model.invoke(messages), watch)
        return reply

    def _claims(self, session: Session, state: AgentState, said: AIMessage) -> bool:
        """Whether last words say that a picture was made, and none was: the chat model is asked about its own words."""
        if has_made(state) or not session.settings.check_claims:
            return False
        question: list[AnyMessage] = [SystemMessage(CLAIM), HumanMessage(text_of(said))]
        model = self.chat_model.with_config(tags=[TAG_NOSTREAM])  # the answer is no part of the reply
        try:
            answer = text_of(self._invoke(session, model, question, lambda text: None))
        except Cancelled:
            raise
        except Exception:  # the words are there; that no picture was made is true whatever they say
            return True
        return answer.lower().startswith("yes")


def has_made(state: AgentState) -> bool:
    """Whether something was done in this turn that may have made or changed a picture."""
    return any(step.image is not None or step.tool not in (None, MORE_TOOLS) for step in state["steps"])


def _with_ids(said: AIMessage) -> AIMessage:
    """A reply whose calls have an id each, which some servers leave out or give twice."""
    calls, seen = [], set[str | None]()
    for call in said.tool_calls:
        known = call["id"] not in seen and call["id"]
        calls.append(call if known else {**call, "id": f"call_{uuid.uuid4().hex[:24]}"})
        seen.add(calls[-1]["id"])
    return said.model_copy(update={"tool_calls": calls}) if calls != said.tool_calls else said


def _wrong(
    state: AgentState, said: AIMessage, calls: Sequence[Any],
    offered: Callable[[Sequence[str], Iterable[str]], Sequence[ToolSpec]], silent: bool = False,
) -> dict[str, str]:  # fmt: skip
    """What is wrong with a reply: complaints by the id of the call; empty where nothing is.

    A call may name a picture that an earlier one of the same message makes.

    Args:
        offered: what may be called where there are these pictures, of the tools of these names.
        silent: a message without words and calls is none that is wrong.
    """
    wrong = {str(c["id"]): f"the arguments are not valid JSON: {c['args']}" for c in said.invalid_tool_calls}
    images, names = list(state["images"]), {call["name"] for call in calls}
    for call in calls:
        if complaint := check_call(offered(images, names), call["name"], call["args"]):
            wrong[str(call["id"])] = complaint
        if call["name"] != "understand" and call["name"] not in IN_THREAD:
            images.append(next_image(state, len(images) - len(state["images"])))
    if not wrong and not said.tool_calls and not text_of(said) and not silent:
        wrong[""] = "an empty message: call a tool, or reply in words"
    return wrong


def _unknown(state: AgentState, text: str) -> list[str]:
    """What has to be said of words that name pictures that there are not."""
    words = dict.fromkeys(word.strip(_MARKS) for word in text.split())
    return [f"(There is no {word}.)" for word in words if is_image_name(word) and word not in state["images"]]


def _corrections(said: AIMessage, wrong: dict[str, str]) -> list[AnyMessage]:
    """What a chat model is told of a reply that cannot be."""
    called = [*said.tool_calls, *said.invalid_tool_calls]
    if not called:
        return [HumanMessage(next(iter(wrong.values())))]
    others = "this was not done, because another call could not be"
    return [
        ToolMessage(
            wrong.get(str(call["id"]), others), tool_call_id=str(call["id"]), name=call["name"] or "", status="error"
        )
        for call in called
    ]
