"""A vision-language model and its processor: it answers, calls tools, weighs choices, and gives its states."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from os import PathLike
from typing import Any, cast

import torch
from torch import Tensor

from genllava.errors import InvalidRequest
from genllava.pipeline_output import Counters
from genllava.vision_language.decoding import TextStream, Watch, check_finite, check_options, seeded
from genllava.vision_language.loading import load_model, load_processor
from genllava.vision_language.messages import ChatTemplate, Message
from genllava.vision_language.prefix_cache import PrefixCache, common_prefix
from genllava.vision_language.reading import Prompt, Reader
from genllava.vision_language.reply import Reply
from genllava.vision_language.tool_formats import ToolFormat, Tools, response_template_format

Conversation = Sequence[Message]


class VisionLanguage:
    """Any transformers image-text-to-text model, spoken to through its own processor and chat template.

    Messages are Hugging Face's, with pictures as PIL images. One thread at a time may use it.

    Args:
        model: from `AutoModelForImageTextToText`.
        processor: from `AutoProcessor`. A tokenizer without a padding token gets its end token as one.
        tool_format: how the model writes tool calls (a name in `FORMATS`), where its chat template does not show it.

    Attributes:
        counters: tokens read and written, pictures that went through the vision tower.

    Raises:
        CheckpointError: there is no chat template, or no such format.
    """

    def __init__(self, model: Any, processor: Any, *, tool_format: str | None = None) -> None:
        self.model, self.processor, self.tokenizer = model, processor, processor.tokenizer
        self.counters = Counters()
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self._set_up(tool_format)

    def _set_up(self, tool_format: str | None) -> None:
        names = [f"{kind}_token_{end}" for kind in ("image", "video", "audio") for end in ("id", "index")]
        media = {index for name in names if isinstance(index := getattr(self.model.config, name, None), int)}
        media_tokens = self.tokenizer.convert_ids_to_tokens([index for index in media if index < len(self.tokenizer)])
        self.template = ChatTemplate(self.processor, media_tokens, tool_format)
        self.reader = Reader(self.model, self.template, self.counters)

    @classmethod
    def from_pretrained(
        cls,
        source: str | PathLike[str],
        *,
        torch_dtype: torch.dtype | str = "auto",
        device: torch.device | str | None = None,
        device_map: Any = None,
        quantization_config: Any = None,
        variant: str | None = None,
        processor: str | PathLike[str] | None = None,
        chat_template: str | None = None,
        tool_format: str | None = None,
        **hub: Any,
    ) -> VisionLanguage:
        """Load a model and its processor from a folder or the Hugging Face hub.

        Args:
            source: folder, or id on the hub.
            torch_dtype: of the weights; "auto" for that of the checkpoint.
            device: where the model goes, if not by `device_map`. None leaves it on the CPU.
            device_map: transformers' own.
            quantization_config: transformers' own.
            variant: transformers' own.
            processor: where the processor is, if not beside the model.
            chat_template: Jinja text, in place of the checkpoint's own.
            tool_format: how it writes tool calls, where its template does not show it.
            **hub: `revision`, `token`, `cache_dir`, `local_files_only`, `attn_implementation`, ...

        Raises:
            CheckpointError: it is no vision-language model, or a part is missing, unsafe or does not fit.
        """
        options = {"torch_dtype": torch_dtype, "device_map": device_map, "variant": variant, **hub}
        options["quantization_config"] = quantization_config
        model = load_model(source, **options)
        if device is not None:
            model = model.to(device)
        reads = load_processor(source if processor is None else processor, chat_template, **hub)
        return cls(model, reads, tool_format=tool_format)

    @property
    def device(self) -> torch.device:
        """Where the model reads its inputs."""
        return self.reader.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the model's weights."""
        return cast(torch.dtype, self.model.dtype)

    @property
    def hidden_size(self) -> int:
        """Width of the language model's states."""
        return int(self.model.config.get_text_config().hidden_size)

    @property
    def max_length(self) -> int | None:
        """How many tokens a conversation and its answer may have together; None where the config does not say."""
        length = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return int(length) if length else None

    @property
    def end_token(self) -> str:
        """The token that ends an answer: of several, the one that the chat template has behind it."""
        ends, after = self.tokenizer.convert_ids_to_tokens(sorted(self._ends({}))), self.template.after_answer
        return str(min(ends, key=lambda end: after.find(end) if end in after else len(after)))

    @property
    def supports_tools(self) -> bool:
        """Whether the chat template tells the model which tools there are."""
        return self.template.supports_tools

    @property
    def tool_results_show_images(self) -> bool:
        """Whether the chat template shows pictures in tools' results."""
        return self.template.tool_results_show_images

    @property
    def tool_format(self) -> ToolFormat:
        """How the model writes tool calls.

        Raises:
            CheckpointError: its template does not show it; then name it with `tool_format=`.
        """
        return self.template.tool_format

    def new_cache(self) -> PrefixCache:
        """For the turns of one conversation: given to each call, it has only what is new read."""
        return PrefixCache()

    def chat(
        self,
        messages: Conversation | Sequence[Conversation],
        *,
        tools: Tools | None = None,
        max_new_tokens: int = 1024,
        on_text: Callable[[str], None] | None = None,
        cancel: Callable[[], bool] | None = None,
        cache: PrefixCache | None = None,
        prefix: str = "",
        stop: Sequence[str] = (),
        seed: int | None = None,
        **sampling: Any,
    ) -> Any:
        """Answer a conversation, or several at once.

        Args:
            messages: a conversation, or a list of them (read in one batch).
            tools: OpenAI's function specifications.
            max_new_tokens: most tokens to write; never more than fit into the model's context.
            on_text: called with the words so far, each time there are more; one conversation only.
            cancel: asked before every token.
            cache: what was read of this conversation before; one conversation only.
            prefix: the assistant's words so far, after which it goes on; not part of the reply.
            stop: tokens besides the model's own at which an answer ends; not part of the reply.
            seed: for sampling. It sets the process's random state for the time of the call, and puts it back.
            **sampling: `generate()`'s own options; what is not given is as the checkpoint's generation_config says.

        Returns:
            A `Reply`; a list of them for a list of conversations.

        Raises:
            InvalidRequest: messages, tools or options cannot be served.
            ImageRejected: the image processor does not take a picture.
            NonFiniteError: the model computed NaN.
            Cancelled: `cancel()` was true. What was read stays in `cache`.
        """
        rows, several = self._rows(messages)
        if several and (on_text is not None or cache is not None):
            raise InvalidRequest("on_text and cache are for one conversation, not for a list of them")
        check_options(sampling)
        prompts = [self._prompt(row, tools, prefix) for row in rows]
        inputs = self.reader.encode(prompts)
        length, most = inputs["input_ids"].shape[1], self.max_length or 2**31
        if length >= most:
            raise InvalidRequest(f"the conversation has {length} tokens, the model reads at most {most}: shorten it")
        form = None if not tools else response_template_format(self.tokenizer, prompts[0].text) or self.tool_format
        ends = self._ends(sampling) | set(self.tokenizer.convert_tokens_to_ids(list(stop)))
        options = {"pad_token_id": self.tokenizer.pad_token_id, "eos_token_id": sorted(ends), **sampling}
        options["max_new_tokens"] = min(max_new_tokens, most - length)
        if "stop_strings" in sampling:
            options["tokenizer"] = self.tokenizer
        if on_text is not None:
            options["streamer"] = TextStream(lambda ids: self._shown(ids, form, tools), ends, on_text)
        watch = Watch(cancel)
        watch.ask()
        try:
            with seeded(seed, self.device):
                written = self.reader.generate(inputs, prompts, cache, watch, **options)
        except (ValueError, TypeError) as error:
            if not sampling and on_text is None:
                raise
            raise InvalidRequest(f"generate() does not take these options: {error}") from error
        replies = [self._reply(row[length:].tolist(), ends, form, tools) for row in written]
        for reply, mask in zip(replies, inputs["attention_mask"], strict=True):
            reply.prompt_tokens = int(mask.sum())
            self.counters.decoded_tokens += reply.new_tokens
        if on_text is not None:
            options["streamer"].show(replies[0].text)
        return replies if several else replies[0]

    def count(self, messages: Conversation) -> int:
        """How many tokens a conversation has, those of its pictures included; nothing is read.

        Raises:
            InvalidRequest, ImageRejected: as for `chat`.
        """
        return int(self.reader.encode([self._prompt(messages, None)])["input_ids"].shape[1])

    def score(
        self,
        messages: Conversation,
        choices: Sequence[str],
        *,
        tools: Tools | None = None,
        cache: PrefixCache | None = None,
        prefix: str = "",
    ) -> list[float]:
        """How likely each of some texts is as what the assistant says next.

        Args:
            messages: one conversation; its pictures are seen.
            choices: texts, scored as they are, white space included.
            tools: as in `chat`.
            cache: as in `chat`.
            prefix: as in `chat`.

        Returns:
            The mean log-likelihood per token of each, in nats.

        Raises:
            InvalidRequest: there is no choice, or an empty one.
        """
        if isinstance(choices, str) or not choices or not all(choices):
            raise InvalidRequest("score() needs a list of texts that are not empty")
        prompt = self._prompt(messages, tools, prefix)
        cache = self.new_cache() if cache is None else cache
        before, *rows = [self.reader.tokens(prompt.text + choice) for choice in ("", *choices)]
        inputs = self.reader.encode([Prompt(prompt.text + choices[0], prompt.pictures)])
        scores: list[float] = []
        for row in rows:
            given = self.reader.with_ending(inputs, rows[0], row)
            count = len(row) - common_prefix(before, row)
            output = self.reader.outputs(given, prompt, cache, count + 1)
            logits = output.logits[0, -count - 1 : -1].float()
            check_finite(logits)
            chosen = given["input_ids"][0, -count:].to(logits.device)
            scores.append(float(logits.log_softmax(-1).gather(-1, chosen[:, None]).mean()))
        return scores

    def query_states(
        self,
        messages: Conversation | Sequence[Conversation],
        prefix: str,
        queries: Sequence[str],
        *,
        layers: Sequence[int] = (-1,),
        cache: PrefixCache | None = None,
        grad: bool = False,
    ) -> Tensor:
        """The language model's states at query tokens that follow the conversation.

        Args:
            messages: one conversation, or a list of B.
            prefix: the assistant's words before the queries.
            queries: N tokens of `add_tokens`.
            layers: which states: 0 are the embeddings, -1 the last layer's. Those of several are concatenated.
            cache: as in `chat`, for one conversation without gradients.
            grad: let gradients flow.

        Returns:
            [B, N, D * len(layers)], in the model's dtype.

        Raises:
            InvalidRequest: a query is not a token of its own.
        """
        rows, several = self._rows(messages)
        if cache is not None and (several or grad):
            raise InvalidRequest("cache is for one conversation without gradients")
        prompts = [self._prompt(row, None, prefix + "".join(queries)) for row in rows]
        inputs = self.reader.encode(prompts, padding_side="right")
        ends, count = inputs["attention_mask"].sum(1).tolist(), len(queries)
        wanted = self.tokenizer.convert_tokens_to_ids(list(queries))
        found = [row[end - count : end].tolist() for row, end in zip(inputs["input_ids"], ends, strict=True)]
        if not count or any(row != wanted for row in found):
            raise InvalidRequest("queries must be tokens of their own: call add_tokens(queries) first")
        if cache is not None:
            states = self.reader.outputs(inputs, prompts[0], cache, count, output_hidden_states=True).hidden_states
            return torch.cat([states[layer][:, -count:] for layer in layers], dim=-1)
        keep = {"logits_to_keep": 1} if "logits_to_keep" in self.reader.accepted else {}
        with nullcontext() if grad else torch.no_grad():
            states = self.model(**inputs, **keep, output_hidden_states=True, use_cache=False).hidden_states
        self.reader.count(sum(ends), sum(len(prompt.pictures) for prompt in prompts))
        return torch.stack(
            [torch.cat([states[layer][i, end - count : end] for layer in layers], -1) for i, end in enumerate(ends)]
        )

    def add_tokens(self, tokens: Sequence[str]) -> None:
        """Give the tokenizer special tokens that it lacks, and the model a row for each; the same in every process.

        What it reads of a token is drawn like its other rows. New rows of an output layer of its own are zero, so that
        no token is written before it was trained; where input and output share their rows they cannot be.
        """
        known = self.tokenizer.get_vocab()
        new = [token for token in tokens if token not in known]
        if not new:
            return
        self.tokenizer.add_tokens(new, special_tokens=True)
        ids = self.tokenizer.convert_tokens_to_ids(new)
        before = self.model.get_input_embeddings().weight.shape[0]
        if len(self.tokenizer) > before:
            # Rows made from the mean of the others would be equal to each other once rounded to half precision.
            with seeded(ids[0], self.device):
                self.model.resize_token_embeddings(len(self.tokenizer), mean_resizing=False)
        weight, head = self.model.get_input_embeddings().weight, self.model.get_output_embeddings()
        if weight.is_floating_point() and weight.device.type != "meta":
            with torch.no_grad():
                rows = torch.randn(len(ids), weight.shape[1], generator=torch.Generator().manual_seed(ids[0]))
                weight[ids] = (rows * float(weight[: ids[0]].float().std())).to(weight)
                if head is not None and head.weight is not weight:
                    head.weight[before:] = 0
        self._set_up(self.template.chosen_format)

    def _rows(self, messages: Any) -> tuple[list[Conversation], bool]:
        """The conversations, and whether they were given as a list."""
        several = isinstance(messages, Sequence) and bool(messages) and isinstance(messages[0], list | tuple)
        return list(messages) if several else [messages], several

    def _prompt(self, messages: Conversation, tools: Tools | None, words: str = "") -> Prompt:
        if tools and not self.supports_tools:
            raise InvalidRequest("the model's chat template has no tools: offer them as choices to score")
        clean, pictures = self.template.checked(messages)
        offered = self.template.neutral(list(tools)) if tools else None
        return Prompt(self.template.render(clean, offered) + words, pictures)

    def _ends(self, sampling: Mapping[str, Any]) -> set[int]:
        """Tokens that end an answer: the caller's, else the checkpoint's, else the tokenizer's."""
        owners = (sampling.get("eos_token_id"), self.model.generation_config.eos_token_id, self.tokenizer.eos_token_id)
        ends: Any = next((ends for ends in owners if ends is not None), [])
        return {int(end) for end in (ends if isinstance(ends, list | tuple | set) else [ends])}

    def _reply(self, ids: list[int], ends: set[int], form: ToolFormat | None, tools: Tools | None) -> Reply:
        end = next((index for index, token in enumerate(ids) if token in ends), None)
        said = ids[:end]
        while end is None and said and said[-1] == self.tokenizer.pad_token_id:
            said.pop()  # rows of a batch that stopped at a stop string are filled up
        reply = Reply(self._words(said), raw=self._raw(said))
        reply.new_tokens, reply.finished = len(said) + (end is not None), end is not None
        if form is not None:
            parsed = form.parse(reply.raw, tools or [])
            reply.tool_calls, reply.invalid = parsed.calls, parsed.invalid
            if parsed.words is not None:
                reply.text = parsed.words
            elif parsed.start is not None:
                reply.text = self._without_special(reply.raw[: parsed.start])
        return reply

    def _shown(self, ids: list[int], form: ToolFormat | None, tools: Tools | None) -> str | None:
        """The words of an answer that is being written, without what may become a tool call; None: as before."""
        if form is None:
            return self._words(ids)
        raw = self._raw(ids)
        if not form.markers:  # a reader of its own; half a call is an error to it
            return form.parse(raw, tools or []).words
        return self._without_special(raw[: form.shown(raw)])

    def _words(self, ids: list[int]) -> str:
        text = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text).removeprefix(self.template.gap)

    def _raw(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _without_special(self, text: str) -> str:
        for token in self.tokenizer.all_special_tokens:
            text = text.replace(str(token), "")
        return text.removeprefix(self.template.gap).rstrip()
