"""What goes wrong with tools, besides what is wrong with arguments (`genllava.errors.InvalidRequest`).

Whoever calls a tool can mend an `InvalidRequest` or an `ImageRejected` by calling again with other arguments. The
others are final: calling again changes nothing.
"""

from __future__ import annotations

from genllava.errors import GenLlavaError, InvalidRequest


class UnknownTool(InvalidRequest):
    """There is no tool of that name."""


class EmptyControlMap(InvalidRequest):
    """A control map would be of one colour, so that it steers nothing; the message says what to do instead."""


class ToolDeclarationError(GenLlavaError):
    """A function cannot become a tool as it is written: an argument without a type, bounds or a description, say."""


class ToolNameTaken(ToolDeclarationError):
    """There is a tool of that name already."""


class ToolUnavailable(GenLlavaError):
    """A tool needs a package or weights that are not here; the message says how to get them."""


class ToolFailed(GenLlavaError):
    """A tool broke although its arguments were right: a defect of the tool. The cause is attached."""
