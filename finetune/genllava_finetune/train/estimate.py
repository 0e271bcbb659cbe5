"""What a recipe would take: parameters, memory and time, from configs alone. No weights are read."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from genllava.checkpoints import resolve
from genllava.errors import CheckpointError, GenLlavaError, InvalidRequest
from genllava.generation_head import GenerationHead
from genllava.image_decoder.conditioning import ConditioningSpec
from genllava.layout_decoder.transformer import LayoutTransformer2DModel
from genllava_finetune.data.storing import count_rows, find_shards
from genllava_finetune.recipes.parts import build_parts, new_head
from genllava_finetune.recipes.recipe import Head, Part, Recipe, Stage
from genllava_finetune.train.trainable import set_trainable, trained_tensors

_TEXT_TOKENS: Final = 256
"""Of a row's words, where its data set is not there to look at."""
_NEW_TOKENS: Final = 6
"""Task tokens and those around the visual queries."""
_DEVICE: Final = ("A100", 312e12, 0.35)
"""Name, operations a second in bfloat16, and the share of them that training commonly reaches."""
_GIB: Final = 2**30


class Skeleton(nn.Module):
    """The modules that a recipe trains, under the names of `GenLlavaForTraining`, on no device.

    Raises:
        CheckpointError: a part is not on disk, and the recipe has no config of it.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        model = recipe.model
        self.generation_head: GenerationHead | None = None
        made = [model.vlm, model.decoder, model.editor]
        self.new_tokens = [0]
        if model.pipeline is not None or any(part is not None and part.make is not None for part in made):
            parts = build_parts(model)  # what a function makes is small, and a saved pipeline is there
            self.vlm: Any = parts.vision_language.model
            self.generation_head = parts.generation_head
            pipelines = parts.image_decoder
            given = (None, None) if pipelines is None else (pipelines.pipeline, pipelines.editor)
            self.decoder, self.editor = (
                nn.ModuleDict({n: m for n, m in (p.components if p else {}).items() if isinstance(m, nn.Module)})
                for p in given
            )
            self.to("meta")
            return
        with torch.device("meta"):
            assert model.vlm is not None
            self.vlm = _vision_language(model.vlm)
            self.decoder, self.editor = _networks(model.decoder, "decoder"), _networks(model.editor, "editor")
            if isinstance(model.generation_head, Head):
                self.generation_head = _head(model.generation_head, self.vlm, self.decoder)
            queries = 0 if self.generation_head is None else int(self.generation_head.config["num_queries"])
            table = self.vlm.get_input_embeddings().weight.shape[0]
            self.new_tokens = list(range(table - _NEW_TOKENS - queries, table))


def report(recipe: Recipe) -> str:
    """The estimate as text: a table of parameters, and of each stage tokens, memory and time.

    Raises:
        CheckpointError: a part is not on disk, and the recipe has no config of it.
        InvalidRequest: a stage trains what is not there.
    """
    lines = [f"recipe {recipe.name}", ""]
    for planned in recipe.stages:
        own = tuple(name for name in planned.train if not name.startswith("auxiliaries."))  # small, and made of parts
        stage = planned.model_copy(update={"train": own})
        skeleton = Skeleton(recipe)
        total = {name: _count(module.parameters()) for name, module in _parts(skeleton)}
        with torch.device("meta"):
            set_trainable(skeleton, stage, skeleton.new_tokens)
        trained = {name: _count(p for p in m.parameters() if p.requires_grad) for name, m in _parts(skeleton)}
        lines += [f"stage {stage.name}", f"  {'part':<28}{'parameters':>16}{'trained':>16}"]
        for name, _ in _parts(skeleton):
            lines.append(f"  {name:<28}{total[name]:>16,}{trained[name]:>16,}")
        lines.append(f"  {'together':<28}{sum(total.values()):>16,}{sum(trained.values()):>16,}")
        lines += [f"  {line}" for line in _costs(recipe, stage, skeleton)] + [""]
    return "\n".join(lines)


def _costs(recipe: Recipe, stage: Stage, skeleton: Skeleton) -> list[str]:
    all_weights = _count(skeleton.parameters())
    trained = _count(trained_tensors(skeleton).values())
    frozen_bytes = 2 if stage.bf16 else 4
    states = 4 + 4 + 8 + (4 if stage.ema else 0)  # weights, gradients, AdamW's two moments, moving average
    fixed = frozen_bytes * (all_weights - trained) + states * trained
    text = skeleton.vlm.config.get_text_config()
    image = _image_tokens(skeleton.vlm.config)
    learns = any(p.requires_grad for p in skeleton.vlm.parameters())  # gradients go through the language model
    rows = stage.batch_size
    tokens = rows * (_TEXT_TOKENS + image)
    width, depth, vocabulary = text.hidden_size, text.num_hidden_layers, text.vocab_size
    each = 2 if stage.bf16 else 4
    per_layer = 16 * width + 3 * getattr(text, "intermediate_size", 4 * width)
    kept = tokens * each * (depth * width + per_layer if stage.gradient_checkpointing else depth * per_layer)
    logits = 2 * 4 * rows * _TEXT_TOKENS * vocabulary
    words = bool(stage.losses.cross_entropy or stage.bridge == "head")
    drawn = _activations(skeleton, stage, rows) if stage.losses.denoising else (0, 0)
    logits = logits if stage.losses.cross_entropy else 0
    memory = fixed + (kept + logits if words and learns else 0) + drawn[0]
    step = stage.gradient_accumulation_steps
    again = 1 if stage.gradient_checkpointing else 0
    passes = 3 + again if learns else 1  # forward, backward (two), anew
    network = _count(skeleton.vlm.parameters())
    operations = step * ((passes * 2 * network * tokens if words else 0) + (3 + again) * drawn[1])
    name, peak, share = _DEVICE
    seconds = operations / (peak * share)
    count, unit = _steps(recipe, stage)
    time = f"{count:,} steps, about {count * seconds / 3600:,.1f} hours" if count else unit
    return [
        f"a row: {image} tokens of a picture, {_TEXT_TOKENS} of words; a step: {tokens * step:,} tokens a device",
        f"memory a device: {memory / _GIB:.1f} GiB, of which weights, gradients and optimizer {fixed / _GIB:.1f}; "
        f"with FSDP over 8: {(memory - fixed + fixed / 8) / _GIB:.1f}",
        f"time on one {name} at {share:.0%} of its operations: {seconds:.2f} s a step, {time}",
    ]


def _steps(recipe: Recipe, stage: Stage) -> tuple[int, str]:
    """Steps of a stage; 0 with the reason, where the data is not there to be counted."""
    if stage.steps is not None:
        return stage.steps, ""
    chosen = [data for data in recipe.data if not stage.data or data.label in stage.data]
    rows = 0
    for data in chosen:
        with suppress(GenLlavaError):
            rows += sum(count_rows(shard) for shard in find_shards(data.path)) if data.path else 0
            continue
        return 0, f"{stage.epochs:g} epochs of data that is not there yet"
    each = stage.batch_size * stage.gradient_accumulation_steps
    return math.ceil(rows * (stage.epochs or 1) / each), ""


def _activations(skeleton: Skeleton, stage: Stage, pictures: int) -> tuple[int, float]:
    """Bytes that a denoiser keeps for the backward pass, and operations of its forward pass, run on no device."""
    from torch.utils.flop_counter import FlopCounterMode

    network: Any = next((skeleton.decoder[n] for n in ("unet", "transformer") if n in skeleton.decoder), None)
    if network is None:
        return 0, 0.0
    config, side = network.config, int(network.config["sample_size"])
    states = torch.zeros(1, int(config["in_channels"]), side, side, device="meta")
    length, dim, pooled = _conditioning(network)
    given: dict[str, Any] = {"encoder_hidden_states": torch.zeros(1, length, dim, device="meta", requires_grad=True)}
    if pooled is not None:
        given["pooled_projections"] = torch.zeros(1, pooled, device="meta")
    kept = dict[int, int]()

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, nn.Parameter):
            kept[id(tensor)] = tensor.numel() * (2 if stage.bf16 else 4)
        return tensor

    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda each: each):
        network(states, timestep=torch.zeros(1, device="meta"), return_dict=False, **given)
    share = 0.15 if stage.gradient_checkpointing else 1.0
    return int(share * pictures * sum(kept.values())), float(pictures * counter.get_total_flops())


def _conditioning(network: Any) -> tuple[int, int, int | None]:
    """Length and width of a denoiser's prompt embeddings, and width of the pooled one."""
    if "joint_attention_dim" in network.config:
        return 333, int(network.config["joint_attention_dim"]), int(network.config["pooled_projection_dim"])
    width = int(network.config["cross_attention_dim"])
    if isinstance(network, LayoutTransformer2DModel):
        return network.rows, width, None
    return 77, width, None


def _parts(skeleton: Skeleton) -> list[tuple[str, nn.Module]]:
    found: list[tuple[str, nn.Module]] = [("vlm", skeleton.vlm)]
    if skeleton.generation_head is not None:
        found.append(("generation_head", skeleton.generation_head))
    for name, modules in (("decoder", skeleton.decoder), ("editor", skeleton.editor)):
        found += [(f"{name}.{part}", module) for part, module in modules.items()]
    return found


def _count(parameters: Any) -> int:
    return sum(each.numel() for each in {id(each): each for each in parameters}.values())


def _image_tokens(config: Any) -> int:
    """Tokens of a picture of the size that the vision tower was made for, or of 512 pixels where any will do."""
    vision = getattr(config, "vision_config", None)
    if vision is None:
        return 0
    side, patch = getattr(vision, "image_size", None) or 512, vision.patch_size
    merged = int(getattr(vision, "spatial_merge_size", 1)) * int(getattr(config, "scale_factor", 1) or 1)
    return int((side // patch // merged) ** 2)


def _config(part: Part, name: str, file: str) -> Mapping[str, Any]:
    """A part's config from its folder, or from the recipe."""
    if part.source is not None:
        with suppress(GenLlavaError):
            path = Path(resolve(part.source, {"local_files_only": True})) / file
            if path.is_file():
                return dict(json.loads(path.read_text(encoding="utf-8")))
    if part.config is None:
        raise CheckpointError(
            f"model.{name}: {part.source or part.vision} is not on this machine, and the recipe has no config of it: "
            f"get its configs, or write them below model.{name}.config"
        )
    return part.config


def _vision_language(part: Part) -> Any:
    import transformers as hf

    values = dict(_config(part, "vlm", "config.json"))
    kind = str(values.pop("model_type", "llava"))
    try:
        config: Any = hf.AutoConfig.for_model(kind, **values)
    except ValueError as error:
        raise InvalidRequest(f"model.vlm.config: {error}") from error
    return hf.AutoModelForImageTextToText.from_config(config)


def _networks(part: Part | None, name: str) -> nn.ModuleDict:
    """The networks of a pipeline."""
    import diffusers
    import transformers

    found = nn.ModuleDict()
    if part is None:
        return found
    for component, config in _config(part, name, "model_index.json").items():
        values = dict(config) if isinstance(config, Mapping) else {}
        if isinstance(config, list) and len(config) == 2 and part.source is not None and config[0] is not None:
            path = Path(resolve(part.source, {"local_files_only": True})) / component / "config.json"
            values = dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
            values |= {"_class_name": config[1]} if values else {}
        kind = values.pop("_class_name", None)
        if kind is None:
            continue
        made: Any = getattr(diffusers, kind, None) or getattr(transformers, kind, None)
        network: Any = made
        if not (inspect.isclass(made) and issubclass(made, nn.Module)):
            raise InvalidRequest(f"model.{name}.config.{component}: there is no network {kind}")
        from_transformers = getattr(network, "config_class", None) is not None
        found[component] = network(network.config_class(**values)) if from_transformers else network.from_config(values)
    return found


def _head(wanted: Head, vlm: Any, decoder: nn.ModuleDict) -> GenerationHead:
    network = next((decoder[name] for name in ("unet", "transformer") if name in decoder), None)
    if network is None:
        raise CheckpointError("model.generation_head needs an image decoder: give model.decoder")
    return new_head(wanted, vlm.config.get_text_config().hidden_size, ConditioningSpec(*_conditioning(network)))
