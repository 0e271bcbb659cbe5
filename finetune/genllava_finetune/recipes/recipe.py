"""Recipes: YAML files that say which parts are trained, on what data, in which stages."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from genllava.errors import InvalidRequest

FOLDER: Final = Path(__file__).parent
"""The recipes that ship."""


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # yaml is not typed
    """Safe YAML in which only `true` and `false` are truth values: `on` is a key of ours."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        letter: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:bool" or letter in "tTfF"]
        for letter, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, protected_namespaces=())


class Part(_Strict):
    """Where a part of the model comes from: exactly one of `from`, `vision` with `language`, and `make`.

    Attributes:
        source: (`from`) folder or hub id.
        vision, language: a vision tower and a language model that are put together as a LLaVA with a new projector.
        make: "package.module:function", which is called with `options` and returns the part.
        options: of `make`; of `from_pretrained` otherwise.
        config: of the part, where it is not on disk: read by dry runs only. Of a vision-language model, the arguments
            of its transformers config with `model_type`; of a pipeline, its class as `pipeline` and the configs of
            its networks, each with `_class_name`.
    """

    source: str | None = Field(default=None, alias="from")
    vision: str | None = None
    language: str | None = None
    make: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    config: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Part:
        joined = (self.vision is not None, self.language is not None)
        if (self.source is not None) + all(joined) + (self.make is not None) != 1 or any(joined) != all(joined):
            raise ValueError("give exactly one of: from; vision and language; make")
        return self


class Head(_Strict):
    """A new `GenerationHead`; sizes that are left out are those of the language model and the decoder."""

    kind: Literal["encoder", "qformer", "linear"] = "encoder"
    num_queries: int = Field(default=16, ge=1)
    hidden_dim: int = Field(default=512, ge=1)
    num_layers: int = Field(default=4, ge=1)
    num_heads: int = Field(default=4, ge=1)
    layers: tuple[int, ...] = (-1,)
    residual: bool = True
    input_dim: int | None = None
    output_length: int | None = None
    output_dim: int | None = None
    pooled_dim: int | None = None


class Model(_Strict):
    """What is trained: a saved `GenLlavaPipeline`, or parts that are put together.

    Attributes:
        pipeline: folder or hub id of a saved pipeline to go on from; "shipped" is the model that comes with genllava.
        vlm, decoder, editor: parts; a string stands for `from`.
        generation_head: a new one, or the folder of a saved one.
        drawing_options: of every drawing of the trained pipeline and of samples, such as `num_inference_steps`.
        chat_template: Jinja source, in the place of the language model's own.
        new_weights: networks of the pipeline that begin anew, such as `decoder.unet`, drawn from the recipe's seed.
        encoder: "package.module:function" that makes the encoder of rows for a protocol of its own, from the parts.
    """

    pipeline: str | None = None
    vlm: Part | None = None
    decoder: Part | None = None
    editor: Part | None = None
    generation_head: Head | str | None = None
    chat_template: str | None = None
    drawing_options: dict[str, Any] = Field(default_factory=dict)
    new_weights: tuple[str, ...] = ()
    encoder: str | None = None

    @field_validator("vlm", "decoder", "editor", mode="before")
    @classmethod
    def _from(cls, value: Any) -> Any:
        return {"from": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_origin(self) -> Model:
        if (self.pipeline is None) == (self.vlm is None):
            raise ValueError("give either pipeline (a saved GenLlavaPipeline) or vlm")
        if self.pipeline is not None and (self.decoder or self.editor or self.generation_head):
            raise ValueError("decoder, editor and generation_head come with the pipeline")
        if self.pipeline is None and self.new_weights:
            raise ValueError("new_weights is for networks of a pipeline, and none is given")
        return self


class Data(_Strict):
    """A data set.

    Attributes:
        path: folder written by `genllava data prepare`.
        rows: "package.module:function", which is called with `options` and yields rows.
        name: by which stages choose it; the last part of `path`, or the function's name, if left out.
        weight: share of it in what is drawn, relative to the others.
    """

    path: str | None = None
    rows: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    name: str = ""
    weight: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _one_origin(self) -> Data:
        if (self.path is None) == (self.rows is None):
            raise ValueError("give either path (a folder) or rows (package.module:function)")
        return self

    @property
    def label(self) -> str:
        """Its name."""
        return self.name or (Path(self.path).name if self.path else str(self.rows).partition(":")[2])


class Lora(_Strict):
    """Low-rank adapters of peft, in the place of training the weights themselves.

    Attributes:
        on: module below which linear layers get adapters, such as `vlm.model.language_model` or `decoder.unet`.
        targets: last parts of those layers' names; empty: all linear layers.
    """

    on: str
    r: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: tuple[str, ...] = ()


class Losses(_Strict):
    """Weights of the losses; a loss of weight 0 is not computed."""

    cross_entropy: float = Field(default=1.0, ge=0)
    denoising: float = Field(default=1.0, ge=0)
    alignment: float = Field(default=1.0, ge=0)


class Dropout(_Strict):
    """Shares of pictures whose text, source or both are dropped, for classifier-free guidance."""

    text: float = Field(default=0.05, ge=0, le=1)
    source: float = Field(default=0.05, ge=0, le=1)
    both: float = Field(default=0.05, ge=0, le=1)


class Auxiliary(_Strict):
    """A further loss: `make` ("package.module:function") is called with the parts and `options`."""

    make: str
    options: dict[str, Any] = Field(default_factory=dict)


class Stage(_Strict):
    """One run of the optimizer.

    Attributes:
        train: names of the modules whose weights are trained, all others are frozen: `vlm`, `generation_head`,
            `decoder.unet`, `editor.unet`, parts of them (`vlm.model.multi_modal_projector`), `auxiliaries.NAME`; and
            `vlm.new_tokens`, the rows of the tokens that were added to the language model.
        lora: adapters.
        data: names of the data sets; empty: all.
        optimizer: `muon` updates the matrices of repeated layers by Muon and all else by AdamW. Others are chosen by
            their name in transformers: `arguments: {optim: adafactor}`.
        learning_rate: one, or one for each name of a module, with that of all others as `default`.
        warmup: steps, or a share of them if below 1.
        ema: decay of the exponential moving average of the trained weights, which is what a stage ends with.
        save_every, evaluate_every, log_every: steps; 0: never.
        gradient_norms_every: how many logs apart the gradient norm of each loss is measured; 0: never.
        samples: rows whose answers and pictures are kept at each evaluation.
        show_last_picture: whether a picture that ends a row is shown to the model, after which it learns to end.
        group_by_length: rows of a batch are of similar length, so that little of it is padding.
        cache: what is computed by frozen networks is kept on disk: `latents` of pictures, states of the `vision`
            tower, and the language model's `states` at the visual queries, where nothing but the head is trained.
        rejected_share: of rows that cannot be encoded, above which training stops.
        non_finite: losses or gradients in a row that are not finite, after which training stops.
        arguments: further `transformers.TrainingArguments`.
    """

    name: str = Field(default="train", pattern=r"^[\w-]+$")
    train: tuple[str, ...] = ()
    lora: tuple[Lora, ...] = ()
    data: tuple[str, ...] = ()
    losses: Losses = Losses()
    auxiliaries: dict[str, Auxiliary] = Field(default_factory=dict)
    bridge: Literal["head", "caption"] = "head"
    dropout: Dropout = Dropout()
    task_token_dropout: float = Field(default=0.0, ge=0, le=1)
    show_last_picture: bool = True
    steps: int | None = Field(default=None, ge=1)
    epochs: float | None = Field(default=None, gt=0)
    batch_size: int = Field(default=8, ge=1)
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: float | dict[str, float] = 1e-4
    weight_decay: float = Field(default=0.0, ge=0)
    scheduler: str = "cosine"
    warmup: float = Field(default=0.03, ge=0)
    ema: float | None = Field(default=None, gt=0, lt=1)
    bf16: bool = False
    gradient_checkpointing: bool = False
    max_grad_norm: float = Field(default=1.0, ge=0)
    save_every: int = Field(default=500, ge=0)
    evaluate_every: int = Field(default=0, ge=0)
    log_every: int = Field(default=10, ge=1)
    gradient_norms_every: int = Field(default=10, ge=0)
    samples: int = Field(default=8, ge=0)
    group_by_length: bool = False
    cache: tuple[Literal["latents", "vision", "states"], ...] = ()
    rejected_share: float = Field(default=0.05, ge=0, le=1)
    non_finite: int = Field(default=10, ge=1)
    arguments: dict[str, Any] = Field(default_factory=dict)

    @field_validator("lora", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return [value] if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _complete(self) -> Stage:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs")
        if not self.train and not self.lora:
            raise ValueError("nothing is trained: name modules in train, or add lora")
        if self.optimizer == "muon" and "optim" in self.arguments:
            raise ValueError("two optimizers: leave out optimizer: muon, or optim in arguments")
        return self


class Recipe(_Strict):
    """A training run; see `docs/training.md`.

    Attributes:
        data: what is trained on.
        evaluation: what losses are measured on, and samples drawn of, every `evaluate_every` steps.
        resolution: (width and height) of target and source pictures; None: that of the decoder.
        quick: settings in the form of `--set`, such as `stages.decoder.steps: 500`, which `--quick` applies.
    """

    name: str = Field(pattern=r"^[\w.-]+$")
    seed: int = 0
    model: Model
    data: tuple[Data, ...] = Field(min_length=1)
    evaluation: tuple[Data, ...] = ()
    resolution: int | None = Field(default=None, ge=8)
    quick: dict[str, Any] = Field(default_factory=dict, exclude=True)
    stages: tuple[Stage, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names(self) -> Recipe:
        for what, names in (("stages", [s.name for s in self.stages]), ("data", [d.label for d in self.data])):
            if twice := {name for name in names if names.count(name) > 1}:
                raise ValueError(f"two of {what} have the name {twice.pop()!r}: give each a name of its own")
        for stage in self.stages:
            if unknown := set(stage.data) - {data.label for data in self.data}:
                raise ValueError(f"stage {stage.name}: there is no data set {unknown.pop()!r} in data")
        return self


def load_recipe(source: str | PathLike[str], settings: Sequence[str] = (), *, quick: bool = False) -> Recipe:
    """A recipe, checked.

    Args:
        source: a YAML file, or the name of a recipe that ships.
        settings: `key=value`, which replace what the file says: `stages.0.steps=10`, `model.vlm=FOLDER`.
        quick: with the settings that the recipe names in `quick`, before the others.

    Raises:
        InvalidRequest: there is no such recipe, or it is wrong; the message names the line and the key.
    """
    path = Path(source)
    if not path.is_file() and path.suffix not in (".yaml", ".yml"):
        path = FOLDER / f"{path.name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.yaml")))
        raise InvalidRequest(f"there is no recipe {source}: give a YAML file, or one of {known}")
    try:
        text = path.read_text(encoding="utf-8")
        value, root = yaml.load(text, Loader=_Loader), yaml.compose(text, Loader=_Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        place = f"{path}:{where.line + 1}" if where else str(path)
        problem = getattr(error, "problem", None) or error
        raise InvalidRequest(f"{place}: this is no YAML: {problem}") from None
    own = value.get("quick") if isinstance(value, dict) else None
    if quick and not own:
        raise InvalidRequest(f"{path}: the recipe has no quick: settings for --quick, in the form of --set")
    for key, new in own.items() if quick and isinstance(own, dict) else ():
        _put(value, str(key), copy.deepcopy(new), f"{path}: quick: {key}")
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise InvalidRequest(f"--set {setting}: give key=value, such as stages.0.steps=10")
        _put(value, key, yaml.load(text, Loader=_Loader), f"--set {setting}")
    try:
        return Recipe.model_validate(value)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        inner = [each for each in errors if each["type"] != "too_short"]  # a list is empty where its entries are wrong
        problems = [_problem(path, root, each) for each in inner or errors]
        raise InvalidRequest("; ".join(dict.fromkeys(problems))) from None


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML, with every setting."""
    return str(yaml.safe_dump(recipe.model_dump(mode="json", by_alias=True), sort_keys=False, allow_unicode=True))


def _put(value: Any, key: str, new: Any, what: str) -> None:
    """Replace one setting of a recipe."""
    *path, last = key.split(".")
    at = value
    for part in path:
        place = _place(at, part, what)
        at = at[place] if isinstance(at, list) or place in at else at.setdefault(place, {})
    at[_place(at, last, what)] = new


def _place(at: Any, part: str, what: str) -> Any:
    """The key of a mapping, or the index of an entry, which may be named."""
    if isinstance(at, dict):
        return part
    if not isinstance(at, list):
        raise InvalidRequest(f"{what}: {part} is below what has no keys")
    names = [str(each.get("name")) if isinstance(each, dict) else "" for each in at]
    place = names.index(part) if part in names else int(part) if part.isdigit() else len(at)
    if place >= len(at):
        raise InvalidRequest(f"{what}: there is no entry {part}; {len(at)} are there, from 0")
    return place


def _problem(path: Path, root: Any, error: Any) -> str:
    """One of pydantic's errors in words, with line and key."""
    kind: type[BaseModel] = Recipe
    node, line, keys = root, 1, list[str]()
    for part in error["loc"]:
        found = None
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == part), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = (node.value[part], node.value[part])
        if found is not None:
            line, node = found[0].start_mark.line + 1, found[1]
        elif part != error["loc"][-1]:
            continue  # the name of a type among several
        keys.append(str(part))
        kind = _KINDS.get(str(part), kind) if part != error["loc"][-1] else kind
    place = f"{path}:{line}: {'.'.join(keys) or 'the recipe'}"
    if error["type"] != "extra_forbidden":
        return f"{place}: {error['msg'].removeprefix('Value error, ')}"
    known = [field.alias or name for name, field in kind.model_fields.items()]
    return f"{place} is no key of a recipe: did you mean {difflib.get_close_matches(keys[-1], known, 1, 0.0)[0]}?"


_KINDS: Final[dict[str, type[BaseModel]]] = {
    "model": Model, "vlm": Part, "decoder": Part, "editor": Part, "generation_head": Head, "data": Data,
    "evaluation": Data, "stages": Stage, "lora": Lora, "losses": Losses, "dropout": Dropout, "auxiliaries": Auxiliary,
}  # fmt: skip
"""What stands below a key."""
