"""What an act says, as changes of the page's parts."""

from __future__ import annotations

from typing import Any, Final

import gradio as gr

from genllava_agent.pages.markup import escaped
from genllava_agent.web.layout import Parts
from genllava_agent.web.shown import Shown

_CHOICES: Final = {"understand": "Answer in words", "generate": "Draw a new picture", "edit": "Edit the picture"}


class Changes:
    """What is shown, as changes of the page's parts.

    Attributes:
        outputs: the parts that may change.
    """

    def __init__(self, parts: Parts) -> None:
        self._talk, self._side = talk, side = parts.talk, parts.side
        self.outputs: list[Any] = [
            talk.chat, talk.notice, talk.question, talk.asked, talk.approve, talk.instead, talk.reject, *talk.choices,
            talk.cut_off, talk.attached, talk.text, talk.send, talk.stop, talk.undo, talk.redo, talk.branch, talk.retry,
            talk.tries, side.steps, side.pictures, side.tree, side.threads, side.current, side.title, side.new,
            side.delete,
        ]  # fmt: skip
        self._resting = (talk.undo, talk.redo, talk.branch, talk.retry, side.threads, side.new, side.delete)

    def __call__(self, shown: Shown) -> dict[Any, Any]:
        """The changes, by part."""
        talk, side, made = self._talk, self._side, dict[Any, Any]()
        if shown.messages is not None:
            made[talk.chat] = list(shown.messages)
            made[talk.tries] = gr.update(visible=not shown.messages)
        if shown.notice is not None:
            made[talk.notice] = f'<p role="alert">{escaped(shown.notice)}</p>' if shown.notice else ""
        if shown.steps is not None:
            made[side.steps] = shown.steps
        if shown.pictures is not None:
            made[side.pictures], made[side.tree] = shown.pictures, ""
        if shown.threads is not None or shown.thread is not None:
            made[side.threads] = gr.update(choices=list(shown.threads or ()), value=shown.thread or None)
            made[side.title], made[side.current] = "", shown.thread or ""
        if shown.question is not None:
            made |= self._question(shown)
        if shown.cut_off is not None:
            made[talk.cut_off] = gr.update(visible=shown.cut_off)
        if shown.busy is not None:
            made[talk.send] = gr.update(visible=not shown.busy, interactive=True)
            made[talk.stop] = gr.update(visible=shown.busy)
            for button in self._resting:
                made[button] = {**made.get(button, gr.update()), "interactive": not shown.busy}
        if shown.text is not None:
            made[talk.text] = shown.text
        if shown.attached is not None:
            made[talk.attached] = list(shown.attached)
        return made

    def _question(self, shown: Shown) -> dict[Any, Any]:
        talk, question = self._talk, shown.question
        if not question:
            return {talk.question: gr.update(visible=False)}
        asks = question.kind == "approval"
        made = {talk.question: gr.update(visible=True), talk.asked: _in_words(question.kind, question.text)}
        made[talk.approve] = made[talk.reject] = gr.update(visible=asks)
        made[talk.instead] = gr.update(visible=asks and "edit" in question.choices)
        choices = question.choices if question.kind == "clarification" else ()
        for place, button in enumerate(talk.choices):
            there = place < len(choices)
            made[button] = gr.update(value=_CHOICES[choices[place]] if there else "", visible=there)
        return made


def _in_words(kind: str, text: str) -> str:
    """A question, and how it is answered without buttons."""
    how = {"approval": "Or type yes or no.", "clarification": "Or type your choice.", "tool": "Type your answer."}
    return f"{escaped(text)}\n\n{how[kind]}"
