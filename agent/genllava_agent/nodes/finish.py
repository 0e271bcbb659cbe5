"""The last node: the reply, and the turn in it."""

from __future__ import annotations

import uuid
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata
from langgraph.runtime import Runtime

from genllava.protocols.shapes import layout
from genllava_agent.answers import compose
from genllava_agent.deciders.base import WORDS, told_before
from genllava_agent.deciders.offers import THREAD_VERBS
from genllava_agent.history import is_reply, reply_message
from genllava_agent.messages import image_block, records_in, reference, text_of, with_images
from genllava_agent.nodes.base import AgentParts, dropped, thread_id
from genllava_agent.records import ImageRecord, Turn, shown_pictures
from genllava_agent.session import Session
from genllava_agent.settings import TurnSettings
from genllava_agent.speech import SPOKEN
from genllava_agent.state import AgentState, asked, begun, next_action, result


def finish(parts: AgentParts, state: AgentState, runtime: Runtime[TurnSettings]) -> dict[str, Any]:
    """Say what came of the turn: nothing is claimed that has no record."""
    session, decider, turn = parts.session(state), parts.decider(), begun(state)
    steps, last = tuple(state["steps"]), state["messages"][-1]
    action = next_action(state)
    undone = [] if action is None else [result(action, "This was not done.", "error"), *dropped(state, action)]
    words = text_of(last) if is_reply(last) else ""
    text = words if decider.speaks else ""
    with session.work(state):
        if not text and not session.calls:  # whoever gets calls of its own tools waits for no words
            text = compose(steps, state["stopped"], decider.worker.left(session, state))
            text = "\n\n".join(filter(None, [told_before(state), text]))
        decider.worker.end(session, state, text if any(step.outcome == "ok" for step in steps) else "")
    same = is_reply(last) and words == text  # what was streamed is the reply; other words come as another message
    empty = [RemoveMessage(id=str(last.id))] if is_reply(last) and not same else []
    stream, own = session.stream(), last.response_metadata.get(WORDS) if is_reply(last) else None
    if decider.speaks and own is None and not same:
        own = ""  # other words than the model's
    ended = Turn(
        id=str(last.id) if same else _streamed(state, text) or uuid.uuid4().hex,
        parent=session.history[-1].id if session.history else None,
        number=turn.number,
        at=turn.at,
        request=asked(state),
        images=tuple(session.pictures(state)),
        steps=steps,
        text=text,
        stopped=state["stopped"],
        seed=turn.seed,
        settings=turn.settings,
        stream=stream.ids,
        seconds=session.seconds(),
    )
    shown = shown_pictures(ended.images, ended.steps, state["images"])
    images = [image_block(session.image(r), r.id) if session.inline else reference(r) for r in shown]
    reply = reply_message(
        ended, images, _links(parts, shown), tool_calls=session.calls,
        usage_metadata=_usage(session, state, stream.ids),
        response_metadata={
            "finish_reason": "length" if ended.stopped else "stop", **({} if own is None else {WORDS: own}),
        },
    )  # fmt: skip
    if not session.inline:
        session.remember(ended.id, str(thread_id()))
        parts.remember(session.history.then(ended), ended.id)
        shown_before: list[AnyMessage] = []
    else:  # the reply has its pictures, and references in results would lead nowhere
        results = [message for message in _since(state["messages"]) if isinstance(message, ToolMessage)]
        shown_before = [with_images(message, []) for message in results if records_in(message)]
    parts.sessions.pop(turn.id, None)
    only_verbs = bool(steps) and all(step.tool in THREAD_VERBS for step in steps if step.action == "tool")
    only_verbs = only_verbs and any(step.tool in THREAD_VERBS for step in steps) and not any(s.image for s in steps)
    kept: dict[str, Any] = {} if only_verbs or not state.get("undone") else {"undone": []}
    spent = stream.model_copy(update={"ids": ()})
    return {"messages": [*shown_before, *undone, *empty, reply], "turn": None, "trials": [], "stream": spent, **kept}


def _streamed(state: AgentState, text: str) -> str:
    """The id under which the words of the reply were streamed, where they are those of one answer; else empty."""
    for message in reversed(_since(state["messages"])):
        if isinstance(message, ToolMessage) and SPOKEN in message.additional_kwargs:
            return str(message.additional_kwargs[SPOKEN]) if text_of(message) == text else ""
    return ""


def _links(parts: AgentParts, shown: list[ImageRecord]) -> str:
    """Links to pictures in Markdown, for front ends that show text alone."""
    thread = thread_id()
    if not parts.picture_url or thread is None:
        return ""
    return "".join(f"\n\n![{r.id}]({parts.picture_url}/{thread}/{_file(r)})" for r in shown)


def _file(record: ImageRecord) -> str:
    return f"{record.key}.png" if record.jpeg is None else f"{record.jpeg}.jpg"


def _usage(session: Session, state: AgentState, written: tuple[int, ...]) -> UsageMetadata:
    """Tokens of the conversation up to the reply, and those of the reply, whatever had to be computed anew."""
    pipeline, spoken = session.engine.pipeline, _since(state["messages"])
    used = [m.usage_metadata for m in spoken if isinstance(m, AIMessage) and m.usage_metadata]
    if written:
        language, request = pipeline.protocol.language, asked(state)
        numbers = [state["images"][name].number for name in request.images]
        said = len(layout.user_turn(language.tokenizer, request.text, numbers, language.tokens_per_image))
        read = 1 + sum(len(turn.stream) for turn in session.history) + said
        new = max(0, len(written) - said)
    elif used and not session.engine.has_stream:
        read = next((each["input_tokens"] for each in used if each["input_tokens"]), 0)
        new = sum(each["output_tokens"] for each in used)
    else:  # done verb by verb
        texts = [text for step in state["steps"] for text in (step.text, step.plan or "")]
        new = sum(len(pipeline.processor.tokenizer.encode(text, add_special_tokens=False)) for text in texts)
        read = max(0, sum(step.tokens for step in state["steps"]) - new)
    return UsageMetadata(input_tokens=read, output_tokens=new, total_tokens=read + new)


def _since(messages: list[AnyMessage]) -> list[AnyMessage]:
    """What was said since the user spoke."""
    start = max((place for place, message in enumerate(messages) if isinstance(message, HumanMessage)), default=-1)
    return messages[start + 1 :]
