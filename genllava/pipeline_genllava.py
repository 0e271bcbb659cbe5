"""The model: a diffusers pipeline that understands, generates and edits pictures.

The way of a request: `_open` lays it out as tokens; in `segments` the language model writes down what it sees,
chooses the task and writes an answer or a plan; in `painting` its states at the visual queries become conditioning,
latents, and a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any, Unpack, overload

import torch
from diffusers import UNet2DConditionModel
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from torch import Tensor
from transformers import (
    CLIPTextModel,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerBase,
)

import genllava.autoencoder_patch  # noqa: F401  (diffusers loads our classes from imported modules only)
from genllava import checkpoints, layout, native, painting, segments
from genllava.captions import check_captions
from genllava.compatibility import check_parts
from genllava.denoising import CancelCheck
from genllava.errors import ImageRejected, InvalidRequest
from genllava.generation_head import GenerationHead
from genllava.image_decoder import Picture
from genllava.images import content_key, letterbox, load_image
from genllava.language import LanguageModel
from genllava.options import DrawingOptions, Seed, Settings, resolve_seeds
from genllava.pipeline_output import Counters, Drawing, Stopwatch, Understanding
from genllava.processing import load_processor
from genllava.requests import Request, Seen, given_plans, pair_requests, task_choices
from genllava.stream import TokenStream
from genllava.tokens import BOS, I2I, I2T, SEEN, SOI, T2I

if TYPE_CHECKING:
    from genllava.conversation import Conversation


class GenLlavaPipeline(DiffusionPipeline):
    """LLaVA, a generation head and an image decoder, in one directory with a standard subfolder for each.

    Args:
        llava: the language model with its eyes; a stock one, loadable by transformers alone.
        processor: its tokenizer with our special tokens, picture preprocessing, chat template.
        unet: draws; with twice the latent channels it edits as well.
        vae: AutoencoderKL, AutoencoderTiny or our AutoencoderPatch.
        scheduler: any of diffusers'.
        generation_head: conditions the UNet on the language model's states.
        text_encoder, tokenizer: condition the UNet on the plan's words (`conditioner="caption"`).
        edit_unet: edits, where `unet` only draws.
        conditioner, num_inference_steps, guidance_scale, image_guidance_scale: see `DrawingOptions`.
        resolution: side of the pictures that are made, in pixels.
        scale_source_latents: whether the editing UNet takes its source scaled like its target. Ours does,
            public InstructPix2Pix UNets do not.
        edits_from_plans: plans say all that the model's pictures show, so that edits are drawn from them alone (see
            `genllava.placing`), where it is known what their source shows.
        plan_temperature: of the plans of new pictures.
        native_prompts: the language model has not learnt our stream: questions are put in its own chat
            format, and the plan of a picture is the request itself.

    Raises:
        CheckpointError: the parts do not fit together.

    Attributes:
        counters: work done so far.
    """

    _optional_components = ["generation_head", "text_encoder", "tokenizer", "edit_unet"]  # noqa: RUF012

    llava: LlavaForConditionalGeneration
    processor: LlavaProcessor
    unet: Any
    vae: Any
    scheduler: Any
    generation_head: GenerationHead | None
    text_encoder: CLIPTextModel | None
    tokenizer: PreTrainedTokenizerBase | None
    edit_unet: Any

    def __init__(
        self,
        llava: LlavaForConditionalGeneration,
        processor: LlavaProcessor,
        unet: UNet2DConditionModel,
        vae: torch.nn.Module,
        scheduler: object,
        generation_head: GenerationHead | None = None,
        text_encoder: CLIPTextModel | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        edit_unet: UNet2DConditionModel | None = None,
        conditioner: str = "head",
        num_inference_steps: int = 20,
        guidance_scale: float = 2.0,
        image_guidance_scale: float = 1.0,
        resolution: int = 128,
        scale_source_latents: bool = True,
        edits_from_plans: bool = False,
        plan_temperature: float = 0.7,
        native_prompts: bool = False,
    ) -> None:
        super().__init__()
        self.register_modules(  # type: ignore[no-untyped-call]
            llava=llava,
            processor=processor,
            unet=unet,
            vae=vae,
            scheduler=scheduler,
            generation_head=generation_head,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            edit_unet=edit_unet,
        )
        self.register_to_config(  # type: ignore[no-untyped-call]
            conditioner=conditioner,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            image_guidance_scale=image_guidance_scale,
            resolution=resolution,
            scale_source_latents=scale_source_latents,
            edits_from_plans=edits_from_plans,
            plan_temperature=plan_temperature,
            native_prompts=native_prompts,
        )
        self.counters = Counters()
        check_parts(self)

    # --- saving and loading ---

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | PathLike[str] | None = None,
        *,
        device: str | torch.device | None = None,
        **kwargs: Any,
    ) -> GenLlavaPipeline:
        """Load a saved pipeline; only safetensors files are read.

        Args:
            pretrained_model_name_or_path: a folder written by `save_pretrained`, `owner/name` on the hub, or
                None for the model that ships with this package.
            device: where to put it.
            **kwargs: as for `DiffusionPipeline.from_pretrained`; `torch_dtype` is float32 unless said
                otherwise.

        Raises:
            CheckpointError: files are missing, unsafe or damaged, or the parts do not fit together.
            InvalidRequest: `trust_remote_code`; no code is taken from a checkpoint.
        """
        if kwargs.pop("trust_remote_code", False):
            raise InvalidRequest("code that comes with a checkpoint is not run: leave out trust_remote_code")
        folder = checkpoints.resolve(cls, pretrained_model_name_or_path, kwargs)
        kwargs["dtype"] = kwargs.pop("torch_dtype", None) or kwargs.get("dtype") or torch.float32
        with checkpoints.reading(folder):
            kwargs.setdefault("processor", load_processor(folder / "processor"))
            pipeline: GenLlavaPipeline = super().from_pretrained(str(folder), use_safetensors=True, **kwargs)
        checkpoints.check_weights(pipeline, folder)
        if device is not None:
            pipeline.to(device)
        checkpoints.align_weights(pipeline)
        checkpoints.check_null_embeds(pipeline)
        return pipeline

    def save_pretrained(  # type: ignore[override]
        self, save_directory: str | PathLike[str], **kwargs: Any
    ) -> None:
        """Save as safetensors, with the null conditioning brought up to date.

        Raises:
            InvalidRequest: `safe_serialization=False`.
        """
        if not kwargs.pop("safe_serialization", True):
            raise InvalidRequest("weights are saved as safetensors only")
        self.refresh_null_embeds()
        super().save_pretrained(str(save_directory), **kwargs)

    @staticmethod
    def assemble(
        llava: str | PathLike[str],
        diffusion: str | PathLike[str],
        editor: str | PathLike[str] | None = None,
        **options: Any,
    ) -> GenLlavaPipeline:
        """A pipeline of public parts without training of ours; see `genllava.assembly.assemble`."""
        from genllava.assembly import assemble

        return assemble(llava, diffusion, editor, **options)

    @torch.no_grad()
    def null_embeds(self) -> Tensor:
        """[1, L, C]: what the generation head makes of a request without words, `<s> [T2I] [SOI] <query>*N`.

        Raises:
            InvalidRequest: there is no generation head.
        """
        if self.generation_head is None:
            raise InvalidRequest("this pipeline has no generation head")
        stream = TokenStream(self.language)
        stream.append(0, [self.language.id(token) for token in (BOS, T2I, SOI)])
        states = stream.query_states()
        embeds: Tensor = self.generation_head(states.to(self.generation_head.dtype))
        return embeds

    def refresh_null_embeds(self) -> None:
        """Store `null_embeds` in the generation head, after its weights or the language model's changed."""
        if self.generation_head is not None:
            self.generation_head.null_embeds.copy_(self.null_embeds())

    # --- the verbs ---

    @overload
    def understand(self, images: Any, question: str, *, cancel: CancelCheck | None = None) -> Understanding: ...
    @overload
    def understand(
        self, images: Any, question: list[str], *, cancel: CancelCheck | None = None
    ) -> list[Understanding]: ...
    @torch.no_grad()
    def understand(
        self,
        images: Seen | Sequence[Seen] | Sequence[Seen | Sequence[Seen] | None] | None,
        question: str | list[str],
        *,
        cancel: CancelCheck | None = None,
    ) -> Understanding | list[Understanding]:
        """Answer questions about pictures.

        Args:
            images: for one question, None, a picture or several; for a list of questions, a list of those.
            question: one, or a list of them.
            cancel: asked before every token.

        Raises:
            ImageRejected, InvalidRequest, Cancelled, NonFiniteError.
        """
        requests = pair_requests(images, question, self.picture)
        clock = Stopwatch()
        stream = self._open(requests)
        if self.config["native_prompts"]:
            rows: list[dict[str, float]] = [{I2T: 1.0}] * len(requests)
            seen = [""] * len(requests)
            texts = native.write_answers(stream, cancel)
        else:
            seen = [looked.seen for looked in segments.look(stream, cancel=cancel)]
            rows = segments.task_probabilities(stream, task_choices(requests))
            texts = segments.write_answers(stream, cancel)
        clock.lap("answering")
        answers = [
            Understanding(text, row, clock.timings, noted) for text, row, noted in zip(texts, rows, seen, strict=True)
        ]
        return answers[0] if isinstance(question, str) else answers

    @overload
    def generate(
        self, prompt: str, *, plan: Any = None, seed: Seed = None, **options: Unpack[DrawingOptions]
    ) -> Drawing: ...
    @overload
    def generate(
        self, prompt: list[str], *, plan: Any = None, seed: Seed = None, **options: Unpack[DrawingOptions]
    ) -> list[Drawing]: ...
    @torch.no_grad()
    def generate(
        self,
        prompt: str | list[str],
        *,
        plan: str | Sequence[str] | None = None,
        seed: Seed = None,
        **options: Unpack[DrawingOptions],
    ) -> Drawing | list[Drawing]:
        """Draw what is asked for; where the model would rather answer in words, the result has no image but a
        text.

        Args:
            prompt: one, or a list of them.
            plan: what to draw, if that is not left to the model; one per prompt.
            seed: a picture depends on its seed and not on its batch.
            **options: see `DrawingOptions`.

        Raises:
            InvalidRequest, Cancelled, NonFiniteError.
        """
        drawings = self._draw(T2I, pair_requests(None, prompt, self.picture), plan, seed, options)
        return drawings[0] if isinstance(prompt, str) else drawings

    @overload
    def edit(
        self, image: Seen, instruction: str, *, plan: Any = None, seed: Seed = None,
        **options: Unpack[DrawingOptions],
    ) -> Drawing: ...  # fmt: skip
    @overload
    def edit(
        self, image: Sequence[Seen], instruction: list[str], *, plan: Any = None, seed: Seed = None,
        **options: Unpack[DrawingOptions],
    ) -> list[Drawing]: ...  # fmt: skip
    @torch.no_grad()
    def edit(
        self,
        image: Seen | Sequence[Seen],
        instruction: str | list[str],
        *,
        plan: str | Sequence[str] | None = None,
        seed: Seed = None,
        **options: Unpack[DrawingOptions],
    ) -> Drawing | list[Drawing]:
        """Change a picture as told; where the model would rather answer in words, the result has a text
        instead.

        Args:
            image: one, or a list of as many as instructions. A `Drawing` of this
                pipeline is not encoded again.
            instruction: one, or a list of them.
            plan, seed, **options: as for `generate`.

        Raises:
            ImageRejected, InvalidRequest, Cancelled, NonFiniteError.
        """
        requests = pair_requests(image, instruction, self.picture)
        if any(len(request.pictures) != 1 for request in requests):
            raise InvalidRequest("an edit needs one picture per instruction")
        drawings = self._draw(I2I, requests, plan, seed, options)
        return drawings[0] if isinstance(instruction, str) else drawings

    @overload
    def next_action(
        self, request: str, images: Any = None, *, cancel: CancelCheck | None = None
    ) -> dict[str, float]: ...
    @overload
    def next_action(
        self, request: list[str], images: Any = None, *, cancel: CancelCheck | None = None
    ) -> list[dict[str, float]]: ...
    @torch.no_grad()
    def next_action(
        self,
        request: str | list[str],
        images: Seen | Sequence[Seen] | Sequence[Seen | Sequence[Seen] | None] | None = None,
        *,
        cancel: CancelCheck | None = None,
    ) -> dict[str, float] | list[dict[str, float]]:
        """Probabilities of what the model would do about a request, by task token, most likely first.

        It looks at the request first: what it sees is written down, and not returned.

        Args:
            request, images: as `question` and `images` of `understand`. Where there is no picture, `[I2I]` is
                left out.
            cancel: asked before every token.

        Raises:
            ImageRejected, InvalidRequest, Cancelled, NonFiniteError.
        """
        native.require_stream(self)
        requests = pair_requests(images, request, self.picture)
        stream = self._open(requests)
        segments.look(stream, cancel=cancel)
        rows = segments.task_probabilities(stream, task_choices(requests))
        return rows[0] if isinstance(request, str) else rows

    def conversation(self) -> Conversation:
        """A conversation that keeps its pictures and its computation.

        Raises:
            InvalidRequest: the language model has not learnt our stream.
        """
        from genllava.conversation import Conversation

        native.require_stream(self)
        return Conversation(self)

    # --- steps the verbs and conversations are made of ---

    @property
    def language(self) -> LanguageModel:
        """The language model as `TokenStream` takes it."""
        queries = None if self.generation_head is None else self.generation_head.query_embeds.detach()
        return LanguageModel(self.llava, self.processor, queries, self.counters)

    def picture(self, source: Seen) -> Picture:
        """A picture as the model sees it: square, at the pipeline's resolution.

        Raises:
            ImageRejected: it was not let in.
        """
        resolution = int(self.config["resolution"])
        if isinstance(source, Drawing):
            if source.image is None:
                raise ImageRejected("this drawing has no picture: the model declined to make it")
            image = letterbox(source.image, resolution)  # one with a part put back has the size of the whole
            return Picture(image, source.latents, source.caption)
        return Picture(letterbox(load_image(source), resolution))

    def _open(self, requests: Sequence[Request]) -> TokenStream:
        """Lay requests out as tokens; every distinct picture goes through the vision tower once."""
        language = self.language
        stream = TokenStream(language, len(requests))
        keys = [[content_key(picture.image) for picture in request.pictures] for request in requests]
        distinct = {
            key: picture.image
            for row, request in zip(keys, requests, strict=True)
            for key, picture in zip(row, request.pictures, strict=True)
        }
        features = dict(zip(distinct, language.encode_pictures(list(distinct.values())), strict=True))
        for row, request in enumerate(requests):
            if self.config["native_prompts"]:
                ids = native.prompt_ids(language, request.text, len(keys[row]))
            else:
                numbers = range(1, len(keys[row]) + 1)
                turn = layout.user_turn(language.tokenizer, request.text, numbers, language.tokens_per_image)
                ids = [language.id(BOS), *turn]
            stream.append(row, ids, [features[key] for key in keys[row]])
        return stream

    def _draw(
        self,
        task: str,
        requests: Sequence[Request],
        plan: str | Sequence[str] | None,
        seed: Seed,
        options: DrawingOptions,
    ) -> list[Drawing]:
        """Let the model choose between a picture and words; plan and draw the pictures, write the words."""
        settings = Settings.resolve(self.config, options)
        seeds = resolve_seeds(seed, len(requests))
        given = given_plans(plan, requests, follow_request=bool(self.config["native_prompts"]))
        sources = [request.pictures[0] for request in requests] if task == I2I else None
        if given is not None and settings.conditioner == "caption":  # the language model has no part in this
            plans = [segments.parse_plan(task, text, [1]) for text in given]
            if self.tokenizer is not None:
                check_captions(self.tokenizer, [plan.text for plan in plans])
            shown = {row: source.caption for row, source in enumerate(sources or []) if source.caption}
            unedited = segments.unedited(None, shown, plans)
            return painting.paint(self, plans, None, sources, seeds, settings, unedited)

        clock = Stopwatch()
        stream = self._open(requests)
        chosen = [{task: 1.0}] * len(requests)
        seen = [""] * len(requests)
        if given is None or (sources is not None and not self.config["native_prompts"]):
            seen = [looked.seen for looked in segments.look(stream, cancel=settings.cancel)]
        elif not self.config["native_prompts"]:
            stream.append_all([self.language.id(SEEN)])  # there is nothing to see, and nothing to choose
        if given is None:
            chosen = segments.task_probabilities(stream, [(task, I2T)] * len(requests))
        drawn = [row for row, tasks in enumerate(chosen) if next(iter(tasks)) == task]
        spoken = [row for row in range(len(requests)) if row not in drawn]
        results: dict[int, Drawing] = {}
        if spoken:
            texts = segments.write_answers(stream.select(spoken), settings.cancel)
            results |= {row: Drawing(None, text, None, seeds[row]) for row, text in zip(spoken, texts, strict=True)}
        if drawn:
            picked = [seeds[row] for row in drawn]
            stream = stream.select(drawn)
            noted = [layout.noted_caption(seen[row], 1) for row in drawn] if sources is not None else []
            shown = {place: caption for place, caption in enumerate(noted) if caption}
            before = stream.aside(list(shown)) if shown and settings.conditioner == "head" else None
            if given is None:
                temperature = float(self.config["plan_temperature"])
                plans = segments.write_plans(stream, task, [1], picked, temperature, settings.cancel)
            else:
                plans = [segments.put_plan(stream, n, task, given[row], [1]) for n, row in enumerate(drawn)]
            states = segments.read_queries(stream) if settings.conditioner == "head" else None
            clock.lap("planning")
            edited = None if sources is None else [sources[row] for row in drawn]
            unedited = segments.unedited(before, shown, plans)
            drawings = painting.paint(self, plans, states, edited, picked, settings, unedited)
            results |= zip(drawn, drawings, strict=True)
        clock.lap("drawing" if drawn else "answering")
        return [
            replace(results[row], seen=seen[row], task_probabilities=chosen[row], timings=clock.timings)
            for row in range(len(requests))
        ]
