"""What a planning chat model has been told and has said during a turn."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import ToolCall

from genllava_agent.planner.tools import PLANNER_VERBS, Verb
from genllava_agent.records import ImageRecord, Kind, Step
from genllava_agent.session import Session
from genllava_agent.state import AgentState

INSTRUCTIONS: Final = """\
You direct a small model that sees, draws and edits pictures, by calling tools. Every picture of this conversation has
a name, and you are shown the latest of them.
- Use the tools for all that is asked about pictures, in the order in which it is asked; after each call you are told
and shown what came of it.
- The small model knows only the instruction and the picture that a call names, and nothing of this conversation: say
in the instruction all that it needs, in short and plain words.
- If a picture is not what was asked for, you may try again in other words.
- When all is done, or cannot be done, reply to the user in words, without calling a tool. The pictures that were made
are shown with your reply. Say what was done and what was not; claim nothing that no call has shown."""
SHOWN: Final = 8
"""Pictures that a chat model is shown at once, the latest ones; it is told the names of the others."""


class Transcript:
    """The messages of a turn, beginning with those of the turns before it.

    Args:
        pictures: whether pictures are shown.
        instructions: the first system message; empty for none.
        verbs: what the pipeline's verbs are called as tools.

    Attributes:
        session: of the turn.
        calls: those of the latest message that are not done yet, the one that is being done first.
        corrected: the chat model was told that what it said last cannot be.
        failed: it said such a thing again: the next step is an error that it knows of.
        changed: what the user put in the place of the instruction of the first call; empty if that stands.
    """

    def __init__(
        self,
        session: Session,
        state: AgentState,
        pictures: bool,
        instructions: str = INSTRUCTIONS,
        verbs: Mapping[Kind, Verb] = PLANNER_VERBS,
    ) -> None:
        self.session = session
        self._verbs = verbs
        self._pictures = pictures
        self._made: list[ImageRecord] = []  # not shown yet
        self._known = 0  # steps
        self.calls: list[ToolCall] = []
        self.corrected = False
        self.failed = False
        self.changed = ""
        rules = [str(message.text) for message in state["messages"] if isinstance(message, SystemMessage)]
        told = "\n\n".join(filter(None, [instructions, *rules]))
        self._messages: list[AnyMessage] = [SystemMessage(told)] if told else []
        made: list[ImageRecord] = []
        for turn in session.history:
            given = [record for record in turn.images if _given(record)]
            self._messages.append(self._told(turn.request.text, [*made, *given]))
            self._messages.append(AIMessage(turn.text or "Done."))
            made = [record for record in turn.images if not _given(record)]
        asked = [state["images"][name] for name in state["request"].images]
        self._messages.append(self._told(state["request"].text, [*made, *asked]))
        self._began = len(self._messages)
        self._messages += _called(state["messages"])

    @property
    def said(self) -> str:
        """The words of the chat model's latest message."""
        said = [message for message in self._messages if isinstance(message, AIMessage)]
        return str(said[-1].text).strip() if said else ""

    @property
    def spoken(self) -> list[AIMessage]:
        """What the chat model said in this turn."""
        return [message for message in self._messages[self._began :] if isinstance(message, AIMessage)]

    def read(self) -> list[AnyMessage]:
        """What the chat model is to read now."""
        if self._made:
            self._messages.append(self._shown("Made by your calls:", self._made))
            self._made = []
        left, messages = SHOWN, list[AnyMessage]()
        for message in reversed(self._messages):
            content = message.content
            if isinstance(content, list):
                kept: list[Any] = []
                for block in reversed(content):
                    if isinstance(block, dict) and block["type"] == "image":
                        left -= 1
                        if left < 0:
                            continue
                    kept.append(block)
                message = message.model_copy(update={"content": kept[::-1]})
            messages.append(message)
        return messages[::-1]

    def add(self, reply: AIMessage) -> None:
        """The chat model has spoken."""
        self._messages.append(reply)
        self.calls = list(reply.tool_calls)

    def observe(self, state: AgentState) -> None:
        """Tell of the steps that were done since."""
        records = self.session.known(state)
        for number, step in enumerate(state["steps"][self._known :], start=self._known + 1):
            if self.failed:  # that step says what it was told already
                self.failed = False
                continue
            if not self.calls:  # the turn goes on elsewhere than it began
                verb = self._verbs.get(step.action)
                words = "instruction" if verb is None else verb.words
                arguments = {words: step.plan or "", "image": step.source, **step.arguments}
                name, key = step.tool or (str(step.action) if verb is None else verb.name), f"step_{number}"
                self.add(AIMessage("", tool_calls=[ToolCall(name=name, args=arguments, id=key)]))
            changed, self.changed = self.changed, ""
            told = f"The user changed the instruction to {changed!r}. " if changed else ""
            self._answer(told + _outcome(step), step.outcome == "ok")
            if step.outcome != "ok":
                self._drop("this was not done, because what came before it failed")
            if changed:
                self._drop("this was not done, because the user changed what came before it: call it if it still fits")
            if step.image is not None:
                self._made.append(records[step.image])
        self._known = len(state["steps"])

    def refuse(self, complaint: str) -> None:
        """Tell that the latest message, or the first of its calls that are left, cannot be."""
        last = self._messages[-1]
        unreadable = last.invalid_tool_calls if isinstance(last, AIMessage) else []
        if self.calls:
            self._answer(complaint, False)
            self._drop("this was not done, because what came before it failed")
        elif not unreadable:
            self._messages.append(HumanMessage(complaint))
        for call in unreadable:
            key, name = str(call["id"]), str(call["name"])
            self._messages.append(ToolMessage(complaint, tool_call_id=key, name=name, status="error"))

    def _answer(self, text: str, good: bool) -> None:
        call = self.calls.pop(0)
        key, status = str(call["id"]), "success" if good else "error"
        self._messages.append(ToolMessage(text, tool_call_id=key, name=call["name"], status=status))

    def _drop(self, reason: str) -> None:
        while self.calls:
            self._answer(reason, False)

    def _told(self, text: str, records: Sequence[ImageRecord]) -> HumanMessage:
        blocks = self._blocks(records)
        return HumanMessage(content=[*blocks, {"type": "text", "text": text}] if blocks else text)

    def _shown(self, text: str, records: Sequence[ImageRecord]) -> HumanMessage:
        """The text comes first: a message that ends with a picture shows something, and asks for nothing."""
        return HumanMessage(content=[{"type": "text", "text": text}, *self._blocks(records)])

    def _blocks(self, records: Sequence[ImageRecord]) -> list[Any]:
        blocks: list[Any] = []
        for record in records:
            blocks.append({"type": "text", "text": _about(record)})
            if self._pictures:
                file = io.BytesIO()
                self.session.image(record).save(file, "PNG")
                data = base64.b64encode(file.getvalue()).decode()
                blocks.append({"type": "image", "base64": data, "mime_type": "image/png"})
        return blocks


def _called(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """The calls of a caller's tools since the user spoke, and their results; pictures in them are shown elsewhere."""
    since: list[AnyMessage] = []
    for message in messages:
        if isinstance(message, HumanMessage):
            since = []
        elif isinstance(message, ToolMessage) or (isinstance(message, AIMessage) and message.tool_calls):
            since.append(message.model_copy(update={"content": str(message.text)}))
    return since


def _given(record: ImageRecord) -> bool:
    return record.origin in ("user", "region")


def _about(record: ImageRecord) -> str:
    """What there is to say of a picture."""
    if record.origin == "region":
        return f"{record.id}, the part of {record.parents[0]} that the user means:"
    if record.origin == "user":
        return f"{record.id}, from the user{f' ({record.label})' if record.label else ''}:"
    source = f" from {record.parents[0]}" if record.parents else ""
    return f"{record.id}, made{source}{f' to show: {record.plan}' if record.plan else ''}:"


def _outcome(step: Step) -> str:
    """A step in words."""
    if step.outcome == "error":
        return f"This failed: {step.text}"
    if step.outcome == "rejected":
        return f"The user did not want this: {step.text}"
    said = [step.text] if step.text else []
    if step.image is not None:
        said.append(f"{step.image} was made{f', to show: {step.plan}' if step.plan else ''}.")
    if step.unsure:
        said.append(f"It may not be right: {step.unsure}.")
    return " ".join(said) or "Done."
