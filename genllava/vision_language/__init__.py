"""Any vision-language model that transformers knows, spoken to through its own processor and chat template."""

from genllava.vision_language.prefix_cache import PrefixCache
from genllava.vision_language.reply import Reply
from genllava.vision_language.tool_formats import FORMATS, InvalidCall, ToolCall, ToolFormat
from genllava.vision_language.vision_language import VisionLanguage

__all__ = ["FORMATS", "InvalidCall", "PrefixCache", "Reply", "ToolCall", "ToolFormat", "VisionLanguage"]
