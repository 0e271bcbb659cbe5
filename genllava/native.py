"""Language models that have not learnt our token stream are asked in the chat format that they know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genllava.decoding import write
from genllava.denoising import CancelCheck
from genllava.errors import InvalidRequest
from genllava.language import LanguageModel
from genllava.segments import MAX_ANSWER_TOKENS
from genllava.stream import TokenStream

if TYPE_CHECKING:
    from genllava.pipeline_genllava import GenLlavaPipeline


def require_stream(pipeline: GenLlavaPipeline) -> None:
    """Raises:
    InvalidRequest: the language model cannot write task tokens and plans.
    """
    if pipeline.config["native_prompts"]:
        raise InvalidRequest("this language model has not learnt task tokens: it needs finetuning first")


def prompt_ids(language: LanguageModel, question: str, pictures: int) -> list[int]:
    """Token ids of a question with pictures before it, as the processor's chat template has it.

    A processor without a template gets LLaVA 1.5's `USER: ... ASSISTANT:`.
    """
    processor: Any = language.processor
    if processor.chat_template is not None:
        content = [
            *({"type": "image"} for _ in range(pictures)),
            {"type": "text", "text": question},
        ]
        prompt = processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=False,
        )
    else:
        prompt = f"USER: {'<image>' * pictures}\n{question} ASSISTANT:"
    bos = language.tokenizer.bos_token
    ids = language.tokenizer.encode(prompt, add_special_tokens=bos is None or not prompt.startswith(bos))
    image = language.llava.config.image_token_id
    return [copy for token in ids for copy in [token] * (language.tokens_per_image if token == image else 1)]


def write_answers(stream: TokenStream, cancel: CancelCheck | None) -> list[str]:
    """Let the model answer in every row, up to its tokenizer's end of sequence."""
    end = stream.language.tokenizer.eos_token_id
    texts = write(stream, stops=[end], max_tokens=MAX_ANSWER_TOKENS, cancel=cancel)
    return [stream.language.text(ids) for ids in texts]
