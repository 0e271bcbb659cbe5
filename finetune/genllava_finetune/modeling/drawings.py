"""What drawings add to the loss: the decoder's own denoising, and the alignment of the head to its text encoder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from genllava.errors import CheckpointError, InvalidRequest
from genllava.generation_head import GenerationHead
from genllava.image_decoder import ImageDecoder
from genllava.image_decoder.conditioning import denoiser_of, read_spec
from genllava.image_decoder.siblings import drawer_of
from genllava_finetune.modeling.networks import denoiser_for
from genllava_finetune.modeling.objectives import (
    Canvas,
    Conditioning,
    Denoiser,
    draw_noise,
    encode_prompts,
    image_latents,
    relative_error,
)

_LOG: Final = logging.getLogger(__name__)
DENOISING: Final = "denoising"
ALIGNMENT: Final = "alignment"
_SMALL: Final = 64
"""Side, in pixels, of a picture that only keeps processes in step."""


@dataclass(frozen=True, slots=True)
class ConditionDropout:
    """Shares of the drawings from which the text, the source or both are left out, for classifier-free guidance."""

    text: float = 0.05
    source: float = 0.05
    both: float = 0.05


class DrawingLosses:
    """The losses of drawings through a decoder whose networks are registered elsewhere.

    Args:
        image_decoder: its pipelines.
        decoder, editor: the networks of its drawing and its editing pipeline, by their names there; each once.
        terms: which of `DENOISING` and `ALIGNMENT` are computed.
        captions: the decoder is conditioned on its own text encoder, and not on a head.
        dropout: in training.

    Raises:
        CheckpointError: a pipeline is of a kind that is not trained here.
    """

    def __init__(
        self,
        image_decoder: ImageDecoder,
        decoder: nn.ModuleDict,
        editor: nn.ModuleDict,
        *,
        terms: Sequence[str],
        captions: bool,
        dropout: ConditionDropout,
    ) -> None:
        self._pipeline, self._decoder, self._editor = image_decoder.pipeline, decoder, editor
        self.terms, self._captions_only, self._dropout = tuple(terms), captions, dropout
        self._draws, self._edits = self._denoisers(image_decoder)
        self._told: set[bool] = set()

    def _denoisers(self, image_decoder: ImageDecoder) -> tuple[Denoiser | None, Denoiser | None]:
        """What draws, and what edits: the editor, or the drawing pipeline if its network has a place for a source."""
        pipeline, editor = image_decoder.pipeline, image_decoder.editor
        draws = None if pipeline is None else denoiser_for(pipeline)
        edits = draws if draws is not None and draws.edits else None
        if editor is not None:
            wanted = denoiser_for(editor)
            fits = self._captions_only or draws is None or _same_spec(pipeline, editor)
            edits = wanted if wanted.edits and fits else edits
        return draws, edits

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

    def count(self, batch: Mapping[str, Any]) -> dict[str, int]:
        """How many drawings of a batch have each loss."""
        edits = batch["edited"].tolist() if batch.get("plans") else []
        denoised = sum((self._edits if edit else self._draws) is not None for edit in edits)
        counts = {DENOISING: denoised, ALIGNMENT: len(edits)}
        return {name: counts[name] for name in self.terms}

    def sums(
        self, head: GenerationHead | None, query_states: Tensor | None, batch: Mapping[str, Any], *, training: bool,
        device: torch.device,
    ) -> dict[str, Tensor]:  # fmt: skip
        """Each loss, added up over the drawings of a batch.

        Args:
            head: makes the conditioning of states; None where captions do.
            query_states: [D, N, D_in].
        """
        sums: dict[str, list[Tensor]] = {name: [torch.zeros((), device=device)] for name in self.terms}
        plans: Sequence[str] = batch.get("plans", ())
        made = _made(head, query_states) if plans else None
        edited = batch["edited"].tolist() if plans else []
        seeds = _seeds(batch, len(plans), training)
        for denoiser, rows in self._groups(edited):
            if rows:
                picked = _Drawings(batch, rows, edited, [seeds[row] for row in rows], device)
                given = None if made is None else made.rows(torch.tensor(rows, device=device))
                for name, values in self._losses(denoiser, picked, given, head, training).items():
                    sums[name].append(values.sum())
            elif _in_many_processes():  # others may have some, and all run the same networks
                nothing = self._nothing(denoiser, head, device)
                for name, values in self._losses(denoiser, *nothing, head, training).items():
                    sums[name].append(values.sum() * 0)
        return {name: torch.stack(values).sum() for name, values in sums.items()}

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

    def _nothing(
        self, denoiser: Denoiser, head: GenerationHead | None, device: torch.device
    ) -> tuple[_Drawings, Conditioning | None]:
        """A small drawing that stands for none."""
        side, edit = min(self.resolution, _SMALL), denoiser is not self._draws
        batch: dict[str, Any] = {"plans": [""], "edited": torch.tensor([edit], device=device)}
        batch |= {f"{name}_pixels": torch.zeros(1, 3, side, side, device=device) for name in ("target", "source")}
        picked = _Drawings(batch, [0], [edit], [0], device)
        if self._captions_only or head is None:
            return picked, None
        shape = (1, int(head.config["num_queries"]), int(head.config["input_dim"]))
        return picked, _made(head, torch.zeros(shape, device=device))

    def _losses(
        self, denoiser: Denoiser, drawings: _Drawings, given: Conditioning | None, head: GenerationHead | None,
        training: bool,
    ) -> dict[str, Tensor]:  # fmt: skip
        """Alignment [n] and denoising [m] of some drawings, of those that have one."""
        pipeline, losses = denoiser.pipeline, dict[str, Tensor]()
        if given is not None and ALIGNMENT in self.terms:
            with torch.no_grad():
                wanted = encode_prompts(pipeline, drawings.plans, drawings.device)
            losses[ALIGNMENT] = relative_error(given.embeds, wanted.embeds[:, : given.embeds.shape[1]])
            if given.pooled is not None and wanted.pooled is not None:
                losses[ALIGNMENT] = losses[ALIGNMENT] + relative_error(given.pooled, wanted.pooled)
        if DENOISING not in self.terms or not drawings.has_target:
            return losses
        rows = [row for row, edit in enumerate(drawings.edited) if self._denoised(denoiser, edit)]
        if rows:
            kept = drawings if len(rows) == len(drawings.edited) else drawings.rows(rows)
            given = None if given is None else given.rows(torch.tensor(rows, device=drawings.device))
            losses[DENOISING] = self._denoise(denoiser, kept, given, head, training)
        return losses

    def _denoise(
        self, denoiser: Denoiser, drawings: _Drawings, given: Conditioning | None, head: GenerationHead | None,
        training: bool,
    ) -> Tensor:  # fmt: skip
        """[n] errors of the decoder, with some of what it is conditioned on left out."""
        network, vae = (self._module(denoiser.pipeline, part) for part in (denoiser_of(denoiser.pipeline), "vae"))
        latents = drawings.target(vae)
        noise = draw_noise(drawings.seeds, latents.shape[1:], latents.device)
        if given is None:
            given, null = self._captions(denoiser.pipeline, drawings)
        else:
            assert head is not None
            null = Conditioning(head.null_embeds, None if given.pooled is None else head.null_pooled)
        share = self._dropout if training else ConditionDropout(0.0, 0.0, 0.0)
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

    def _module(self, pipeline: Any, part: Any) -> Any:
        """A network of a pipeline as it is registered here, where wrappers replace it."""
        name = next(name for name, module in pipeline.components.items() if module is part or name == part)
        own = self._decoder if pipeline is self._pipeline else self._editor
        return own[name] if name in own else getattr(pipeline, name)


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


def _made(head: GenerationHead | None, query_states: Tensor | None) -> Conditioning | None:
    """What the head makes of states."""
    if head is None or query_states is None:
        return None
    return Conditioning(*head.condition(query_states.to(head.project_out.weight.dtype)))


def _seeds(batch: Mapping[str, Any], count: int, training: bool) -> list[int]:
    """Of each drawing's noise: the batch's; else drawn from the process's generator, and fixed in evaluation."""
    if "seeds" in batch:
        return [int(seed) for seed in batch["seeds"].tolist()]
    drawn = torch.randint(2**62, (count,)) if training else torch.arange(count)
    return [int(seed) for seed in drawn.tolist()]
