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
from genllava_agent.web.changes import Changes
from genllava_agent.web.conversations import Conversations
from genllava_agent.web.layout import Parts
from genllava_agent.web.picture_strip import lineage_html
from genllava_agent.web.shown import Asked, Shown, Visitor

_REMEMBER: Final = "(name) => { genllava.remember(name); }"
_REMEMBERED: Final = "() => [genllava.remembered()]"
_SURE: Final = "(name) => [confirm('Delete this thread and its pictures?') ? name : null]"
_HIDDEN: Final[dict[str, Any]] = {"show_progress": "hidden", "api_visibility": "private"}


def wire(blocks: gr.Blocks, parts: Parts, acts: Conversations, examples: Sequence[str]) -> None:
    """Let the parts do something; called inside of their `gr.Blocks`."""
    changed = Changes(parts)
    talk, side, outputs = parts.talk, parts.side, changed.outputs

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

    asking = [side.current, talk.text, talk.attached, side.pictures, talk.approvals]
    for listener in (talk.send.click, talk.text.submit):
        listener(ask, asking, outputs, **_HIDDEN)
    decided = {"decision": "approve"}
    turns: dict[gr.Button, Callable[..., AsyncGenerator[Shown]]] = {
        talk.approve: lambda who, name, text: acts.answer(who, name, decided),
        talk.instead: lambda who, name, text: acts.answer(who, name, _other(text), text),
        talk.reject: lambda who, name, text: acts.answer(who, name, _no(text), text),
        talk.retry: lambda who, name, text: acts.retry(who, name),
        talk.resume: lambda who, name, text: acts.resume(who, name),
    }
    for place, button in enumerate(talk.choices):
        turns[button] = partial(_choose, acts, place)
    for button, act in turns.items():
        button.click(turn(act), [side.current, talk.text], outputs, **_HIDDEN)
    ways = {talk.undo: acts.undo, talk.redo: acts.redo, talk.branch: acts.branch, talk.give_up: acts.give_up}
    for button, way in {**ways, talk.forget: acts.give_up}.items():
        button.click(simple(way), side.current, outputs, **_HIDDEN)
    talk.stop.click(simple(lambda who, name: acts.stop(who)), side.current, outputs, **_HIDDEN)
    for button, text in zip(talk.examples, examples, strict=True):
        button.click(partial(str, text), None, talk.text, **_HIDDEN)
    _wire_threads(blocks, parts, acts, changed, simple)


def _wire_threads(
    blocks: gr.Blocks, parts: Parts, acts: Conversations, changed: Changes, simple: Callable[..., Any]
) -> None:
    side, outputs = parts.side, changed.outputs
    side.new.click(simple(lambda who, name: acts.open(who, None)), side.current, outputs, **_HIDDEN)
    side.threads.input(simple(acts.open), side.threads, outputs, **_HIDDEN)
    side.current.change(None, side.current, None, js=_REMEMBER, **_HIDDEN)
    side.delete.click(
        simple(lambda who, name: acts.delete(who, name) if name else Shown()), side.current, outputs, js=_SURE,
        **_HIDDEN,
    )  # fmt: skip

    def rename(name: str | None, title: str, request: gr.Request) -> dict[Any, Any]:
        return changed(acts.rename(visitor(request), name, title))

    for listener in (side.rename.click, side.title.submit):
        listener(rename, [side.current, side.title], outputs, **_HIDDEN)

    def lineage(name: str | None, pictures: Any, request: gr.Request) -> str:
        selected = pictures.get("selected") if isinstance(pictures, dict) else None
        try:
            thread = acts.threads.get(visitor(request).owner, name)
            return lineage_html(thread.images, str(selected)) if selected else ""
        except GenLlavaError as error:
            return f'<p role="alert">{escaped(error)}</p>'

    side.lineage.click(lineage, [side.current, side.pictures], side.tree, **_HIDDEN)
    side.dark.click(None, None, None, js="() => { genllava.turn_dark(); }", **_HIDDEN)
    opened = simple(lambda who, name: replace(acts.open(who, name), busy=False))
    blocks.load(opened, side.current, outputs, js=_REMEMBERED, **_HIDDEN)

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
