"""The page's parts and where they stand; what they do is in `wiring`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import gradio as gr

from genllava_agent.web.steps_view import steps_html
from genllava_agent.web.titles import LONGEST

_MOST: Final = 3
"""Buttons for choices; a question of ours has no more."""
_ASKS: Final = [("drawing", "generate"), ("editing", "edit"), ("answering", "understand"), ("calling a tool", "tool")]
_ANY: Any = None


@dataclass(slots=True)
class Parts:
    """The components that requests come from and that acts change, by what they are for."""

    chat: gr.Chatbot = _ANY
    notice: gr.HTML = _ANY
    question: gr.Group = _ANY
    asked: gr.Markdown = _ANY
    approve: gr.Button = _ANY
    instead: gr.Button = _ANY
    reject: gr.Button = _ANY
    choices: Sequence[gr.Button] = ()
    give_up: gr.Button = _ANY
    cut_off: gr.Group = _ANY
    resume: gr.Button = _ANY
    forget: gr.Button = _ANY
    attached: gr.HTML = _ANY
    text: gr.Textbox = _ANY
    send: gr.Button = _ANY
    stop: gr.Button = _ANY
    undo: gr.Button = _ANY
    redo: gr.Button = _ANY
    branch: gr.Button = _ANY
    retry: gr.Button = _ANY
    tries: gr.Row = _ANY
    examples: Sequence[gr.Button] = ()
    steps: gr.HTML = _ANY
    pictures: gr.HTML = _ANY
    lineage: gr.Button = _ANY
    tree: gr.HTML = _ANY
    threads: gr.Radio = _ANY
    current: gr.Textbox = _ANY
    new: gr.Button = _ANY
    title: gr.Textbox = _ANY
    rename: gr.Button = _ANY
    delete: gr.Button = _ANY
    approvals: gr.CheckboxGroup = _ANY
    dark: gr.Button = _ANY


def page_parts(abilities: str, examples: Sequence[str]) -> Parts:
    """Make the page's parts, inside of a `gr.Blocks`.

    Args:
        abilities: what the model can do, in Markdown.
        examples: requests to try.
    """
    parts = Parts()
    with gr.Row(elem_id="page"):
        with gr.Column(scale=3, min_width=320):
            _conversation(parts, abilities, examples)
        with gr.Column(scale=2, min_width=320):
            _side(parts)
    return parts


def _conversation(parts: Parts, abilities: str, examples: Sequence[str]) -> None:
    parts.chat = gr.Chatbot(
        label="Conversation", elem_id="chat", height="60vh", placeholder=abilities, buttons=["copy"],
        feedback_options=None, layout="bubble", show_label=False,
    )  # fmt: skip
    parts.notice = gr.HTML("", elem_id="notice")
    with gr.Group(visible=False, elem_id="question") as parts.question:
        parts.asked = gr.Markdown(padding=True)
        with gr.Row():
            parts.approve = gr.Button("Approve", variant="primary", size="md", elem_id="approve")
            parts.instead = gr.Button("Do what I typed instead", size="md", elem_id="instead")
            parts.reject = gr.Button("Reject", variant="stop", size="md", elem_id="reject")
            parts.choices = [gr.Button(visible=False, size="md", elem_id=f"choice-{place}") for place in range(_MOST)]
            parts.give_up = gr.Button("Give up", size="md", elem_id="give-up")
    with gr.Group(visible=False, elem_id="cut-off") as parts.cut_off, gr.Row():
        parts.resume = gr.Button("Go on with it", variant="primary", elem_id="resume")
        parts.forget = gr.Button("Forget it", elem_id="forget")
    parts.attached = gr.HTML(
        [], elem_id="attached", html_template=_ATTACHED, js_on_load="genllava.attached(element, props, watch)"
    )
    with gr.Row(elem_id="ask"):
        parts.text = gr.Textbox(
            label="Your request", placeholder="Ask about a picture, say what to draw, or what to change",
            lines=1, max_lines=8, scale=6, elem_id="text", autofocus=True, max_length=20_000,
        )  # fmt: skip
        parts.send = gr.Button("Send", variant="primary", scale=1, min_width=90, elem_id="send", interactive=False)
        parts.stop = gr.Button("Stop", variant="stop", scale=1, min_width=90, elem_id="stop", visible=False)
    with gr.Row(elem_id="ways-back"):
        parts.undo = gr.Button("Undo", size="sm", min_width=70, elem_id="undo")
        parts.redo = gr.Button("Redo", size="sm", min_width=70, elem_id="redo")
        parts.retry = gr.Button("Retry", size="sm", min_width=70, elem_id="retry")
        parts.branch = gr.Button("Branch", size="sm", min_width=70, elem_id="branch")
    with gr.Row(elem_id="examples") as parts.tries:
        parts.examples = [gr.Button(text, size="sm", min_width=120) for text in examples]
    parts.approvals = gr.CheckboxGroup(_ASKS, label="Ask me before", elem_id="approvals")


def _side(parts: Parts) -> None:
    with gr.Accordion("Steps of this turn", open=True):
        parts.steps = gr.HTML(steps_html(()), elem_id="steps")
    with gr.Accordion("Pictures", open=True):
        parts.pictures = gr.HTML(
            {"images": [], "selected": None}, elem_id="pictures", html_template=_PICTURES,
            js_on_load="genllava.pictures(element, props, watch)",
        )  # fmt: skip
        parts.lineage = gr.Button("Where it comes from", size="sm", elem_id="lineage")
        parts.tree = gr.HTML("", elem_id="tree")
    with gr.Accordion("Threads", open=True):
        parts.threads = gr.Radio([], label="Threads", show_label=False, elem_id="threads")
        parts.current = gr.Textbox(visible=False)  # the name of the thread that is open
        with gr.Row():
            parts.new = gr.Button("New", size="sm", min_width=70, elem_id="new")
            parts.delete = gr.Button("Delete", size="sm", min_width=70, variant="stop", elem_id="delete")
        with gr.Row():
            parts.title = gr.Textbox(
                label="Title", show_label=False, placeholder="A title for this thread", max_length=LONGEST, scale=3,
                elem_id="title",
            )  # fmt: skip
            parts.rename = gr.Button("Rename", size="sm", min_width=70, scale=1, elem_id="rename")
    parts.dark = gr.Button("Dark or light", size="sm", elem_id="dark")


_ATTACHED: Final = """
<label class="attach"><input type="file" accept="image/*" multiple>Attach pictures</label>
<ul class="list"></ul><p class="fault" role="alert"></p>
"""
_PICTURES: Final = """
<div class="strip" role="group" aria-label="Pictures of this thread"></div>
<div class="chosen" hidden>
  <div class="tools" role="toolbar" aria-label="Point at a part of the picture">
    <button type="button" data-mode="point" aria-pressed="true">Click</button>
    <button type="button" data-mode="box" aria-pressed="false">Box</button>
    <button type="button" data-mode="mask" aria-pressed="false">Brush</button>
    <label>Mask from a file<input type="file" accept="image/*" class="mask-file"></label>
    <button type="button" class="clear">No part</button>
    <a class="download">Download</a>
  </div>
  <div class="stage"><img class="whole" alt=""><canvas class="over"></canvas></div>
  <p class="region" role="status"></p>
</div>
"""
"""What scripts fill; they are in `assets/page.js`."""
