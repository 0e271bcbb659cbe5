"""The model in training: a vision-language model, a generation head and an image decoder, and one loss over all three.

    loss = cross-entropy of what the assistant says
         + denoising: the objective of the decoder's own scheduler, conditioned by the head (or, with `bridge="caption"`,
           by what the decoder's own text encoder makes of the plan)
         + alignment of what the head makes to what the decoder's own text encoder makes of the plan
         + those of auxiliaries

Each term is a mean over its own items: tokens that are learnt, or pictures that are drawn.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genllava import GenLlavaPipeline
from genllava.errors import CheckpointError, InvalidRequest
from genllava.generation_head import GenerationHead
from genllava.image_decoder import ImageDecoder
from genllava.image_decoder.conditioning import denoiser_of, read_spec
from genllava.image_decoder.siblings import drawer_of
from genllava.vision_language import VisionLanguage
from genllava_finetune.train.encoding import IGNORE, Example
from genllava_finetune.train.networks import denoiser_for
from genllava_finetune.train.objectives import (
    Canvas,
    Conditioning,
    Denoiser,
    draw_noise,
    encode_prompts,
    image_latents,
    relative_error,
)

_LOG: Final = logging.getLogger(__name__)
CROSS_ENTROPY: Final = "cross_entropy"
DENOISING: Final = "denoising"
ALIGNMENT: Final = "alignment"
ACCURACY: Final = "token_accuracy"


@dataclass(frozen=True, slots=True)
class LossWeights:
    """What each term of the loss counts; a term of weight 0 is not computed."""

    cross_entropy: float = 1.0
    denoising: float = 1.0
    alignment: float = 1.0


@dataclass(frozen=True, slots=True)
class ConditionDropout:
    """Shares of the drawings from which the text, the source or both are left out, for classifier-free guidance."""

    text: float = 0.05
    source: float = 0.05
    both: float = 0.05


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
        self._draws: Denoiser | None = None
        self._edits: Denoiser | None = None
        if image_decoder is not None:
            self._take_decoder(image_decoder)
        self.auxiliaries = nn.ModuleDict(dict(auxiliaries or {}))
        self.term_weights: defaultdict[str, float] = defaultdict(float)
        self.term_weights |= {CROSS_ENTROPY: self.weights.cross_entropy, DENOISING: self.weights.denoising}
        self.term_weights |= {ALIGNMENT: self.weights.alignment}
        self.term_weights |= {name: float(each.weight) for name, each in (auxiliaries or {}).items()}
        self._told: set[bool] = set()

    def _take_decoder(self, image_decoder: ImageDecoder) -> None:
        """Register the networks of the pipelines, each once."""
        known = {id(self.vlm)}
        for modules, pipeline in ((self.decoder, image_decoder.pipeline), (self.editor, image_decoder.editor)):
            for name, module in (pipeline.components if pipeline is not None else {}).items():
                if isinstance(module, nn.Module) and id(module) not in known:
                    known.add(id(module))
                    modules[name] = module
        self._draws, self._edits = self._denoisers(image_decoder)

    def _denoisers(self, image_decoder: ImageDecoder) -> tuple[Denoiser | None, Denoiser | None]:
        """What draws, and what edits: the editor, or the drawing pipeline if its network has a place for a source."""
        pipeline, editor = image_decoder.pipeline, image_decoder.editor
        draws = None if pipeline is None else denoiser_for(pipeline)
        edits = draws if draws is not None and draws.edits else None
        if editor is not None:
            wanted = denoiser_for(editor)
            fits = self.bridge == "caption" or draws is None or _same_spec(pipeline, editor)
            edits = wanted if wanted.edits and fits else edits
        return draws, edits

    def train(self, mode: bool = True) -> GenLlavaForTraining:
        """As any module's; what is frozen stays in evaluation mode, without dropout (T5 has some)."""
        super().train(mode)
        for part in filter(None, (self.vlm, self.generation_head, *self.decoder.values(), *self.editor.values())):
            if not any(weight.requires_grad for weight in part.parameters()):
                part.eval()
        return self

    @property
    def _reads(self) -> bool:
        """Whether the language model is needed."""
        return bool(self.weights.cross_entropy or self.bridge == "head" or len(self.auxiliaries))

    def count_items(self, batch: Mapping[str, Any]) -> dict[str, int]:
        """How many items each term of a batch is a mean of: learnt tokens, drawings, batches for auxiliaries."""
        labels = batch.get("labels")
        counts = {CROSS_ENTROPY: 0 if labels is None else int((labels[:, 1:] != IGNORE).sum())}
        drawn = len(batch.get("plans", ()))
        edits = batch["edited"].tolist() if drawn else []
        counts[DENOISING] = sum((self._edits if edit else self._draws) is not None for edit in edits)
        counts |= {ALIGNMENT: drawn if self.bridge == "head" else 0}
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
        if self._reads and "input_ids" in batch and query_states is None:
            read = self._read(batch)
            terms |= self._words(read, batch, counts)
            if self.bridge == "head" and "query_positions" in batch:
                query_states = self._query_states(read["all_states"], batch["query_positions"])
        if self.image_decoder is not None:
            terms |= self._pictures(query_states, batch, counts)
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

    # --- the pictures ---

    def _pictures(
        self, query_states: Tensor | None, batch: Mapping[str, Any], counts: Mapping[str, Any]
    ) -> dict[str, Tensor]:
        """The denoising and alignment losses of the drawings of a batch."""
        sums: dict[str, list[Tensor]] = {DENOISING: [], ALIGNMENT: []}
        plans: Sequence[str] = batch.get("plans", ())
        made = None if query_states is None or not plans else self._made(query_states)
        edited = batch["edited"].tolist() if plans else []
        device = next(self.parameters()).device
        seeds = self._seeds(batch, len(plans))
        for denoiser, rows in self._groups(edited):
            if rows:
                picked = _Drawings(batch, rows, edited, [seeds[row] for row in rows], device)
                given = None if made is None else made.rows(torch.tensor(rows, device=device))
                for name, values in self._losses(denoiser, picked, given).items():
                    sums[name].append(values.sum())
            elif _in_many_processes():  # others may have some, and all run the same networks
                for name, values in self._losses(denoiser, *self._nothing(device)).items():
                    sums[name].append(values.sum() * 0)
        zero = torch.zeros((), device=device)
        return {
            name: torch.stack([zero, *values]).sum() / torch.as_tensor(counts[name], device=device).clamp(min=1)
            for name, values in sums.items()
            if self._has(name)
        }

    def _has(self, name: str) -> bool:
        if name == ALIGNMENT:
            return self.bridge == "head" and bool(self.weights.alignment)
        return bool(self.weights.denoising)

    def _made(self, query_states: Tensor) -> Conditioning:
        """What the head makes of states."""
        assert self.generation_head is not None
        dtype = self.generation_head.project_out.weight.dtype
        return Conditioning(*self.generation_head.condition(query_states.to(dtype)))

    def _groups(self, edited: Sequence[bool]) -> list[tuple[Denoiser, list[int]]]:
        """The drawings of each denoiser; those that none can make go to one that reads their plans."""
        some = [each for each in (self._draws, self._edits) if each is not None]
        chosen = [(self._edits if edit else self._draws) or some[0] for edit in edited]
        return [(each, [row for row, one in enumerate(chosen) if one is each]) for each in dict.fromkeys(some)]

    def _denoised(self, denoiser: Denoiser, edit: bool) -> bool:
        """Whether a drawing has a denoising loss."""
        if denoiser is (self._edits if edit else self._draws):
            return True
        if edit not in self._told:
            self._told.add(edit)
            what = (
                "edits: nothing here has a place for a source picture"
                if edit
                else "new pictures: only an editor is here"
            )
            _LOG.warning("%s: they train words and alignment only", what)
        return False

    def _seeds(self, batch: Mapping[str, Any], count: int) -> list[int]:
        """Of each drawing's noise: the batch's; else drawn from the process's generator, and fixed in evaluation."""
        if "seeds" in batch:
            return [int(seed) for seed in batch["seeds"].tolist()]
        drawn = torch.randint(2**62, (count,)) if self.training else torch.arange(count)
        return [int(seed) for seed in drawn.tolist()]

    def _nothing(self, device: torch.device) -> tuple[_Drawings, Conditioning | None]:
        """A drawing that stands for none."""
        blank = torch.zeros(1, 3, self.resolution, self.resolution, device=device)
        edited = torch.zeros(1, dtype=torch.bool, device=device)
        picked = _Drawings({"plans": [""], "edited": edited, "target_pixels": blank}, [0], [False], [0], device)
        if self.bridge != "head" or self.generation_head is None:
            return picked, None
        shape = (1, int(self.generation_head.config["num_queries"]), int(self.generation_head.config["input_dim"]))
        return picked, self._made(torch.zeros(shape, device=device))

    def _losses(self, denoiser: Denoiser, drawings: _Drawings, given: Conditioning | None) -> dict[str, Tensor]:
        """Alignment [n] and denoising [m] of some drawings, of those that have one."""
        pipeline, losses = denoiser.pipeline, dict[str, Tensor]()
        if given is not None and self._has(ALIGNMENT):
            with torch.no_grad():
                wanted = encode_prompts(pipeline, drawings.plans, drawings.device)
            losses[ALIGNMENT] = relative_error(given.embeds, wanted.embeds[:, : given.embeds.shape[1]])
            if given.pooled is not None and wanted.pooled is not None:
                losses[ALIGNMENT] = losses[ALIGNMENT] + relative_error(given.pooled, wanted.pooled)
        if not self._has(DENOISING) or not drawings.has_target:
            return losses
        rows = [row for row, edit in enumerate(drawings.edited) if self._denoised(denoiser, edit)]
        if rows:
            kept = drawings if len(rows) == len(drawings.edited) else drawings.rows(rows)
            given = None if given is None else given.rows(torch.tensor(rows, device=drawings.device))
            losses[DENOISING] = self._denoise(denoiser, kept, given)
        return losses

    def _denoise(self, denoiser: Denoiser, drawings: _Drawings, given: Conditioning | None) -> Tensor:
        """[n] errors of the decoder, with some of what it is conditioned on left out."""
        network, vae = (self._module(denoiser.pipeline, part) for part in (denoiser_of(denoiser.pipeline), "vae"))
        latents = drawings.target(vae)
        noise = draw_noise(drawings.seeds, latents.shape[1:], latents.device)
        if given is None:
            given, null = self._captions(denoiser.pipeline, drawings)
        else:
            null = self._null(given)
        share = self.dropout if self.training else ConditionDropout(0.0, 0.0, 0.0)
        text = noise.dropped < share.text
        both = noise.dropped >= share.text + share.source
        both &= noise.dropped < share.text + share.source + share.both
        source = (noise.dropped >= share.text) & (noise.dropped < share.text + share.source)
        given = given.replaced(text | both, null)
        seen = torch.tensor(drawings.edited, device=latents.device) & ~(source | both)
        sources = drawings.source(vae, latents, scaled=denoiser.scaled_source) if denoiser.edits else None
        return denoiser.errors(network, latents, noise, given, sources, seen, drawings.canvas(latents, denoiser))

    def _captions(self, pipeline: Any, drawings: _Drawings) -> tuple[Conditioning, Conditioning]:
        """What the pipeline's text encoders make of the plans, and of the empty prompt."""
        encoders = [module for name, module in pipeline.components.items() if name.startswith("text_encoder")]
        weights = [weight for each in encoders if isinstance(each, nn.Module) for weight in each.parameters()]
        with nullcontext() if any(weight.requires_grad for weight in weights) else torch.no_grad():
            made = encode_prompts(pipeline, [*drawings.plans, ""], drawings.device)
        pooled = (None, None) if made.pooled is None else (made.pooled[:-1], made.pooled[-1:])
        return Conditioning(made.embeds[:-1], pooled[0]), Conditioning(made.embeds[-1:], pooled[1])

    def _null(self, given: Conditioning) -> Conditioning:
        head: Any = self.generation_head
        return Conditioning(head.null_embeds, None if given.pooled is None else head.null_pooled)

    def _module(self, pipeline: Any, part: Any) -> Any:
        """A network of a pipeline as it is registered here, where wrappers replace it."""
        name = next(name for name, module in pipeline.components.items() if module is part or name == part)
        assert self.image_decoder is not None
        own = self.decoder if pipeline is self.image_decoder.pipeline else self.editor
        return own[name] if name in own else getattr(pipeline, name)

    # --- what comes of it ---

    @property
    def resolution(self) -> int:
        """Side of the pictures that the decoder was made for, in pixels.

        Raises:
            CheckpointError: its pipeline does not say.
        """
        made = self._draws or self._edits
        if made is None:
            raise CheckpointError("there is no decoder whose resolution is asked for")
        return made.resolution

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


class _Drawings:
    """Some drawings of a batch.

    Args:
        batch: of `Collator`.
        rows: which of its drawings.
        edited: of all its drawings, whether they are edits.
        seeds: of these.
    """

    def __init__(
        self, batch: Mapping[str, Any], rows: Sequence[int], edited: Sequence[bool], seeds: Sequence[int],
        device: torch.device,
    ) -> None:  # fmt: skip
        self._batch, self._rows, self._all = batch, list(rows), edited
        self.seeds, self.device = list(seeds), device
        self.plans = [batch["plans"][row] for row in rows]
        self.edited = [edited[row] for row in rows]
        self.has_target = "target_pixels" in batch or "target_latents" in batch

    def rows(self, chosen: Sequence[int]) -> _Drawings:
        """Some of these."""
        rows, seeds = ([every[row] for row in chosen] for every in (self._rows, self.seeds))
        return _Drawings(self._batch, rows, self._all, seeds, self.device)

    def target(self, vae: Any) -> Tensor:
        """[n, c, h, w] latents of what is drawn."""
        if "target_latents" in self._batch:
            cached: Tensor = self._batch["target_latents"][self._rows].float()
            return cached
        return image_latents(vae, self._batch["target_pixels"][self._rows], self.seeds)

    def source(self, vae: Any, latents: Tensor, *, scaled: bool) -> Tensor | None:
        """Likewise of what is edited, zeros where nothing is; None where there is no edit."""
        edits = [sum(self._all[:row]) for row, edit in zip(self._rows, self.edited, strict=True) if edit]
        if not edits:
            return None
        if "source_latents" in self._batch:
            seen = self._batch["source_latents"][edits].float()
        else:
            seen = image_latents(vae, self._batch["source_pixels"][edits], scaled=scaled)
        sources = torch.zeros_like(latents)
        sources[torch.tensor(self.edited, device=latents.device)] = seen
        return sources

    def canvas(self, latents: Tensor, denoiser: Denoiser) -> Canvas:
        """Sizes of the pictures."""
        if "original_sizes" in self._batch:
            return Canvas(self._batch["original_sizes"][self._rows], self._batch["crops"][self._rows])
        sides = [side * getattr(denoiser.pipeline, "vae_scale_factor", 1) for side in latents.shape[2:]]
        sizes = torch.tensor([sides] * len(latents), device=latents.device)
        return Canvas(sizes, torch.zeros_like(sizes))


def _same_spec(pipeline: Any, editor: Any) -> bool:
    """Whether the head's embeddings fit an editor as well."""
    try:
        return read_spec(drawer_of(pipeline, editor)) == read_spec(editor)
    except (CheckpointError, InvalidRequest):
        return False


def _in_many_processes() -> bool:
    spread = torch.distributed
    return spread.is_available() and spread.is_initialized() and spread.get_world_size() > 1
