"""The model: a diffusers pipeline of a vision-language model, image decoders and a generation head; three verbs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Unpack, overload

import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline

from genllava import assembly, checkpoints, part_loading, saved_pipeline
from genllava.errors import CheckpointError, InvalidRequest
from genllava.generation_head import GenerationHead
from genllava.image_decoder import ImageDecoder
from genllava.image_decoder.controlnets import ControlNets, follow, load_controlnet
from genllava.model_card import write_model_card
from genllava.options import CancelCheck, DrawingOptions, Seed
from genllava.pipeline_output import Counters, Drawing, TurnOutput, Understanding
from genllava.protocols import make_protocol
from genllava.protocols.base import Protocol
from genllava.protocols.chat_protocol import ChatProtocol
from genllava.protocols.parts import Parts
from genllava.requests import Seen, pair_requests
from genllava.vision_language import VisionLanguage


class GenLlavaPipeline(DiffusionPipeline):
    """A vision-language model that decides, answers and plans, and diffusers pipelines that draw and edit for it.

    It is saved as one directory, with a folder for each part: `vlm/ processor/ decoder/ editor/ generation_head/`, and
    one for each ControlNet in `controlnets/`.

    Args:
        vlm: any transformers image-text-to-text model.
        processor: its processor, with its chat template.
        decoder: the diffusers pipeline that draws; None: this model only understands.
        editor: the diffusers pipeline that edits; None: the decoder does, by its own image-to-image sibling.
        generation_head: conditions the decoder on the language model's states (`bridge="head"`).
        protocol: how the language model is spoken to: `tool_calls`, `choices`, `genllava` or `shapes`; None: tool calls
            where its chat template knows tools, else choices.
        bridge: what steers the decoder: `caption`, words through its own text encoder, or `head`.
        tool_format: how the model writes tool calls, where that is not found by itself.
        drawing_options: of every drawing unless a call says otherwise, see `DrawingOptions`.
        protocol_options: settings of the protocol.
        controlnets: ControlNets of diffusers for the decoder, by name: `generate(..., control={"canny": edges})`.

    Raises:
        CheckpointError: the parts do not fit together.

    Attributes:
        counters: work done so far.
    """

    _optional_components = ["vlm", "processor", "decoder", "editor", "generation_head"]  # noqa: RUF012

    vlm: Any
    processor: Any
    decoder: DiffusionPipeline | None
    editor: DiffusionPipeline | None
    generation_head: GenerationHead | None

    def __init__(
        self,
        vlm: Any,
        processor: Any,
        decoder: Any = None,
        editor: Any = None,
        generation_head: GenerationHead | None = None,
        protocol: str | None = None,
        bridge: str = "caption",
        tool_format: str | None = None,
        drawing_options: Mapping[str, Any] | None = None,
        protocol_options: Mapping[str, Any] | None = None,
        controlnets: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(  # type: ignore[no-untyped-call]
            vlm=vlm, processor=processor, decoder=decoder, editor=editor, generation_head=generation_head
        )
        self.register_to_config(  # type: ignore[no-untyped-call]
            protocol=protocol,
            bridge=bridge,
            tool_format=tool_format,
            drawing_options=dict(drawing_options or {}),
            protocol_options=dict(protocol_options or {}),
            controlnets={},
        )
        self.counters = Counters()
        if bridge not in ("caption", "head"):
            raise CheckpointError(f"unknown bridge {bridge!r}: caption or head")
        if bridge == "head" and generation_head is None:
            raise CheckpointError("bridge='head' needs a generation head: give generation_head=, or bridge='caption'")
        self._controlnets = ControlNets(controlnets or {}, decoder)
        self._made: tuple[tuple[object, ...], Protocol] | None = None
        made = self.protocol
        self.register_to_config(protocol=made.name)  # type: ignore[no-untyped-call]
        self._made = self._key(), made

    # --- the parts, as the protocols use them ---

    @property
    def protocol(self) -> Any:
        """How this language model is spoken to, a `Protocol`; made anew when a part or a setting is replaced."""
        key = self._key()
        if self._made is None or self._made[0] != key:
            self._made = key, make_protocol(self)
        return self._made[1]

    def _key(self) -> tuple[object, ...]:
        parts = (self.vlm, self.processor, self.decoder, self.editor, self.generation_head)
        return (*map(id, parts), *(repr(self.config[name]) for name in saved_pipeline.SETTINGS))

    def parts(self) -> Parts:
        """The parts as general protocols use them, all counting in `counters`."""
        vision_language = VisionLanguage(self.vlm, self.processor, tool_format=self.config["tool_format"])
        vision_language.counters = vision_language.reader.counters = self.counters
        image_decoder = None
        if self.decoder is not None or self.editor is not None:
            image_decoder = ImageDecoder(self.decoder, self.editor, self.controlnets)
            image_decoder.counters = self.counters
        return Parts(
            vision_language, image_decoder, self.generation_head, self.config["bridge"], self.config["drawing_options"]
        )

    @property
    def controlnets(self) -> ControlNets:
        """The ControlNets that steer the decoder, by name; the shapes model's are read when they are first used."""
        return self._controlnets

    def load_controlnet(self, name: str, controlnet: Any, **options: Any) -> None:
        """Add a ControlNet for the decoder, or replace one; it gets the decoder's precision and device.

        Args:
            name: by which `control` calls it.
            controlnet: its folder, or owner/name on the hub; or one that is loaded already.
            **options: `variant`, and options of downloads.

        Raises:
            CheckpointError: it cannot be read, or was made for another layout than the decoder.
        """
        self._controlnets[name] = load_controlnet(name, controlnet, self.decoder, **options)

    @property
    def vision_language(self) -> VisionLanguage:
        """The language model by itself: `chat`, `score`, `query_states`."""
        protocol = self.protocol
        return protocol.parts.vision_language if isinstance(protocol, ChatProtocol) else self.parts().vision_language

    @property
    def image_decoder(self) -> ImageDecoder | None:
        """The decoder and the editor by themselves: `generate`, `edit`."""
        protocol = self.protocol
        return protocol.parts.image_decoder if isinstance(protocol, ChatProtocol) else self.parts().image_decoder

    # --- the verbs ---

    @overload
    def understand(
        self, images: Any, question: str, *, cancel: CancelCheck | None = None, **sampling: Any
    ) -> Understanding: ...
    @overload
    def understand(
        self, images: Any, question: list[str], *, cancel: CancelCheck | None = None, **sampling: Any
    ) -> list[Understanding]: ...
    @torch.no_grad()
    def understand(
        self,
        images: Seen | Sequence[Seen] | Sequence[Seen | Sequence[Seen] | None] | None,
        question: str | list[str],
        *,
        cancel: CancelCheck | None = None,
        **sampling: Any,
    ) -> Understanding | list[Understanding]:
        """Answer questions about pictures, which the model sees at their own size.

        Args:
            images: for one question, None, a picture or several; for a list of questions, a list of those.
            question: one, or a list of them.
            cancel: asked before every token.
            **sampling: options of transformers' `generate`, such as `max_new_tokens`, `do_sample`, `temperature`.

        Raises:
            ImageRejected, InvalidRequest: a picture cannot be read, or the model cannot do what the call asks for.
            Cancelled, NonFiniteError: `cancel` said so, or the model gave NaN or infinity.
        """
        answers: list[Understanding] = self.protocol.understand(pair_requests(images, question), cancel, sampling)
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
        """Draw what is asked for; where the model would rather answer in words, the result has no image but a text.

        Args:
            prompt: one, or a list of them.
            plan: what to draw, if that is not left to the model; one per prompt.
            seed: a picture depends on its seed and not on its batch.
            **options: see `DrawingOptions`. With `num_images_per_prompt` over 1 the result is a list.

        Raises:
            InvalidRequest, Cancelled, NonFiniteError: as for `understand`.
        """
        drawings: list[Drawing] = self.protocol.generate(pair_requests(None, prompt), plan, seed, options)
        return drawings[0] if isinstance(prompt, str) and len(drawings) == 1 else drawings

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
        """Change a picture as told, at its own size; where the model answers in words instead, there is no picture.

        Args:
            image: one, or a list of as many as instructions.
            instruction: one, or a list of them.
            plan: as for `generate`.
            seed: as for `generate`.
            **options: as for `generate`.

        Raises:
            ImageRejected, InvalidRequest, Cancelled, NonFiniteError: as for `understand`.
        """
        requests = pair_requests(image, instruction)
        if any(len(request.images) != 1 for request in requests):
            raise InvalidRequest("an edit needs one picture per instruction")
        drawings: list[Drawing] = self.protocol.edit(requests, plan, seed, options)
        return drawings[0] if isinstance(instruction, str) and len(drawings) == 1 else drawings

    def __call__(
        self,
        text: str,
        images: Seen | Sequence[Seen] | None = None,
        *,
        seed: Seed = None,
        **options: Unpack[DrawingOptions],
    ) -> TurnOutput:
        """One turn: the model decides what is done, answers, draws and edits, until all that was asked is done.

        Raises:
            ImageRejected, InvalidRequest, Cancelled, NonFiniteError: as for `understand`.
            ModelReplyError: the model twice called a tool in a way that cannot be carried out.
        """
        return TurnOutput.of(self.conversation().ask(text, images, seed=seed, **options))

    def conversation(self) -> Any:
        """A conversation that keeps its messages, its pictures and its computation: `ask(text, images, seed=...)`."""
        return self.protocol.conversation()

    @classmethod
    def assemble(
        cls,
        vlm: str | PathLike[str],
        decoder: str | PathLike[str] | None = None,
        editor: str | PathLike[str] | None = None,
        **options: Any,
    ) -> GenLlavaPipeline:
        """A pipeline of public checkpoints; it works without training, and is saved and loaded like any other.

        Args:
            vlm: folder or hub id of an image-text-to-text model of transformers, or of a diffusers pipeline whose text
                encoder is such a model (Qwen-Image-Edit, LongCat-Image): all three verbs then come from it.
            decoder: folder or hub id of a diffusers pipeline that draws; None: the result only understands.
            editor: of a diffusers pipeline that edits; None: the decoder edits by its image-to-image sibling.
            **options: see `genllava.assembly.load_parts`: `generation_head`, `controlnets` (folders or ids by name),
                `protocol`, `bridge`, `torch_dtype`, `device`, `device_map`, `quantization_config`, `variant`, ..., and
                default options of every drawing.

        Raises:
            CheckpointError: a part cannot be read, or the parts do not fit together; the message names it.
            NotEnoughMemory: the parts do not fit into the memory that is free.
            InvalidRequest: `trust_remote_code`, or an option that does not exist.
        """
        return cls._of(assembly.load_parts(vlm, decoder, editor, **options))

    @classmethod
    def _of(cls, loaded: part_loading.Loaded) -> GenLlavaPipeline:
        pipeline = cls(**loaded.parts, **loaded.settings)
        if loaded.device is not None:
            pipeline.to(loaded.device)
        if not {"vlm", "llava", "generation_head"}.isdisjoint(loaded.own):
            pipeline.protocol.before_saving()  # what is stored was made by other weights
        pipeline.protocol.after_loading()
        return pipeline

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | PathLike[str] | None = None, **options: Any
    ) -> GenLlavaPipeline:
        """Load a saved pipeline; only safetensors files are read, and every tensor is checked by name.

        Args:
            pretrained_model_name_or_path: a folder written by `save_pretrained`, `owner/name` on the hub, or None for
                the model that ships with this package.
            **options: `torch_dtype` (a dtype, its name, or "auto"; the shapes model is float32 unless said otherwise,
                others are as they were saved), `device` (None: an accelerator where there is one), `device_map`,
                `quantization_config` (of the language model), `variant`; parts in the place of the saved ones (`vlm=`,
                `decoder=`, ..., `controlnets=`, and those of the decoder, such as `unet=`); settings in their place
                (`bridge=`, ...); and those of downloads.

        Raises:
            CheckpointError: files are missing, unsafe or damaged, or the parts do not fit together.
            NotEnoughMemory: the parts do not fit into the memory that is free.
            InvalidRequest: `trust_remote_code`, or an option that does not exist.
        """
        checkpoints.refuse_remote_code(options)
        folder = checkpoints.resolve(pretrained_model_name_or_path, options)
        pipeline = cls._of(saved_pipeline.load_saved(folder, options))
        pipeline.register_to_config(_name_or_path=str(folder))  # type: ignore[no-untyped-call]
        return pipeline

    def save_pretrained(  # type: ignore[override]
        self, save_directory: str | PathLike[str], **options: Any
    ) -> None:
        """Save as safetensors, a folder for each part, with a model card that names their licences.

        Args:
            **options: as for `DiffusionPipeline.save_pretrained`: `variant`, `max_shard_size`, `push_to_hub`.

        Raises:
            InvalidRequest: `safe_serialization=False`.
        """
        if not options.pop("safe_serialization", True):
            raise InvalidRequest("weights are saved as safetensors only")
        if Path(save_directory).is_file():
            raise InvalidRequest(f"{save_directory} is a file: give a folder to save to")
        self.protocol.before_saving()
        saved_pipeline.save_controlnets(self, Path(save_directory), options)
        with saved_pipeline.without_carried(self):
            super().save_pretrained(str(save_directory), **options)
        write_model_card(self, save_directory)

    def _upload_folder(self, working_dir: str | PathLike[str], *args: Any, **kwargs: Any) -> Any:
        write_model_card(self, working_dir)  # diffusers has put an empty one there
        return super()._upload_folder(working_dir, *args, **kwargs)

    @classmethod
    def from_pipe(cls, pipeline: GenLlavaPipeline, **options: Any) -> GenLlavaPipeline:
        """A pipeline of the same parts and settings, some of them replaced; nothing is loaded, copied or converted.

        `GenLlavaPipeline(**pipeline.components)` has the parts alone, and the settings as they are by themselves.

        Args:
            **options: parts and settings, as for `GenLlavaPipeline`.

        Raises:
            CheckpointError: the parts do not fit together.
            InvalidRequest: an option that does not exist.
        """
        return cls(**saved_pipeline.replaced(pipeline, options))

    # --- devices ---

    def to(self, *args: Any, **kwargs: Any) -> GenLlavaPipeline:
        """Move all parts, those of the decoder and the editor included; as `DiffusionPipeline.to`."""
        super().to(*args, **kwargs)
        for nested in (self.decoder, self.editor):
            if nested is not None:
                nested.to(*args, **kwargs)
        follow(self.decoder, self.controlnets.loaded)
        return self

    def enable_model_cpu_offload(self, *args: Any, **kwargs: Any) -> None:
        """Keep parts on the CPU, and move each to the accelerator while it works; as diffusers' own.

        Raises:
            InvalidRequest: there is no accelerator.
        """
        part_loading.offload(self.vlm, (self.decoder, self.editor), *args, **kwargs)
