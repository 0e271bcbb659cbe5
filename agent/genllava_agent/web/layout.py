"""The page's parts and where they stand; what they do is in `wiring`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import gradio as gr

from genllava_agent.web.steps_view import steps_html
from genllava_agent.web.titles import LONGEST

_MOST: Final = 3
"""Buttons for choices; a question of ours has no more."""
_ASKS: Final = [("drawing", "generate"), ("editing", "edit"), ("answering", "understand"), ("calling a tool", "tool")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationParts:
    """The components of the column of conversation, by what they are for."""

    chat: gr.Chatbot
    notice: gr.HTML
    question: gr.Group
    asked: gr.Markdown
    approve: gr.Button
    instead: gr.Button
    reject: gr.Button
    choices: Sequence[gr.Button]
    give_up: gr.Button
    cut_off: gr.Group
    resume: gr.Button
    forget: gr.Button
    attached: gr.HTML
    text: gr.Textbox
    send: gr.Button
    stop: gr.Button
    undo: gr.Button
    redo: gr.Button
    branch: gr.Button
    retry: gr.Button
    tries: gr.Row
    examples: Sequence[gr.Button]
    approvals: gr.CheckboxGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class SideParts:
    """The components beside the conversation: steps, pictures, threads."""

    steps: gr.HTML
    pictures: gr.HTML
    lineage: gr.Button
    tree: gr.HTML
    threads: gr.Radio
    current: gr.Textbox
    new: gr.Button
    delete: gr.Button
    title: gr.Textbox
    rename: gr.Button
    dark: gr.Button


@dataclass(frozen=True, slots=True)
class Parts:
    """The components that requests come from and that acts change."""

    talk: ConversationParts
    side: SideParts


def page_parts(abilities: str, examples: Sequence[str]) -> Parts:
    """Make the page's parts, inside of a `gr.Blocks`.

    Args:
        abilities: what the model can do, in Markdown.
        examples: requests to try.
    """
    with gr.Row(elem_id="page"):
        with gr.Column(scale=3, min_width=320):
            talk = _conversation(abilities, examples)
        with gr.Column(scale=2, min_width=320):
            side = _side()
    return Parts(talk, side)


def _conversation(abilities: str, requests: Sequence[str]) -> ConversationParts:
    chat = gr.Chatbot(
        label="Conversation", elem_id="chat", height="60vh", placeholder=abilities, buttons=["copy"],
        feedback_options=None, layout="bubble", show_label=False,
    )  # fmt: skip
    notice = gr.HTML("", elem_id="notice")
    with gr.Group(visible=False, elem_id="question") as question:
        asked = gr.Markdown(padding=True)
        with gr.Row():
            approve = gr.Button("Approve", variant="primary", size="md", elem_id="approve")
            instead = gr.Button("Do what I typed instead", size="md", elem_id="instead")
            reject = gr.Button("Reject", variant="stop", size="md", elem_id="reject")
            choices = [gr.Button(visible=False, size="md", elem_id=f"choice-{place}") for place in range(_MOST)]
            give_up = gr.Button("Give up", size="md", elem_id="give-up")
    with gr.Group(visible=False, elem_id="cut-off") as cut_off, gr.Row():
        resume = gr.Button("Go on with it", variant="primary", elem_id="resume")
        forget = gr.Button("Forget it", elem_id="forget")
    attached = gr.HTML(
        [], elem_id="attached", html_template=_ATTACHED, js_on_load="genllava.attached(element, props, watch)"
    )
    with gr.Row(elem_id="ask"):
        text = gr.Textbox(
            label="Your request", placeholder="Ask about a picture, say what to draw, or what to change",
            lines=1, max_lines=8, scale=6, elem_id="text", autofocus=True, max_length=20_000,
        )  # fmt: skip
        send = gr.Button("Send", variant="primary", scale=1, min_width=90, elem_id="send", interactive=False)
        stop = gr.Button("Stop", variant="stop", scale=1, min_width=90, elem_id="stop", visible=False)
    with gr.Row(elem_id="ways-back"):
        undo = gr.Button("Undo", size="sm", min_width=70, elem_id="undo")
        redo = gr.Button("Redo", size="sm", min_width=70, elem_id="redo")
        retry = gr.Button("Retry", size="sm", min_width=70, elem_id="retry")
        branch = gr.Button("Branch", size="sm", min_width=70, elem_id="branch")
    with gr.Row(elem_id="examples") as tries:
        examples = [gr.Button(request, size="sm", min_width=120) for request in requests]
    approvals = gr.CheckboxGroup(_ASKS, label="Ask me before", elem_id="approvals")
    return ConversationParts(
        chat=chat,
        notice=notice,
        question=question,
        asked=asked,
        approve=approve,
        instead=instead,
        reject=reject,
        choices=choices,
        give_up=give_up,
        cut_off=cut_off,
        resume=resume,
        forget=forget,
        attached=attached,
        text=text,
        send=send,
        stop=stop,
        undo=undo,
        redo=redo,
        branch=branch,
        retry=retry,
        tries=tries,
        examples=examples,
        approvals=approvals,
    )


def _side() -> SideParts:
    with gr.Accordion("Steps of this turn", open=True):
        steps = gr.HTML(steps_html(()), elem_id="steps")
    with gr.Accordion("Pictures", open=True):
        pictures = gr.HTML(
            {"images": [], "selected": None}, elem_id="pictures", html_template=_PICTURES,
            js_on_load="genllava.pictures(element, props, watch)",
        )  # fmt: skip
        lineage = gr.Button("Where it comes from", size="sm", elem_id="lineage")
        tree = gr.HTML("", elem_id="tree")
    with gr.Accordion("Threads", open=True):
        threads = gr.Radio([], label="Threads", show_label=False, elem_id="threads")
        current = gr.Textbox(visible=False)  # the name of the thread that is open
        with gr.Row():
            new = gr.Button("New", size="sm", min_width=70, elem_id="new")
            delete = gr.Button("Delete", size="sm", min_width=70, variant="stop", elem_id="delete")
        with gr.Row():
            title = gr.Textbox(
                label="Title", show_label=False, placeholder="A title for this thread", max_length=LONGEST, scale=3,
                elem_id="title",
            )  # fmt: skip
            rename = gr.Button("Rename", size="sm", min_width=70, scale=1, elem_id="rename")
    dark = gr.Button("Dark or light", size="sm", elem_id="dark")
    return SideParts(
        steps=steps,
        pictures=pictures,
        lineage=lineage,
        tree=tree,
        threads=threads,
        current=current,
        new=new,
        delete=delete,
        title=title,
        rename=rename,
        dark=dark,
    )


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
  <fieldset class="numbers" aria-describedby="numbers-help">
    <legend>A part by numbers, in percent of the picture</legend>
    <label>Left<input type="number" min="0" max="100" step="any"></label>
    <label>Top<input type="number" min="0" max="100" step="any"></label>
    <label>Right<input type="number" min="0" max="100" step="any"></label>
    <label>Bottom<input type="number" min="0" max="100" step="any"></label>
    <p id="numbers-help">Left and top alone mean the thing there. Enter goes to your request.</p>
  </fieldset>
  <div class="stage"><img class="whole" alt=""><canvas class="over"></canvas></div>
  <p class="region" role="status"></p>
</div>
"""
"""What scripts fill; they are in `assets/page.js`."""
