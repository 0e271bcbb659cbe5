"""The processor: tokenizer, picture preprocessing, and the chat template of our token stream."""

from __future__ import annotations

from os import PathLike
from typing import Final

from transformers import LlavaProcessor, PreTrainedTokenizerBase, SiglipImageProcessorPil

from genllava.protocols.shapes.tokens import (
    BOS,
    EOI,
    EOS,
    I2T,
    IMAGE,
    QUERY,
    SEEN,
    SOI,
    SPECIAL_TOKENS,
    USER_END,
    USER_START,
)

_CLEAN: Final = "".join(
    f" | replace('{token}', ' ')" for token in SPECIAL_TOKENS if token == token.lower()
)  # what can still spell a special token after lower-casing; keep equal to layout.normalize_user_text

CHAT_TEMPLATE: Final = (
    "{%- set count = namespace(images=0) -%}"
    f"{{{{- '{BOS}' -}}}}"
    "{%- for message in messages -%}"
    "{%- if message.content is string -%}"
    "{%- set parts = [{'type': 'text', 'text': message.content}] -%}"
    "{%- else -%}{%- set parts = message.content -%}{%- endif -%}"
    "{%- if message.role == 'user' -%}"
    f"{{{{- '{USER_START}' -}}}}"
    "{%- for part in parts if part.type == 'image' -%}"
    "{%- set count.images = count.images + 1 -%}"
    f"{{{{- 'image ' ~ count.images ~ '{IMAGE}' -}}}}"
    "{%- endfor -%}"
    "{%- for part in parts if part.type == 'text' -%}"
    f"{{{{- (part.text | lower{_CLEAN}).split() | join(' ') -}}}}"
    "{%- endfor -%}"
    f"{{{{- '{USER_END}' -}}}}"
    "{%- else -%}"
    "{%- for part in parts -%}"
    "{%- if part.type in ['text', 'drawing'] and (loop.first or loop.previtem.type != 'seen') -%}"
    f"{{{{- '{SEEN}' -}}}}"
    "{%- endif -%}"
    "{%- if part.type == 'request' -%}"  # {'type': 'request', 'text': 'make the circle green'}
    f"{{{{- '{USER_START}' ~ part.text ~ '{USER_END}' -}}}}"
    "{%- elif part.type == 'seen' -%}"  # {'type': 'seen', 'text': 'image 1: ...'}
    "{{- part.text -}}"
    "{%- if loop.last or loop.nextitem.type != 'request' -%}"
    f"{{{{- '{SEEN}' -}}}}"
    "{%- endif -%}"
    "{%- elif part.type == 'text' -%}"
    f"{{{{- '{I2T}' ~ part.text -}}}}"
    "{%- elif part.type == 'drawing' -%}"  # {'type': 'drawing', 'task': 'T2I', 'plan': ..., 'queries': N}
    f"{{{{- '[' ~ part.task ~ ']' ~ part.plan ~ '{SOI}' ~ '{QUERY}' * part.queries ~ '{EOI}' -}}}}"
    "{%- elif part.type == 'image' -%}"
    "{%- set count.images = count.images + 1 -%}"
    f"{{{{- 'image ' ~ count.images ~ '{IMAGE}' -}}}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    f"{{{{- '{EOS}' -}}}}"
    "{%- endif -%}"
    "{%- endfor -%}"
)
"""Renders messages to the text whose ids are those of `genllava.layout`.

User content: `image` parts, then one `text` part; of what a user typed the package first makes plain sentences
(`genllava.sentences`). Assistant content: a `request` part for each of several things that are asked, and for each a
`seen` part where there is something to see, and a `text` part (an answer), or a `drawing` part with the `image` part
that it made after it. Where a `request` follows on a `seen`, both are met at once.
"""


def build_processor(tokenizer: PreTrainedTokenizerBase, image_size: int, patch_size: int) -> LlavaProcessor:
    """A processor for a SigLIP tower that takes `image_size` x `image_size` pixels in `patch_size` patches.

    Pictures are resized with bicubic interpolation to pixel values in -1..1.
    """
    pictures = SiglipImageProcessorPil(
        size={"height": image_size, "width": image_size}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    return LlavaProcessor(  # type: ignore[no-untyped-call]
        image_processor=pictures,
        tokenizer=tokenizer,
        patch_size=patch_size,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE,
        image_token=IMAGE,
    )


def load_processor(source: str | PathLike[str]) -> LlavaProcessor:
    """A saved processor, its pictures resized by Pillow.

    Left alone, transformers would resize with torchvision where that is installed, to slightly other pixels,
    and the same seed would give another picture on another machine.

    Args:
        source: folder or hub id.
    """
    processor: LlavaProcessor = LlavaProcessor.from_pretrained(source, backend="pil")
    return processor
