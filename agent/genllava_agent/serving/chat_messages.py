"""Messages of OpenAI's form as LangChain's, with their pictures let in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages import ToolCall as Call

from genllava_agent.messages import IMAGES
from genllava_agent.serving.chat_schemas import Message, ToolCall
from genllava_agent.serving.data_urls import Admission, mime_type
from genllava_agent.serving.errors import ApiError
from genllava_agent.serving.kept_pictures import KeptPictures
from genllava_tools.picture_files import as_base64


def conversation(messages: Sequence[Message], admission: Admission, kept: KeptPictures) -> list[BaseMessage]:
    """A whole conversation.

    A front end sends what the assistant said and not the pictures of it: they are found by the links in its words,
    the latest first, as far as they are still kept and there is room.

    Raises:
        ApiError: a picture that is not let in, or a call whose arguments are not JSON.
    """
    sent = [_files(place, message, admission) for place, message in enumerate(messages)]
    made: list[BaseMessage] = []
    for message, files in reversed(list(zip(messages, sent, strict=True))):
        if message.role == "assistant":
            words, linked = kept.take_out(message.text)
            if not files:
                files = linked[max(0, len(linked) - admission.room) :]
                files = [admission.checked(file, "messages") for file in files]
            made.append(_said(message, words, files))
        elif message.role == "user":
            made.append(HumanMessage([*map(_block, files), {"type": "text", "text": message.text}]))
        elif message.role == "tool":
            made.append(ToolMessage(message.text, tool_call_id=str(message.tool_call_id)))
        else:
            made.append(SystemMessage(message.text))
    return made[::-1]


def latest(messages: Sequence[Message], admission: Admission) -> tuple[str, list[bytes]]:
    """What is new in a conversation whose beginning is remembered: the user's words since the assistant's last, and the
    files of their pictures.

    Raises:
        ApiError: there is nothing new, or a picture is not let in.
    """
    new = list(takewhile(lambda each: each[1].role != "assistant", reversed(list(enumerate(messages)))))[::-1]
    spoken = [(place, message) for place, message in new if message.role == "user"]
    if not spoken:
        raise ApiError(400, "the last message must be the user's", "invalid_value", param="messages")
    files = [file for place, message in spoken for file in _files(place, message, admission)]
    return "\n\n".join(filter(None, (message.text for _, message in spoken))), files


def _files(place: int, message: Message, admission: Admission) -> list[bytes]:
    param = f"messages.{place}"
    if message.pictures and message.role not in ("user", "assistant"):
        raise ApiError(400, f"{param}: pictures stand in messages of the user", "invalid_value", param=param)
    return [admission.from_url(url, param) for url in message.pictures]


def _said(message: Message, words: str, files: Sequence[bytes]) -> AIMessage:
    more: dict[str, Any] = {IMAGES: [_block(file) for file in files]} if files else {}
    return AIMessage(words, additional_kwargs=more, tool_calls=[_call(call) for call in message.tool_calls or ()])


def _call(call: ToolCall) -> Call:
    try:
        arguments = json.loads(call.function.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        said = f"the arguments of the call {call.id} are not a JSON object"
        raise ApiError(400, said, "invalid_value", param="messages")
    return Call(name=call.function.name, args=arguments, id=call.id)


def _block(file: bytes) -> dict[str, Any]:
    return {"type": "image", "base64": as_base64(file), "mime_type": mime_type(file)}
