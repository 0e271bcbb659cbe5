"""What a stage trains: names of modules, low-rank adapters, rows of new tokens; all else is frozen."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import torch
from peft import LoraConfig, PeftModel, TrainableTokensConfig, get_peft_model
from torch import Tensor, nn

from genllava.errors import InvalidRequest
from genllava_finetune.recipes.recipe import Lora, Stage
from genllava_finetune.train.muon import takes_muon

NEW_TOKENS: Final = "vlm.new_tokens"
"""The name, in a recipe, of the rows of the tokens that were added to the language model."""


class Adapters:
    """The adapters of a stage, by the module of the model that they are in: `vlm`, `decoder.unet`.

    Attributes:
        by_module: peft's models around those modules, which they change in place.
    """

    def __init__(self, by_module: Mapping[str, PeftModel]) -> None:
        self.by_module = dict(by_module)

    def merge(self) -> None:
        """Write what they learnt into the weights, and take them out of the model."""
        for adapted in self.by_module.values():
            adapted.merge_and_unload()
        self.by_module.clear()


def set_trainable(
    model: nn.Module, stage: Stage, new_tokens: Sequence[int] = (), *, frozen: torch.dtype = torch.float32
) -> Adapters:
    """Freeze a model but for what a stage trains, which is put into float32.

    Args:
        model: a `GenLlavaForTraining`.
        new_tokens: ids of the tokens that were added to the language model.
        frozen: precision of what is frozen.

    Returns:
        The adapters that were added.

    Raises:
        InvalidRequest: the model has no module of a name, or a module has no such layers.
    """
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    names = [name for name in stage.train if name != NEW_TOKENS]
    for name in names:
        for parameter in _module(model, name, f"stage {stage.name}: train").parameters():
            parameter.requires_grad_(True)
    whole = any(name == "vlm" for name in names)
    wanted = NEW_TOKENS in stage.train or (any(_root(each.on) == "vlm" for each in stage.lora) and not whole)
    adapters = Adapters({})
    by_root = dict[str, list[Lora]]()
    for each in stage.lora:
        by_root.setdefault(_root(each.on), []).append(each)
    if wanted:
        by_root.setdefault("vlm", [])
    for root, several in by_root.items():
        module = _module(model, root, f"stage {stage.name}: lora")
        kept = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
        tokens = _token_rows(model, new_tokens) if wanted and root == "vlm" else {}
        adapters.by_module[root] = get_peft_model(module, _config(model, root, several, tokens, stage))
        for name in kept:  # peft freezes what it wraps
            module.get_parameter(name).requires_grad_(True)
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(torch.float32 if parameter.requires_grad else frozen)
    return adapters


def trained_tensors(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights that are trained, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def parameter_groups(model: nn.Module, stage: Stage) -> list[dict[str, Any]]:
    """Groups of an optimizer: each with its learning rate, and weight decay for matrices only.

    With `optimizer: muon` each says whether it is for Muon.

    Raises:
        InvalidRequest: a learning rate is for a module that the model has not, or that is not trained.
    """
    rates = stage.learning_rate if isinstance(stage.learning_rate, dict) else {"default": stage.learning_rate}
    trained = trained_tensors(model)
    groups = dict[tuple[float, float, bool], list[Tensor]]()
    used = set[str]()
    for name, parameter in trained.items():
        matching = [prefix for prefix in rates if name == prefix or name.startswith(f"{prefix}.")]
        prefix = max(matching, key=len, default="default")
        if prefix not in rates:
            raise InvalidRequest(f"stage {stage.name}: learning_rate has no default, which {name} needs")
        used.add(prefix)
        decay = stage.weight_decay if parameter.ndim > 1 and "embed" not in name else 0.0
        muon = stage.optimizer == "muon" and takes_muon(name, parameter)
        groups.setdefault((rates[prefix], decay, muon), []).append(parameter)
    if unused := set(rates) - used - {"default"}:
        name = unused.pop()
        _module(model, name, f"stage {stage.name}: learning_rate")
        raise InvalidRequest(f"stage {stage.name}: learning_rate: {name} is not trained")
    made: list[dict[str, Any]] = []
    for (rate, decay, muon), parameters in groups.items():
        made.append({"params": parameters, "lr": rate, "weight_decay": decay})
        if stage.optimizer == "muon":
            made[-1]["muon"] = muon
    return made


def _root(name: str) -> str:
    """The module that peft wraps: the language model, or a network of a pipeline."""
    parts = name.split(".")
    return parts[0] if parts[0] in ("vlm", "generation_head") else ".".join(parts[:2])


def _module(model: nn.Module, name: str, what: str) -> nn.Module:
    try:
        return model.get_submodule(name)
    except AttributeError:
        names = [each for each, _ in model.named_modules() if each.count(".") <= name.count(".")]
        near = difflib.get_close_matches(name, names, 1, 0.0)
        raise InvalidRequest(
            f"{what}: the model has no module {name}: did you mean {near[0] if near else '?'}?"
        ) from None


def _token_rows(model: Any, ids: Sequence[int]) -> dict[str, list[int]]:
    """Indices of the added tokens' rows, by the name of the embedding or output layer within the language model."""
    layers = {id(model.vlm.get_input_embeddings())}
    output = model.vlm.get_output_embeddings()
    if output is not None and output.weight is not model.vlm.get_input_embeddings().weight:
        layers.add(id(output))
    return {name: list(ids) for name, module in model.vlm.named_modules() if id(module) in layers}


def _config(model: nn.Module, root: str, several: Sequence[Lora], tokens: dict[str, list[int]], stage: Stage) -> Any:
    if not several:
        ids = next(iter(tokens.values()))
        return TrainableTokensConfig(target_modules=list(tokens), token_indices=ids)
    first = several[0]
    if any((each.r, each.alpha, each.dropout) != (first.r, first.alpha, first.dropout) for each in several):
        raise InvalidRequest(f"stage {stage.name}: lora: adapters of one model ({root}) share r, alpha and dropout")
    targets = [name for each in several for name in _linear(model, root, each, stage)]
    shape: dict[str, Any] = {"r": first.r, "lora_alpha": first.alpha, "lora_dropout": first.dropout}
    return LoraConfig(target_modules=targets, trainable_token_indices=tokens or None, **shape)


def _linear(model: nn.Module, root: str, lora: Lora, stage: Stage) -> Iterator[str]:
    """Names, below `root`, of the linear layers that an entry means."""
    what = f"stage {stage.name}: lora"
    below = _module(model, lora.on, what)
    prefix = f"{lora.on}.".removeprefix(f"{root}.")
    output = getattr(model.get_submodule(root), "get_output_embeddings", lambda: None)()
    found = False
    for name, module in below.named_modules():
        ending = not lora.targets or any(name == each or name.endswith(f".{each}") for each in lora.targets)
        if isinstance(module, nn.Linear) and module is not output and ending:
            found = True
            yield prefix + name
    if not found:
        raise InvalidRequest(f"{what}: {lora.on} has no linear layer named {', '.join(lora.targets) or 'so'}")
