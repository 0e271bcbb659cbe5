"""What the model that runs can do, for the empty page, and requests to try with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from genllava.protocols.shapes.replies import ABILITIES, VOCABULARY
from genllava_agent.create import CALL_TOOLS
from genllava_agent.pages.markup import escaped

if TYPE_CHECKING:
    from genllava_agent.agent import VisualAgent

_SHAPES: Final = (
    "draw a large red circle at the top left and a small blue star in the center",
    "make the circle green",
    "how many shapes are there?",
    "draw a large yellow square at the top left, then tell me what is at the top left",
    "two green triangles on black",
)
_SEES: Final = ("what is this?", "what does the sign say?")
_DRAWS: Final = ("draw a lighthouse at dusk, in watercolours",)
_EDITS: Final = ("make the sky pink", "crop it to the boat")


def examples(agent: VisualAgent) -> list[str]:
    """Requests that the model can do something with."""
    if agent.engine.has_stream:
        return list(_SHAPES)
    return [*_SEES, *(_EDITS + _DRAWS if agent.engine.pipeline.image_decoder is not None else ())]


def abilities(agent: VisualAgent, name: str) -> str:
    """What the model can do, in Markdown.

    Args:
        name: what the page calls the model.
    """
    if agent.engine.has_stream:
        says = [f"{ABILITIES} {VOCABULARY}", "Of a photograph I only say that I cannot read it."]
    elif agent.engine.pipeline.image_decoder is not None:
        says = ["I can answer questions about your pictures, draw new ones, and edit them.", _tools(agent)]
    else:
        says = ["I can answer questions about your pictures. No decoder was given, so I do not draw.", _tools(agent)]
    how = "Drop a picture anywhere on this page, or say what to draw. Click a picture in the strip to point at a part."
    return "\n\n".join([f"### {escaped(name)}", *filter(None, says), how])


def _tools(agent: VisualAgent) -> str:
    """The tools that the model may call; nothing where it calls none."""
    agent.parts.decider()  # the visual tools are made for it
    names = sorted(agent.tools) if agent.engine.pipeline.protocol.name in CALL_TOOLS else []
    return f"Tools that I may call: {', '.join(names)}." if names else ""
