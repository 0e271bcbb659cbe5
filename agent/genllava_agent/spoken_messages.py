"""The messages of a thread as a model that was finetuned in the `genllava` protocol reads them.

That is the form in which it was trained, and nothing else: pictures behind their names, before the user's words; its
own words, plans and calls; what came of them. Whatever the agent says in its place is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, Final

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import ToolCall

from genllava.protocols.parts import Message, named_blocks
from genllava.protocols.verbs import EDIT, GENERATE, RESULTS
from genllava.vision_language import VisionLanguage
from genllava_agent.deciders.base import TOLD, WORDS
from genllava_agent.deciders.offers import THREAD_VERBS
from genllava_agent.messages import Pictures, answered, records_in, text_of
from genllava_agent.records import ImageRecord

DONE: Final = "Done."
"""A result that says nothing else."""


def spoken_messages(
    messages: Sequence[AnyMessage], pictures: Pictures, vision_language: VisionLanguage
) -> list[Message]:
    """Messages as `GenLlavaProtocol.reply` takes them; a call that is the last one has no result yet.

    Args:
        messages: with pictures as references.
        pictures: where their pixels are.
    """
    last = messages[-1]
    talk = _Talk(pictures, vision_language, {r.id: r for message in messages for r in records_in(message)})
    whole = answered(messages)
    if isinstance(last, AIMessage) and last.tool_calls:
        whole = whole[: len(whole) - len(last.tool_calls)]
    for place, message in enumerate(whole):
        if isinstance(message, HumanMessage):
            talk.asked(message)
        elif isinstance(message, SystemMessage):
            talk.made.append({"role": "system", "content": [_text(text_of(message))]})
        elif isinstance(message, AIMessage):
            behind = takewhile(lambda each: isinstance(each, ToolMessage), whole[place + 1 :])
            talk.said(message, [each for each in behind if isinstance(each, ToolMessage)])
    return talk.made


class _Talk:
    """A conversation as it is put together.

    Args:
        known: all pictures, by name.

    Attributes:
        made: its messages.
    """

    def __init__(self, pictures: Pictures, vision_language: VisionLanguage, known: Mapping[str, ImageRecord]) -> None:
        self.made: list[Message] = []
        self._pictures, self._language, self._known = pictures, vision_language, known
        self._shown: set[str] = set()
        self._waiting: list[dict[str, Any]] = []
        self._told = ""
        self._closed = False  # a verb of the thread was called, after which nothing is said

    def asked(self, message: HumanMessage) -> None:
        """What the user says."""
        blocks, self._waiting = [*self._waiting, *self._blocks(records_in(message))], []
        words = text_of(message)
        self.made.append({"role": "user", "content": [*blocks, *([_text(words)] if words else [])]})
        self._told, self._closed = "", False

    def said(self, message: AIMessage, results: Sequence[ToolMessage]) -> None:
        """What the assistant says and calls, and what came of it."""
        if not message.tool_calls:
            self._reply(message)
            return
        words = text_of(message)
        self._told += message.response_metadata.get(TOLD, "")
        if not results:  # it is being carried out
            self._say(words, message.tool_calls[0], None)
        for call, result in zip(message.tool_calls, results, strict=False):  # one a message, as it learns them
            if call["name"] == "understand":  # the user asked for it by its name
                self._say(text_of(result))
                continue
            self._say(words, call, result)
            self._result(call, result)
            words = ""

    def _reply(self, message: AIMessage) -> None:
        """The last message of a turn: what the model itself said in it."""
        words = message.response_metadata.get(WORDS)
        if words is None:
            words = text_of(message).removeprefix(self._told).strip()
        self._told = ""
        if words or not (self._closed or (self.made and self.made[-1]["role"] == "assistant")):
            self._say(words)
        self._waiting += self._blocks([r for r in records_in(message) if r.id not in self._shown])

    def _say(self, words: str, call: ToolCall | None = None, result: ToolMessage | None = None) -> None:
        words = self._language.template.neutral(words)
        if self.made and self.made[-1]["role"] == "assistant" and "tool_calls" not in self.made[-1]:
            before = self.made.pop()["content"][0]["text"]
            words = "\n\n".join(filter(None, [before, words]))
        message: Message = {"role": "assistant", "content": [_text(words)]}
        if call is not None:
            message["tool_calls"] = [self._call(call, result)]
        self.made.append(message)

    def _call(self, call: ToolCall, result: ToolMessage | None) -> dict[str, Any]:
        """A call as templates have it, with the plan that was drawn."""
        name, arguments = call["name"], dict(call["args"])
        records = [] if result is None else self._records(result)
        record = records[0] if records else None
        plan = str(record.plan if record is not None and record.plan else arguments.get("instruction", ""))
        if name == "generate":
            name, arguments = GENERATE, {"prompt": plan}
        elif name == "edit":
            source = arguments.get("image") or (record.parents[0] if record is not None and record.parents else "")
            name, arguments = EDIT, {"image": source, "instruction": plan}
        arguments = self._language.template.neutral(arguments)
        return {"type": "function", "id": call["id"], "function": {"name": name, "arguments": arguments}}

    def _result(self, call: ToolCall, message: ToolMessage) -> None:
        """What came of a call; pictures go with it where the chat template shows pictures there."""
        name, words = call["name"], text_of(message)
        records = [] if name in THREAD_VERBS else self._records(message)
        if message.status == "error":
            pass
        elif name in ("generate", "edit") and records:
            words = f"Done: {', '.join(record.id for record in records)} was made."
        else:
            words = DONE if name in THREAD_VERBS else without_names(words, records) or DONE
        self._closed = name in THREAD_VERBS and message.status != "error"
        content, shown = [_text(words)], self._blocks(records)
        beside = self._language.tool_results_show_images
        if beside:
            content += [block for block in shown if block["type"] == "image"]
        self.made.append({"role": "tool", "tool_call_id": call["id"], "name": name, "content": content})
        if shown and not beside:
            self.made.append({"role": "user", "content": shown, RESULTS: True})

    def _records(self, message: ToolMessage) -> list[ImageRecord]:
        """The pictures of a result; where nothing is kept of a thread, the reply has them."""
        if message.status == "error":
            return []
        words = text_of(message)
        return records_in(message) or [r for name, r in self._known.items() if f"{name} was made" in words]

    def _blocks(self, records: Sequence[ImageRecord]) -> list[dict[str, Any]]:
        """Pictures that were not shown before, each behind its name."""
        new = [record for record in records if record.id not in self._shown]
        self._shown |= {record.id for record in new}
        return [b for record in new for b in named_blocks([self._pictures.picture(record)], record.number)]


def without_names(words: str, records: Sequence[ImageRecord]) -> str:
    """The words of a tool without those that name its pictures, which are named where they are shown."""
    for record in records:
        words = words.replace(f"{record.id} was made.", "")
    return words.strip()


def _text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}
