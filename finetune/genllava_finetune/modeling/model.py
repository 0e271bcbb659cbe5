"""The model in training: a vision-language model, a generation head and an image decoder, and one loss over all three.

    loss = cross-entropy of what the assistant says
         + denoising: the objective of the decoder's own scheduler, conditioned by the head, or with `bridge="caption"`
           by what the decoder's own text encoder makes of the plan
         + alignment of what the head makes to what the decoder's own text encoder makes of the plan
         + those of auxiliaries

Each term is a mean over its own items: tokens that are learnt, or pictures that are drawn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genllava import GenLlavaPipeline
from genllava.errors import CheckpointError
from genllava.generation_head import GenerationHead
from genllava.image_decoder import ImageDecoder
from genllava.vision_language import VisionLanguage
from genllava_finetune.modeling.drawings import ALIGNMENT, DENOISING, ConditionDropout, DrawingLosses
from genllava_finetune.modeling.encoding import IGNORE, Example

__all__ = ["AuxiliaryLoss", "ConditionDropout", "GenLlavaForTraining", "LossWeights"]

CROSS_ENTROPY: Final = "cross_entropy"
ACCURACY: Final = "token_accuracy"


@dataclass(frozen=True, slots=True)
class LossWeights:
    """What each term of the loss counts; a term of weight 0 is not computed."""

    cross_entropy: float = 1.0
    denoising: float = 1.0
    alignment: float = 1.0


class AuxiliaryLoss(nn.Module):
    """A loss beside the others, which a recipe plugs in under a name."""

    weight = 1.0

    def collate(self, rows: Sequence[Mapping[str, Any]], examples: Sequence[Example]) -> dict[str, Tensor]:
        """Further entries of a batch; they come back to `forward` under these names."""
        raise NotImplementedError

    def forward(self, outputs: Mapping[str, Any], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """The "loss", a mean, and figures to log.

        Args:
            outputs: `hidden_states` [B, L, D], the language model's last; `image_features`, what it reads of the
                pictures, where its class gives them.
            batch: the batch, and this loss's entries under their own names.
        """
        raise NotImplementedError


class GenLlavaForTraining(nn.Module):
    """What is trained, with its loss.

    Args:
        vision_language: its model becomes the module `vlm`.
        generation_head: becomes `generation_head`; None where nothing is drawn through it.
        image_decoder: the modules of its drawing pipeline become `decoder.unet`, `decoder.vae`, ...; those of its
            editor that are others `editor.unet`, ...
        weights, dropout: see there.
        bridge: what the decoder is conditioned on: `head`, or `caption`, the plan through its own text encoder.
        auxiliaries: further losses by their names; they become `auxiliaries`.

    Raises:
        CheckpointError: the decoder cannot be trained, or `bridge="head"` without a head.

    Attributes:
        term_weights: what each output of `forward` counts in the loss; 0 for figures.
    """

    def __init__(
        self,
        vision_language: VisionLanguage,
        generation_head: GenerationHead | None = None,
        image_decoder: ImageDecoder | None = None,
        *,
        weights: LossWeights | None = None,
        dropout: ConditionDropout | None = None,
        bridge: Literal["head", "caption"] = "head",
        auxiliaries: Mapping[str, AuxiliaryLoss] | None = None,
    ) -> None:
        super().__init__()
        self.vision_language, self.image_decoder = vision_language, image_decoder
        self.weights = LossWeights() if weights is None else weights
        self.dropout = ConditionDropout() if dropout is None else dropout
        self.bridge = bridge
        if bridge == "head" and image_decoder is not None and generation_head is None:
            raise CheckpointError("bridge='head' needs a generation head: give one, or bridge='caption'")
        self.vlm: Any = vision_language.model
        self.generation_head = generation_head
        self.decoder, self.editor = nn.ModuleDict(), nn.ModuleDict()
        self._drawing_losses: DrawingLosses | None = None
        if image_decoder is not None:
            self._take_decoder(image_decoder)
        self.auxiliaries = nn.ModuleDict(dict(auxiliaries or {}))
        self.term_weights: defaultdict[str, float] = defaultdict(float)
        self.term_weights |= {CROSS_ENTROPY: self.weights.cross_entropy, DENOISING: self.weights.denoising}
        self.term_weights |= {ALIGNMENT: self.weights.alignment}
        self.term_weights |= {name: float(each.weight) for name, each in (auxiliaries or {}).items()}

    @property
    def _no_split_modules(self) -> list[str]:
        """Classes of the layers that FSDP shards one by one: those that the networks name, as far as they are there."""
        networks = [self.vlm, *self.decoder.values(), *self.editor.values()]
        named = {name for each in networks for name in getattr(each, "_no_split_modules", None) or ()}
        return sorted(named & {type(module).__name__ for module in self.modules()})

    def _take_decoder(self, image_decoder: ImageDecoder) -> None:
        """Register the networks of the pipelines, each once."""
        known = {id(self.vlm)}
        for modules, pipeline in ((self.decoder, image_decoder.pipeline), (self.editor, image_decoder.editor)):
            for name, module in (pipeline.components if pipeline is not None else {}).items():
                if isinstance(module, nn.Module) and id(module) not in known:
                    known.add(id(module))
                    modules[name] = module
        aligns = self.bridge == "head" and bool(self.weights.alignment)
        terms = [*([DENOISING] if self.weights.denoising else []), *([ALIGNMENT] if aligns else [])]
        options: dict[str, Any] = {"captions": self.bridge == "caption", "dropout": self.dropout}
        self._drawing_losses = DrawingLosses(image_decoder, self.decoder, self.editor, terms=terms, **options)

    def train(self, mode: bool = True) -> GenLlavaForTraining:
        """As any module's; what is frozen stays in evaluation mode, without dropout (T5 has some)."""
        super().train(mode)
        for part in filter(None, (self.vlm, self.generation_head, *self.decoder.values(), *self.editor.values())):
            if not any(weight.requires_grad for weight in part.parameters()):
                part.eval()
        return self

    @property
    def reads(self) -> bool:
        """Whether the language model is needed."""
        return bool(self.weights.cross_entropy or self.bridge == "head" or len(self.auxiliaries))

    def count_items(self, batch: Mapping[str, Any]) -> dict[str, int]:
        """How many items each term of a batch is a mean of: learnt tokens, drawings, batches for auxiliaries."""
        labels = batch.get("labels")
        counts = {CROSS_ENTROPY: 0 if labels is None else int((labels[:, 1:] != IGNORE).sum())}
        counts |= {} if self._drawing_losses is None else self._drawing_losses.count(batch)
        counts |= {name: int(any(key.startswith(f"{name}.") for key in batch)) for name in self.auxiliaries}
        return counts

    def forward(self, *, num_items: Mapping[str, Tensor] | None = None, **batch: Any) -> dict[str, Tensor]:
        """The loss of a batch of `Collator`.

        Args:
            num_items: by the name of a term, how many items there are in all micro-batches and processes of a step;
                the terms of these are then to be added up. None: those of this batch.

        Returns:
            "loss"; "cross_entropy", "denoising", "alignment" and those of auxiliaries before weighting; figures such as
            "token_accuracy". What the model can compute is always there, and 0 where the batch has none of it.
        """
        counts: Mapping[str, Any] = self.count_items(batch) if num_items is None else num_items
        terms: dict[str, Tensor] = {}
        read: dict[str, Any] = {}
        query_states = batch.get("query_states")
        if self.reads and "input_ids" in batch and query_states is None:
            read = self._read(batch)
            terms |= self._words(read, batch, counts)
            if self.bridge == "head" and "query_positions" in batch:
                query_states = self._query_states(read["all_states"], batch["query_positions"])
        if self._drawing_losses is not None:
            where: dict[str, Any] = {"training": self.training, "device": next(self.parameters()).device}
            head = self.generation_head if self.bridge == "head" else None
            sums = self._drawing_losses.sums(head, query_states, batch, **where)
            terms |= {
                name: value / torch.as_tensor(counts[name]).clamp(min=1).to(value) for name, value in sums.items()
            }
        for name, auxiliary in self.auxiliaries.items():
            own = {key.removeprefix(f"{name}."): value for key, value in batch.items() if key.startswith(f"{name}.")}
            made = auxiliary(read, {**batch, **own}) if own else {"loss": terms[CROSS_ENTROPY].new_zeros(())}
            share = 1 / max(float(counts.get(name, 1)), 1.0)
            terms[name] = made["loss"] * share
            terms |= {f"{name}_{key}": value * share for key, value in made.items() if key != "loss"}
        weighted = [self.term_weights[name] * value for name, value in terms.items() if self.term_weights[name]]
        return {"loss": torch.stack([each.float() for each in weighted]).sum(), **terms}

    # --- the language model ---

    def _read(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The language model's states and the logits at what is learnt."""
        accepted = self.vision_language.reader.accepted
        inputs = {name: value for name, value in batch.items() if name in accepted and name != "labels"}
        dtype = self.vlm.dtype
        inputs |= {
            name: value.to(dtype)
            for name, value in inputs.items()
            if isinstance(value, Tensor) and value.is_floating_point()
        }
        labels = batch["labels"]
        places = (labels[:, 1:] != IGNORE).any(0).nonzero()[:, 0] if self.weights.cross_entropy else labels.new_zeros(1)
        keep = {"logits_to_keep": places} if "logits_to_keep" in accepted else {}
        with self._own_queries(batch.get("query_positions")):
            outputs = self.vlm(**inputs, **keep, output_hidden_states=True, use_cache=False)
        logits = outputs.logits if keep else outputs.logits[:, places]
        states = outputs.hidden_states
        features = getattr(getattr(outputs, "image_outputs", None), "pooler_output", None)
        return {"hidden_states": states[-1], "all_states": states, "logits": logits, "places": places,
                "image_features": features}  # fmt: skip

    def _words(self, read: Mapping[str, Any], batch: Mapping[str, Any], counts: Mapping[str, Any]) -> dict[str, Tensor]:
        """Cross-entropy and accuracy of what is learnt."""
        wanted = batch["labels"][:, 1:][:, read["places"]]
        learnt = wanted != IGNORE
        logits, wanted = read["logits"][learnt].float(), wanted[learnt]
        count = torch.as_tensor(counts[CROSS_ENTROPY], device=logits.device).clamp(min=1)
        right = (logits.detach().argmax(-1) == wanted).sum()
        return {CROSS_ENTROPY: F.cross_entropy(logits, wanted, reduction="sum") / count, ACCURACY: right / count}

    def _query_states(self, states: Sequence[Tensor], positions: Tensor) -> Tensor:
        """[D, N, D * layers] at the visual queries."""
        assert self.generation_head is not None
        layers = [states[layer].flatten(0, 1)[positions] for layer in self.generation_head.config["layers"]]
        return torch.cat(layers, -1)

    @contextmanager
    def _own_queries(self, positions: Tensor | None) -> Iterator[None]:
        """Put the queries of a head that has its own into the model's embeddings."""
        head = self.generation_head
        if positions is None or head is None or head.config["query_tokens"]:
            yield
            return

        def put(module: nn.Module, args: Any, output: Tensor) -> Tensor:
            rows = head.query_embeds.repeat(len(positions), 1).to(output)
            return output.flatten(0, 1).index_copy(0, positions.flatten(), rows).view_as(output)

        handle = self.vlm.get_input_embeddings().register_forward_hook(put)
        try:
            yield
        finally:
            handle.remove()

    # --- what comes of it ---

    @property
    def resolution(self) -> int:
        """Side of the pictures that the decoder was made for, in pixels.

        Raises:
            CheckpointError: its pipeline does not say.
        """
        if self._drawing_losses is None:
            raise CheckpointError("there is no decoder whose resolution is asked for")
        return self._drawing_losses.resolution

    def to_pipeline(self, saved: GenLlavaPipeline | None = None, **settings: Any) -> GenLlavaPipeline:
        """The trained parts as a pipeline; they are shared, not copied, and stay in the mode (training) they are in.

        Args:
            saved: a pipeline that the parts are from, whose settings and ControlNets are kept.
            **settings: of `GenLlavaPipeline`, such as `drawing_options`.
        """
        pipelines = []
        decoder = self.image_decoder
        given = (None, None) if decoder is None else (decoder.pipeline, decoder.editor)
        for modules, pipeline in zip((self.decoder, self.editor), given, strict=True):
            for name, module in modules.items():
                setattr(pipeline, name, module)
            pipelines.append(pipeline)
        if saved is not None:
            return GenLlavaPipeline.from_pipe(saved, vlm=self.vlm, generation_head=self.generation_head, **settings)
        bridge = self.bridge if self.generation_head is not None and decoder is not None else "caption"
        chosen = {"protocol": "genllava", "bridge": bridge, "tool_format": self.vision_language.template.chosen_format}
        head = self.generation_head if decoder is not None else None
        parts: dict[str, Any] = {"vlm": self.vlm, "processor": self.vision_language.processor, "generation_head": head}
        return GenLlavaPipeline(**parts, decoder=pipelines[0], editor=pipelines[1], **{**chosen, **settings})
