"""How language models are spoken to. A pipeline's configuration names its protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genllava.errors import CheckpointError

if TYPE_CHECKING:
    from genllava.protocols.base import Protocol

NAMES = ("tool_calls", "choices", "genllava", "shapes")


def make_protocol(pipeline: Any) -> Protocol:
    """The protocol of a `GenLlavaPipeline`, by its configuration.

    Raises:
        CheckpointError: there is none of that name, or the parts do not fit it.
    """
    name, config = pipeline.config["protocol"], pipeline.config
    if name == "shapes":
        from genllava.protocols.shapes.protocol import ShapesProtocol

        settings = {**config["drawing_options"], **config["protocol_options"], "bridge": config["bridge"]}
        head = pipeline.generation_head
        parts = pipeline.vlm, pipeline.processor, pipeline.decoder, head, settings, pipeline.counters
        return ShapesProtocol(*parts, pipeline.controlnets)
    from genllava.protocols.choices import ChoicesProtocol
    from genllava.protocols.genllava import GenLlavaProtocol
    from genllava.protocols.tool_calls import ToolCallsProtocol

    if type(pipeline.decoder).__name__ == "ShapesDecoderPipeline":
        raise CheckpointError(
            f"this decoder is the shapes model's, and the protocol {name!r} is not: its settings do not come with its "
            "parts, so take both by GenLlavaPipeline.from_pipe(...)"
        )
    parts = pipeline.parts()
    if name is None:
        return (ToolCallsProtocol if parts.vision_language.supports_tools else ChoicesProtocol)(parts)
    for protocol in (ToolCallsProtocol, ChoicesProtocol, GenLlavaProtocol):
        if protocol.name == name:
            return protocol(parts)
    raise CheckpointError(f"unknown protocol {name!r}: {', '.join(NAMES)}")
