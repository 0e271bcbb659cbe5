"""A model that was finetuned in the `genllava` protocol decides, plans, draws and calls tools as it has learnt to.

It reads the thread as in its training (`spoken_messages`): no schemas, no instructions, no words of the agent. It knows
the tools by their names, so all of them can be called at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages import AIMessage, AnyMessage, SystemMessage, ToolMessage

from genllava.errors import InvalidRequest
from genllava.protocols.parts import Message
from genllava.requests import Request
from genllava.vision_language import PrefixCache
from genllava_agent.deciders.base import WORDS, Possible, TellText, last_words, told_before
from genllava_agent.deciders.offers import THREAD_VERBS
from genllava_agent.deciders.tool_calls import PipelineChatModel, ToolCalls
from genllava_agent.history import exchanges
from genllava_agent.messages import records_in, text_of
from genllava_agent.records import image_number
from genllava_agent.session import Session
from genllava_agent.spoken_messages import spoken_messages, without_names
from genllava_agent.state import Action, AgentState, asked, open_calls
from genllava_agent.workers import TellPlan, VerbWorker

if TYPE_CHECKING:
    from genllava import Drawing, GenLlavaPipeline

REFUSED: Final = "I tried to do this with a tool, and could not: {reason}."
_KEPT: Final = 4096
"""Turns whose sizes are remembered."""


class Finetuned(ToolCalls):
    """The pipeline's own model, of the protocol `genllava`.

    A call that cannot be carried out ends the turn with a sentence that says so, and so does what failed; a verb of the
    thread ends it as well. Arguments are as for `ToolCalls`.
    """

    silent = True

    def __init__(self, pipeline: GenLlavaPipeline, tools: Any = None) -> None:
        super().__init__(pipeline, tools)
        model = PipelineChatModel(pipeline, silent="")
        self.chat_model = model
        self._sizes: dict[str, int] = {}  # of turns, in tokens, by the last message
        self.worker = ContextWorker(self._spoken, model.kept)

    def decide(self, session: Session, state: AgentState, possible: Possible, tell: TellText) -> list[AnyMessage]:
        """The next call of the model, or the end of the turn."""
        steps, before = state["steps"], told_before(state)
        if steps and (steps[-1].outcome == "error" or steps[-1].tool in THREAD_VERBS):
            return [_with_words(last_words(), "")]
        messages = super().decide(session, state, possible, tell)
        said = messages[-1]
        if isinstance(said, AIMessage) and not said.tool_calls:
            own = text_of(said).removeprefix(before).strip()
            if not text_of(said).strip() and (found := _found(state)):  # it left the words to its tools
                tell(found)
                said = said.model_copy(update={"content": found})
            messages[-1] = _with_words(said, own)
        return messages

    def _spoken(self, session: Session, messages: Sequence[AnyMessage]) -> list[Message]:
        """The thread as the model reads it; of a long one not the first turns, see `History.window_start`."""
        protocol, turns, start, total = session.engine.pipeline.protocol, exchanges(messages), 0, 0
        language, sizes = protocol.parts.vision_language, list[int]()
        if len(self._sizes) > _KEPT:
            self._sizes.clear()
        most = (language.max_length or 2**31) * 3 // 4
        for turn in turns[:-1]:
            key = str(turn[-1].id)
            if key not in self._sizes:
                self._sizes[key] = protocol.length(spoken_messages(turn, session.artifacts, language))
            sizes.append(self._sizes[key])
            total += sizes[-1]
            if total > most:
                while total > most // 2:
                    total, start = total - sizes[start], start + 1
        kept = [each for turn in turns[:start] for each in turn if isinstance(each, SystemMessage)]
        return spoken_messages([*kept, *chain(*turns[start:])], session.artifacts, language)

    def _told(self, session: Session, state: AgentState) -> list[AnyMessage]:
        return session.messages(state)

    def _invoke(self, session: Session, model: Any, messages: list[AnyMessage], tell: TellText) -> AIMessage:
        return super()._invoke(session, model.bind(spoken=lambda: self._spoken(session, messages)), messages, tell)

    def _at_once(self, session: Session) -> int:
        """All of them: it reads no descriptions."""
        return len(self.tools) + 2

    def _refusal(self, said: AIMessage, wrong: Mapping[str, str]) -> str:
        """The user is told; the model has not learnt to read what is wrong with a call."""
        if said.invalid_tool_calls:
            return REFUSED.format(reason="I did not write its call as it must be written")
        reason = next(iter(wrong.values()))
        if reason.startswith("There is no tool"):  # which there are instead is of no use to the user
            reason = f"there is no tool {said.tool_calls[0]['name']!r}"
        return REFUSED.format(reason=reason.rstrip("."))

    def _claims(self, session: Session, state: AgentState, said: AIMessage) -> bool:
        """It is asked nothing that it has not learnt to answer."""
        return False


class ContextWorker(VerbWorker):
    """Draws what the model planned; its visual queries are read in the thread.

    Args:
        spoken: the messages as the model reads them.
        cache: gives that of the thread.
    """

    def __init__(
        self, spoken: Callable[[Session, Sequence[AnyMessage]], list[Message]], cache: Callable[[], PrefixCache]
    ) -> None:
        super().__init__(as_planned=True)
        self._spoken, self._cache = spoken, cache

    def draw(
        self, session: Session, state: AgentState, action: Action, seed: int, again: Drawing | None, tell: TellPlan,
        options: dict[str, Any],
    ) -> Drawing:  # fmt: skip
        if asked(state).task is not None:  # the model plans what the user said
            return super().draw(session, state, action, seed, again, tell, options)
        edits, protocol = action.kind == "edit", session.engine.pipeline.protocol
        source = self._source(session, state, action) if edits else None
        if edits and source is None:
            raise InvalidRequest("there is no picture to edit: send one, or ask for one first")
        plan = (again.plan if again is not None else None) or action.instruction
        number = image_number(action.image or state.get("focus") or "") if edits else None
        request = Request(plan, () if source is None else (source,))
        drawing: Drawing = protocol.draw(
            [request], [plan], seed, protocol.turn_options(options, edits=edits), edits=edits,
            said=self._spoken(session, _up_to(session.messages(state), action)), cache=self._cache(),
        )[0]  # fmt: skip
        drawing = replace(drawing, source=number)
        tell(plan, number)
        return drawing


def _up_to(messages: Sequence[AnyMessage], action: Action) -> list[AnyMessage]:
    """The conversation up to the message with a call, which has no other one in it."""
    message, calls = open_calls(messages)
    assert message is not None, "a picture without a call"
    place = next(place for place, each in enumerate(messages) if each is message)
    call = next(call for call in calls if call["id"] == action.call)
    before = [each for each in message.tool_calls if each not in calls]
    done = [message.model_copy(update={"tool_calls": before}), *messages[place + 1 :]] if before else []
    alone = {"tool_calls": [call], **({"content": ""} if before else {})}
    return [*messages[:place], *done, message.model_copy(update=alone)]


def _found(state: AgentState) -> str:
    """What the tools of this turn said, other than that a picture was made."""
    results = (message for message in exchanges(state["messages"])[-1] if isinstance(message, ToolMessage))
    told = (without_names(text_of(each), records_in(each)) for each in results if each.name not in ("generate", "edit"))
    return "\n".join(filter(None, told))


def _with_words(message: AIMessage, words: str) -> AIMessage:
    return message.model_copy(update={"response_metadata": {**message.response_metadata, WORDS: words}})
