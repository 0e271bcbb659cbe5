"""The part of the page of tools that lists the models which they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from genllava_tools.models import Model, models
from genllava_tools.tool import VisualTool

_HEAD: Final = """\
## Models

Tools that run a public checkpoint name it by what it does. Nothing is downloaded by itself: `hf download NAME` does it
once, and a tool without its checkpoint says so. Another one is chosen by `genllava_tools.use_model("depth", "me/mine")`
or `GENLLAVA_DEPTH_MODEL=me/mine`: a folder, or owner/name on the hub. It is loaded when a tool first needs it, on the
accelerator where there is one, once for all tools and threads; where memory is short, the one that was not used for
longest is let go (`release_models()` lets go of all). Checkpoints of transformers are read as safetensors, and no code
of theirs is run. One of another kind, or with weights that are missing or NaN, is a `CheckpointError` that says what to
do.

| model | default | tools that need it | tools that do more with it |
|---|---|---|---|"""


def models_section(tools: Sequence[VisualTool]) -> str:
    """The models that tools run, in Markdown: name, default checkpoint, which tools, and how to choose another."""
    rows = [f"| {_row(model, tools)} |" for model in models()]
    return "\n".join([_HEAD, *rows, ""])


def helped_by(tool: VisualTool) -> str:
    """In a sentence, the models with which a tool does more than without; empty where there are none."""
    names = [model.name for model in models() if tool.name in model.helps]
    return f"Does more with the {' and the '.join(names)} model{'s' if len(names) > 1 else ''}." if names else ""


def _row(model: Model, tools: Sequence[VisualTool]) -> str:
    need = model.need()
    needing = [f"`{tool.name}`" for tool in tools if any(each.remedy == need.remedy for each in tool.needs)]
    helped = [f"`{name}`" for name in model.helps]
    return " | ".join([f"`{model.name}`", f"`{model.default}`", ", ".join(needing), ", ".join(helped)])
