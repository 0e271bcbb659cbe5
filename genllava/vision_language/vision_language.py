"""A vision-language model and its processor: it answers, calls tools, weighs choices, and gives its states."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationMixin, LogitsProcessorList

from genllava.errors import InvalidRequest
from genllava.pipeline_output import Counters
from genllava.vision_language.decoding import TextStream, Watch, check_finite, check_options, seeded
from genllava.vision_language.loading import load_model, load_processor
from genllava.vision_language.messages import ChatTemplate, Message
from genllava.vision_language.prefix_cache import PrefixCache, common_prefix, digest, empty_layers
from genllava.vision_language.reading import Inputs, Prompt, Reader
from genllava.vision_language.tool_formats import InvalidCall, ToolCall, ToolFormat, response_template_format

Conversation = Sequence[Message]
Tools = Sequence[Mapping[str, Any]]


@dataclass(slots=True)
class Reply:
    """What the model said.

    Attributes:
        text: its words, without special tokens and without tool calls; otherwise as it wrote them.
        tool_calls: the tools it asks for, in order; only where tools were offered.
        raw: all that it wrote, special tokens included, without the token that ends it.
        prompt_tokens: length of what it answered, in tokens.
        new_tokens: tokens that it wrote, with the one that ends the answer.
        invalid: what stands where a tool call should but cannot be read, and why.
        finished: it ended by itself, not at `max_new_tokens`.
    """

    text: str
    tool_calls: list[ToolCall] = field(default_factory=list)
    raw: str = ""
    prompt_tokens: int = 0
    new_tokens: int = 0
    invalid: list[InvalidCall] = field(default_factory=list)
    finished: bool = True


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
        names = [f"{kind}_token_{end}" for kind in ("image", "video", "audio") for end in ("id", "index")]
        media = [index for name in names if isinstance(index := getattr(model.config, name, None), int)]
        self.template = ChatTemplate(processor, self.tokenizer.convert_ids_to_tokens(media), tool_format)
        self.reader = Reader(model, self.template)
        prepare = inspect.signature(GenerationMixin.prepare_inputs_for_generation).parameters
        self._cache_name = "cache" if "cache" in prepare else "past_key_values"

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
        allow_unexpected: bool = False,
        **hub: Any,
    ) -> VisionLanguage:
        """Load a model and its processor from a folder or the Hugging Face hub.

        Args:
            source: folder, or id on the hub.
            torch_dtype: of the weights; "auto" for that of the checkpoint.
            device: where the model goes, if not by `device_map`. None leaves it on the CPU.
            device_map, quantization_config, variant: transformers' own.
            processor: where the processor is, if not beside the model.
            chat_template: Jinja text, in place of the checkpoint's own.
            tool_format: how it writes tool calls, where its template does not show it.
            allow_unexpected: load a checkpoint that holds tensors which the model has no place for.
            **hub: `revision`, `token`, `cache_dir`, `local_files_only`, `attn_implementation`, ...

        Raises:
            CheckpointError: it is no vision-language model, or a part is missing, unsafe or does not fit.
        """
        options = {"torch_dtype": torch_dtype, "device_map": device_map, "variant": variant}
        options["quantization_config"] = quantization_config
        model = load_model(source, allow_unexpected=allow_unexpected, **options, **hub)
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
        dtype: torch.dtype = self.model.dtype
        return dtype

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
        several = bool(messages) and not isinstance(messages[0], Mapping)
        if several and (on_text is not None or cache is not None):
            raise InvalidRequest("on_text and cache are for one conversation, not for a list of them")
        check_options(sampling)
        rows: Any = messages if several else [messages]
        prompts = [self._prompt(row, tools) for row in rows]
        inputs = self.reader.encode(prompts)
        form = None if not tools else response_template_format(self.tokenizer, prompts[0].text) or self.tool_format
        ends = self._ends(sampling)
        options = {"pad_token_id": self.tokenizer.pad_token_id, "eos_token_id": sorted(ends), **sampling}
        options["max_new_tokens"] = min(max_new_tokens, self._room(inputs))
        if "stop_strings" in sampling:
            options["tokenizer"] = self.tokenizer
        if on_text is not None:
            options["streamer"] = TextStream(lambda ids: self._words(ids, form, tools), ends, on_text)
        watch = Watch(cancel)
        with seeded(seed, self.device):
            written = self._generate(inputs, prompts, cache, watch, options)
        length = inputs["input_ids"].shape[1]
        replies = [
            self._reply(row[length:].tolist(), ends, form, tools, int(mask.sum()))
            for row, mask in zip(written, inputs["attention_mask"], strict=True)
        ]
        self.counters.decoded_tokens += sum(reply.new_tokens for reply in replies)
        if on_text is not None:
            options["streamer"].show(replies[0].text)
        return replies if several else replies[0]

    def score(
        self,
        messages: Conversation,
        choices: Sequence[str],
        *,
        tools: Tools | None = None,
        cache: PrefixCache | None = None,
    ) -> list[float]:
        """How likely each of some texts is as what the assistant says next.

        Args:
            messages: one conversation; its pictures are seen.
            choices: texts, scored as they are, white space included.
            tools, cache: as in `chat`.

        Returns:
            The mean log-likelihood per token of each, in nats.

        Raises:
            InvalidRequest: there is no choice, or an empty one.
        """
        if isinstance(choices, str) or not choices or not all(choices):
            raise InvalidRequest("score() needs a list of texts that are not empty")
        prompt = self._prompt(messages, tools)
        cache = self.new_cache() if cache is None else cache
        add = not self.reader.begins_itself(prompt.text)
        tokens = [list(self.tokenizer(prompt.text + c, add_special_tokens=add)["input_ids"]) for c in ["", *choices]]
        inputs = self.reader.encode([Prompt(prompt.text + choices[0], prompt.pictures)])
        scores: list[float] = []
        for choice in tokens[1:]:
            row = self._with_tail(inputs, tokens[1], choice)
            count = len(choice) - common_prefix(tokens[0], choice)
            output = self._read(row, prompt, cache, logits_to_keep=count + 1)
            logits = output.logits[0, -count - 1 : -1].float()
            check_finite(logits)
            chosen = row["input_ids"][0, -count:].to(logits.device)
            scores.append(float(logits.log_softmax(-1).gather(-1, chosen[:, None]).mean()))
        return scores

    def _with_tail(self, inputs: Inputs, old: list[int], new: list[int]) -> Inputs:
        """Inputs made for the text tokens `old`, as they are for `new`; pictures stand only in their common part."""
        kept = inputs["input_ids"][0].tolist()
        kept = kept[: len(kept) - len(old) + common_prefix(old, new)]
        return self.reader.retokenized(inputs, [*kept, *new[common_prefix(old, new) :]])

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
        wanted = self.tokenizer.convert_tokens_to_ids(list(queries))
        several = bool(messages) and not isinstance(messages[0], Mapping)
        if cache is not None and (several or grad):
            raise InvalidRequest("cache is for one conversation without gradients")
        rows: Any = messages if several else [messages]
        prompts = [self._prompt(row, None, prefix + "".join(queries)) for row in rows]
        inputs = self.reader.encode(prompts, padding_side="right")
        ends = inputs["attention_mask"].sum(1).tolist()
        count = len(queries)
        found = [row[end - count : end].tolist() for row, end in zip(inputs["input_ids"], ends, strict=True)]
        if not count or any(row != wanted for row in found):
            raise InvalidRequest("queries must be tokens of their own: call add_tokens(queries) first")
        if cache is not None:
            states = self._read(inputs, prompts[0], cache, logits_to_keep=1, output_hidden_states=True).hidden_states
            return torch.cat([states[layer][:, -count:] for layer in layers], dim=-1)
        keep = {"logits_to_keep": 1} if "logits_to_keep" in self.reader.accepted else {}
        with nullcontext() if grad else torch.no_grad():
            states = self.model(**inputs, **keep, output_hidden_states=True, use_cache=False).hidden_states
        self._count(sum(ends), sum(len(prompt.pictures) for prompt in prompts))
        return torch.stack(
            [torch.cat([states[layer][i, end - count : end] for layer in layers], -1) for i, end in enumerate(ends)]
        )

    def add_tokens(self, tokens: Sequence[str]) -> None:
        """Give the tokenizer special tokens that it lacks, and the model a row for each, drawn like its other rows."""
        known = self.tokenizer.get_vocab()
        new = [token for token in tokens if token not in known]
        if not new:
            return
        self.tokenizer.add_tokens(new, special_tokens=True)
        before = self.model.get_input_embeddings().weight.shape[0]
        if len(self.tokenizer) > before:
            # Rows made from the mean of the others would be equal to each other once rounded to half precision.
            self.model.resize_token_embeddings(len(self.tokenizer), mean_resizing=False)
        weight = self.model.get_input_embeddings().weight
        ids = self.tokenizer.convert_tokens_to_ids(new)
        if weight.is_floating_point() and weight.device.type != "meta":
            source = torch.Generator().manual_seed(ids[0])
            with torch.no_grad():
                spread = float(weight[: min(before, ids[0])].float().std())
                rows = torch.randn(len(new), weight.shape[1], generator=source) * spread
                weight[ids] = rows.to(weight)
        self.template = ChatTemplate(self.processor, self.template.media, self.template.chosen_format)
        self.reader = Reader(self.model, self.template)

    def _prompt(self, messages: Conversation, tools: Tools | None, words: str = "") -> Prompt:
        if tools and not self.supports_tools:
            raise InvalidRequest("the model's chat template has no tools: offer them as choices to score")
        clean, pictures = self.template.checked(messages)
        offered = self.template.neutral(list(tools)) if tools else None
        return Prompt(self.template.render(clean, offered) + words, pictures)

    def _room(self, inputs: Inputs) -> int:
        """How many tokens the model's context leaves for an answer."""
        length, most = inputs["input_ids"].shape[1], self.max_length
        if most is not None and length >= most:
            raise InvalidRequest(f"the conversation has {length} tokens, and the model reads at most {most}: shorten it")
        return 2**31 - 1 if most is None else most - length

    def _ends(self, sampling: Mapping[str, Any]) -> set[int]:
        ends = sampling.get("eos_token_id")
        ends = self.model.generation_config.eos_token_id if ends is None else ends
        ends = self.tokenizer.eos_token_id if ends is None else ends
        return {int(end) for end in (ends if isinstance(ends, list | tuple) else [ends]) if end is not None}

    def _generate(
        self, inputs: Inputs, prompts: list[Prompt], cache: PrefixCache | None, watch: Watch, options: dict[str, Any]
    ) -> Tensor:
        """Run `generate()`, going on from `cache` where there is one, and leave in it what was read."""
        given, new_pictures = dict(inputs), sum(len(prompt.pictures) for prompt in prompts)
        layers = empty_layers(self.model) if cache is not None else None
        beams = options.get("num_beams") or self.model.generation_config.num_beams or 1
        kept = 0
        if cache is not None and layers is not None and beams == 1:
            given, new_pictures = self.reader.rest(prompts[0], inputs, cache)
            kept, layers = len(cache), cache.layers if len(cache) else layers
            given[self._cache_name] = layers
        watch_list = [watch, *options.pop("logits_processor", [])]
        done = False
        try:
            watch.ask()
            written: Tensor = self.model.generate(**given, **options, logits_processor=LogitsProcessorList(watch_list))
            done = True
        except (ValueError, TypeError) as error:
            raise InvalidRequest(f"generate() does not take this call: {error}") from error
        finally:
            if cache is not None:
                read = written[0].tolist() if done else watch.read[0].tolist() if watch.steps else []
                cache.keep(layers if read else None, read, [digest(picture) for picture in prompts[0].pictures])
        self._count(int(inputs["attention_mask"].sum()) - kept, new_pictures)
        return written

    def _read(self, inputs: Inputs, prompt: Prompt, cache: PrefixCache, **options: Any) -> Any:
        """The model's outputs for what of a prompt is not in `cache` yet.

        `generate()` is asked for one token, which is dropped: it alone knows every model's positions and masks.
        """
        if "logits_to_keep" not in self.reader.accepted:
            options.pop("logits_to_keep", None)
        outputs: list[Any] = []
        hook = self.model.register_forward_hook(lambda module, given, output: outputs.append(output))
        plain = {"do_sample": False, "num_beams": 1, "max_new_tokens": 1, "pad_token_id": self.tokenizer.pad_token_id}
        try:
            self._generate(inputs, [prompt], cache, Watch(), {**plain, **options})
        finally:
            hook.remove()
        return outputs[0]

    def _count(self, tokens: int, pictures: int) -> None:
        self.counters.prefilled_tokens += tokens
        self.counters.image_encodes += pictures

    def _reply(
        self, ids: list[int], ends: set[int], form: ToolFormat | None, tools: Tools | None, prompt_tokens: int
    ) -> Reply:
        end = next((index for index, token in enumerate(ids) if token in ends), None)
        said = ids if end is None else ids[:end]
        while end is None and said and said[-1] == self.tokenizer.pad_token_id:
            said = said[:-1]  # rows of a batch that stopped at a stop string are filled up
        reply = Reply(self._decode(said), raw=self._decode(said, keep_special=True), prompt_tokens=prompt_tokens)
        reply.new_tokens, reply.finished = len(said) + (end is not None), end is not None
        if form is not None:
            parsed = form.parse(reply.raw, tools or [])
            reply.tool_calls, reply.invalid = parsed.calls, parsed.invalid
            if parsed.text is not None:
                reply.text = parsed.text
            elif (parsed.calls or parsed.invalid) and parsed.start is not None:
                reply.text = self._without_special(reply.raw[: parsed.start]).rstrip()
        return reply

    def _words(self, ids: list[int], form: ToolFormat | None, tools: Tools | None) -> str:
        """The words of an answer that is being written, without what may become a tool call."""
        if form is None:
            return self._decode(ids)
        raw = self._decode(ids, keep_special=True)
        if not form.markers:
            parsed = form.parse(raw, tools or [])
            return self._decode(ids) if parsed.text is None else parsed.text
        return self._without_special(raw[: form.shown(raw)]).rstrip()

    def _decode(self, ids: list[int], keep_special: bool = False) -> str:
        text: str = self.tokenizer.decode(
            ids, skip_special_tokens=not keep_special, clean_up_tokenization_spaces=False
        )
        return text

    def _without_special(self, text: str) -> str:
        for token in self.tokenizer.all_special_tokens:
            text = text.replace(str(token), "")
        return text
