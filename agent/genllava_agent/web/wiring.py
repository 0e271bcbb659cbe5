"""What the page's parts do: each calls an act of `Conversations`, and shows what that says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any, Final

import gradio as gr

from genllava.errors import GenLlavaError
from genllava_agent.pages.markup import escaped
from genllava_agent.web.conversations import Conversations
from genllava_agent.web.layout import Parts
from genllava_agent.web.picture_strip import lineage_html
from genllava_agent.web.shown import Asked, Shown, Visitor

_CHOICES: Final = {"understand": "Answer in words", "generate": "Draw a new picture", "edit": "Edit the picture"}
_REMEMBER: Final = "(name) => { genllava.remember(name); }"
_REMEMBERED: Final = "() => [genllava.remembered()]"
_SURE: Final = "(name) => [confirm('Delete this thread and its pictures?') ? name : null]"
_HIDDEN: Final[dict[str, Any]] = {"show_progress": "hidden", "api_visibility": "private"}


def wire(blocks: gr.Blocks, parts: Parts, acts: Conversations, examples: Sequence[str]) -> None:
    """Let the parts do something; called inside of their `gr.Blocks`."""
    changed = _Changes(parts)
    outputs = changed.outputs

    async def ask(
        name: str | None, text: str, attached: Any, pictures: Any, approve: Any, request: gr.Request
    ) -> AsyncGenerator[dict[Any, Any]]:
        try:
            asked = Asked.read(text, attached, pictures, approve)
        except GenLlavaError as error:
            yield changed(Shown(notice=str(error)))
            return
        async with aclosing(acts.ask(visitor(request), name, asked)) as heard:
            async for shown in heard:
                yield changed(shown)

    def turn(act: Callable[..., AsyncGenerator[Shown]]) -> Callable[..., AsyncGenerator[dict[Any, Any]]]:
        async def run(name: str | None, text: str, request: gr.Request) -> AsyncGenerator[dict[Any, Any]]:
            async with aclosing(act(visitor(request), name, text)) as heard:
                async for shown in heard:
                    yield changed(shown)

        return run

    def simple(act: Callable[[Visitor, str | None], Shown]) -> Callable[..., dict[Any, Any]]:
        def run(name: str | None, request: gr.Request) -> dict[Any, Any]:
            return changed(act(visitor(request), name))

        return run

    asking = [parts.current, parts.text, parts.attached, parts.pictures, parts.approvals]
    for listener in (parts.send.click, parts.text.submit):
        listener(ask, asking, outputs, **_HIDDEN)
    decided = {"decision": "approve"}
    turns: dict[gr.Button, Callable[..., AsyncGenerator[Shown]]] = {
        parts.approve: lambda who, name, text: acts.answer(who, name, decided),
        parts.instead: lambda who, name, text: acts.answer(who, name, _other(text), text),
        parts.reject: lambda who, name, text: acts.answer(who, name, _no(text), text),
        parts.retry: lambda who, name, text: acts.retry(who, name),
        parts.resume: lambda who, name, text: acts.resume(who, name),
    }
    for place, button in enumerate(parts.choices):
        turns[button] = partial(_choose, acts, place)
    for button, act in turns.items():
        button.click(turn(act), [parts.current, parts.text], outputs, **_HIDDEN)
    ways = {parts.undo: acts.undo, parts.redo: acts.redo, parts.branch: acts.branch, parts.give_up: acts.give_up}
    for button, way in {**ways, parts.forget: acts.give_up}.items():
        button.click(simple(way), parts.current, outputs, **_HIDDEN)
    parts.stop.click(simple(lambda who, name: acts.stop(who)), parts.current, outputs, **_HIDDEN)
    for button, text in zip(parts.examples, examples, strict=True):
        button.click(partial(str, text), None, parts.text, **_HIDDEN)
    _wire_threads(blocks, parts, acts, changed, simple)


def _wire_threads(
    blocks: gr.Blocks, parts: Parts, acts: Conversations, changed: _Changes, simple: Callable[..., Any]
) -> None:
    outputs = changed.outputs
    parts.new.click(simple(lambda who, name: acts.open(who, None)), parts.current, outputs, **_HIDDEN)
    parts.threads.input(simple(acts.open), parts.threads, outputs, **_HIDDEN)
    parts.current.change(None, parts.current, None, js=_REMEMBER, **_HIDDEN)
    parts.delete.click(
        simple(lambda who, name: acts.delete(who, name) if name else Shown()), parts.current, outputs, js=_SURE,
        **_HIDDEN,
    )  # fmt: skip

    def rename(name: str | None, title: str, request: gr.Request) -> dict[Any, Any]:
        return changed(acts.rename(visitor(request), name, title))

    for listener in (parts.rename.click, parts.title.submit):
        listener(rename, [parts.current, parts.title], outputs, **_HIDDEN)

    def lineage(name: str | None, pictures: Any, request: gr.Request) -> str:
        selected = pictures.get("selected") if isinstance(pictures, dict) else None
        try:
            thread = acts.threads.get(visitor(request).owner, name)
            return lineage_html(thread.images, str(selected)) if selected else ""
        except GenLlavaError as error:
            return f'<p role="alert">{escaped(error)}</p>'

    parts.lineage.click(lineage, [parts.current, parts.pictures], parts.tree, **_HIDDEN)
    parts.dark.click(None, None, None, js="() => { genllava.turn_dark(); }", **_HIDDEN)
    opened = simple(lambda who, name: replace(acts.open(who, name), busy=False))
    blocks.load(opened, parts.current, outputs, js=_REMEMBERED, **_HIDDEN)

    def left(request: gr.Request) -> None:
        acts.stop(visitor(request))

    blocks.unload(left)


def visitor(request: gr.Request) -> Visitor:
    """Who sent a request: the gate has found out. A session that somebody else names is another one."""
    owner = str(request.state.owner)
    return Visitor(owner, f"{owner}/{request.session_hash}")


def _other(text: str) -> dict[str, Any]:
    return {"decision": "edit", "instruction": text}


def _no(text: str) -> dict[str, Any]:
    return {"decision": "reject", "reason": text or None}


async def _choose(acts: Conversations, place: int, who: Visitor, name: str | None, text: str) -> AsyncGenerator[Shown]:
    """Answer with one of the choices of the question that is open."""
    try:
        question = await asyncio.to_thread(lambda: acts.threads.get(who.owner, name).pending)
    except GenLlavaError as error:
        yield Shown(notice=str(error))
        return
    choices = () if question is None else question.choices
    if place >= len(choices):
        yield Shown(notice="This is not asked any more.")
        return
    async with aclosing(acts.answer(who, name, {"choice": choices[place]})) as heard:
        async for shown in heard:
            yield shown


class _Changes:
    """What is shown, as changes of the page's parts.

    Attributes:
        outputs: the parts that may change.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        p = parts
        self.outputs: list[Any] = [
            p.chat, p.notice, p.question, p.asked, p.approve, p.instead, p.reject, *p.choices, p.cut_off, p.attached,
            p.text, p.send, p.stop, p.undo, p.redo, p.branch, p.retry, p.steps, p.pictures, p.tree, p.threads,
            p.current, p.title, p.tries, p.new, p.delete,
        ]  # fmt: skip

    def __call__(self, shown: Shown) -> dict[Any, Any]:
        """The changes, by part."""
        p, made = self._parts, dict[Any, Any]()
        if shown.messages is not None:
            made[p.chat] = list(shown.messages)
            made[p.tries] = gr.update(visible=not shown.messages)
        if shown.notice is not None:
            made[p.notice] = f'<p role="alert">{escaped(shown.notice)}</p>' if shown.notice else ""
        if shown.steps is not None:
            made[p.steps] = shown.steps
        if shown.pictures is not None:
            made[p.pictures], made[p.tree] = shown.pictures, ""
        if shown.threads is not None or shown.thread is not None:
            made[p.threads] = gr.update(choices=list(shown.threads or ()), value=shown.thread or None)
            made[p.title], made[p.current] = "", shown.thread or ""
        if shown.question is not None:
            made |= self._question(shown)
        if shown.cut_off is not None:
            made[p.cut_off] = gr.update(visible=shown.cut_off)
        if shown.busy is not None:
            made[p.send] = gr.update(visible=not shown.busy, interactive=True)
            made[p.stop] = gr.update(visible=shown.busy)
            for button in (p.undo, p.redo, p.branch, p.retry, p.threads, p.new, p.delete):
                made[button] = {**made.get(button, gr.update()), "interactive": not shown.busy}
        if shown.text is not None:
            made[p.text] = shown.text
        if shown.attached is not None:
            made[p.attached] = list(shown.attached)
        return made

    def _question(self, shown: Shown) -> dict[Any, Any]:
        p, question = self._parts, shown.question
        if not question:
            return {p.question: gr.update(visible=False)}
        asks = question.kind == "approval"
        made = {p.question: gr.update(visible=True), p.asked: _in_words(question.kind, question.text)}
        made[p.approve] = made[p.reject] = gr.update(visible=asks)
        made[p.instead] = gr.update(visible=asks and "edit" in question.choices)
        choices = question.choices if question.kind == "clarification" else ()
        for place, button in enumerate(p.choices):
            there = place < len(choices)
            made[button] = gr.update(value=_CHOICES[choices[place]] if there else "", visible=there)
        return made


def _in_words(kind: str, text: str) -> str:
    """A question, and how it is answered without buttons."""
    how = {"approval": "Or type yes or no.", "clarification": "Or type your choice.", "tool": "Type your answer."}
    return f"{escaped(text)}\n\n{how[kind]}"
