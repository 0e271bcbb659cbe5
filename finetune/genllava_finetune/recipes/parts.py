"""The parts that a recipe names: loaded or made, put together, and checked to fit."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from genllava import GenLlavaPipeline
from genllava.checkpoints import reading, resolve
from genllava.errors import CheckpointError, InvalidRequest
from genllava.generation_head import GenerationHead
from genllava.image_decoder import ImageDecoder, load_diffusion
from genllava.image_decoder.conditioning import ConditioningSpec
from genllava.part_loading import load_head
from genllava.protocols.parts import Parts
from genllava.protocols.visual_queries import fit_head
from genllava.vision_language import VisionLanguage
from genllava_finetune.recipes.recipe import Head, Model, Part


def named_function(name: str, what: str) -> Callable[..., Any]:
    """A function by its name, "package.module:function".

    Raises:
        InvalidRequest: there is none.
    """
    module, colon, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function) if colon else None
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidRequest(f"{what}: there is no function {name}: {error}") from error
    if not callable(found):
        raise InvalidRequest(f"{what}: {name!r} is no function: write package.module:function")
    return found


def called(name: str, what: str, /, *arguments: Any, **options: Any) -> Any:
    """What a named function of a recipe returns.

    Raises:
        InvalidRequest: there is none, or it does not take the options.
    """
    function = named_function(name, what)
    try:
        inspect.signature(function).bind(*arguments, **options)
    except TypeError as error:
        raise InvalidRequest(f"{what}: {name} does not take these options: {error}") from error
    return function(*arguments, **options)


def load_pipeline(model: Model) -> GenLlavaPipeline | None:
    """The saved pipeline that a recipe goes on from, on the CPU; None where the recipe names parts.

    Raises:
        CheckpointError: it cannot be read.
        InvalidRequest: it has no network of which the recipe wants new weights.
    """
    if model.pipeline is None:
        return None
    source = None if model.pipeline == "shipped" else model.pipeline
    pipeline = GenLlavaPipeline.from_pretrained(source, device="cpu")
    for name in model.new_weights:
        holder_name, _, part = name.rpartition(".")
        holder: Any = getattr(pipeline, holder_name, None) if holder_name else pipeline
        network = getattr(holder, part, None)
        if not isinstance(network, nn.Module):
            raise InvalidRequest(f"model.new_weights: the pipeline has no network {name}, such as decoder.unet")
        kind: Any = type(network)
        config: Any = network.config
        made = kind.from_config(config) if hasattr(kind, "from_config") else kind(config)
        setattr(holder, part, made.eval())
    return pipeline


def build_parts(model: Model, *, seed: int = 0) -> Parts:
    """The parts of a recipe, on the CPU and in evaluation mode; new weights are drawn from `seed`.

    Raises:
        CheckpointError: a part cannot be read, or the parts do not fit together; the message says which and how.
        InvalidRequest: a function of the recipe is not there, or does not take its options.
    """
    torch.manual_seed(seed)
    if (saved := load_pipeline(model)) is not None:
        return saved.parts()
    assert model.vlm is not None
    vision_language = _vision_language(model.vlm, model.chat_template)
    pipelines = [_pipeline(part, name) for name, part in (("decoder", model.decoder), ("editor", model.editor))]
    decoder = ImageDecoder(*pipelines) if any(each is not None for each in pipelines) else None
    head = _head(model.generation_head, vision_language, decoder)
    if head is not None:
        fit_head(head, vision_language, decoder)
    return Parts(vision_language, decoder, head, "caption" if head is None else "head")


def _vision_language(part: Part, chat_template: str | None) -> VisionLanguage:
    if part.make is not None:
        made = called(part.make, "model.vlm.make", **part.options)
        return made if isinstance(made, VisionLanguage) else VisionLanguage(*made)
    if part.source is not None:
        return VisionLanguage.from_pretrained(part.source, chat_template=chat_template, **part.options)
    return VisionLanguage(*joined(str(part.vision), str(part.language), chat_template))


def joined(vision: str, language: str, chat_template: str | None) -> tuple[nn.Module, Any]:
    """A LLaVA of a vision tower and a language model, with a new projector of two layers.

    Args:
        vision: folder or hub id of a SigLIP or CLIP model.
        language: of a causal language model.
        chat_template: Jinja source that places `<image>`; the tokenizer's own is for words alone.

    Returns:
        The model, and its processor.

    Raises:
        CheckpointError: one of them cannot be read.
    """
    import transformers as hf

    with reading(f"vision {vision}"):
        tower_config = hf.AutoConfig.from_pretrained(vision)
        tower_config = getattr(tower_config, "vision_config", tower_config)
        kinds: Any = {"siglip_vision_model": hf.SiglipVisionModel, "clip_vision_model": hf.CLIPVisionModel}
        if tower_config.model_type not in kinds:
            raise CheckpointError(f"vision {vision} is a {tower_config.model_type}: give a SigLIP or CLIP model")
        siglip = tower_config.model_type.startswith("siglip")
        if siglip:
            tower_config.vision_use_head = False
        tower = kinds[tower_config.model_type].from_pretrained(vision, config=tower_config, use_safetensors=True)
        images: Any = hf.AutoImageProcessor.from_pretrained(vision)
    with reading(f"language {language}"):
        words: Any = hf.AutoModelForCausalLM.from_pretrained(language, use_safetensors=True)
        tokenizer: Any = hf.AutoTokenizer.from_pretrained(language)
    tokenizer.add_tokens([hf.AddedToken("<image>", special=True, normalized=False)], special_tokens=True)
    words.resize_token_embeddings(max(len(tokenizer), words.get_input_embeddings().weight.shape[0]))
    chosen: dict[str, Any] = {"vision_feature_select_strategy": "full" if siglip else "default"}
    config = hf.LlavaConfig(
        vision_config=tower.config,
        text_config=words.config,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-2,
        tie_word_embeddings=bool(words.config.tie_word_embeddings),
        **chosen,
    )
    with torch.device("meta"):
        model: Any = hf.LlavaForConditionalGeneration(config)
    model.model.multi_modal_projector = type(model.model.multi_modal_projector)(config)
    model.model.vision_tower, model.model.language_model, model.lm_head = tower, words.model, words.lm_head
    model.generation_config = words.generation_config
    processor = hf.LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=tower.config.patch_size,
        num_additional_image_tokens=0 if siglip else 1,
        chat_template=chat_template or tokenizer.chat_template,
        **chosen,
    )
    return model.eval(), processor


def _pipeline(part: Part | None, name: str) -> Any:
    if part is None:
        return None
    if part.make is not None:
        return called(part.make, f"model.{name}.make", **part.options)
    if part.source is None:
        raise InvalidRequest(f"model.{name}: vision and language make a language model: give from or make")
    return load_diffusion(part.source, part=name, **part.options)


def _head(wanted: Head | str | None, vision_language: VisionLanguage, decoder: ImageDecoder | None) -> Any:
    if wanted is None:
        return None
    if decoder is None:
        raise CheckpointError("model.generation_head needs an image decoder: give model.decoder")
    if isinstance(wanted, str):
        return load_head(resolve(wanted, {}), torch.float32, None)
    return new_head(wanted, vision_language.hidden_size, decoder.spec).eval()


def new_head(wanted: Head, hidden_size: int, spec: ConditioningSpec) -> GenerationHead:
    """A new head; sizes that the recipe leaves out are those of what it stands between.

    Args:
        hidden_size: of the language model.
        spec: of the decoder's conditioning.
    """
    fitting = {
        "input_dim": hidden_size * len(wanted.layers),
        "output_length": wanted.num_queries if wanted.kind == "linear" else spec.length,
        "output_dim": spec.dim,
        "pooled_dim": spec.pooled_dim,
    }
    given = wanted.model_dump()
    sizes = {name: given[name] if given[name] is not None else value for name, value in fitting.items()}
    return GenerationHead(**{**given, **sizes}, query_tokens=True)
