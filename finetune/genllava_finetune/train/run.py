"""A training run: the stages of a recipe one after the other, in a folder from which it goes on."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from safetensors.torch import save_file
from torch import nn
from transformers import set_seed

from genllava import GenLlavaPipeline
from genllava.errors import CheckpointError, InvalidRequest
from genllava.protocols.parts import Parts
from genllava_finetune.data.durable_files import whole_file
from genllava_finetune.modeling.encoding import RowEncoder
from genllava_finetune.modeling.model import ConditionDropout, GenLlavaForTraining, LossWeights
from genllava_finetune.recipes.parts import build_parts, called, load_pipeline
from genllava_finetune.recipes.recipe import Recipe, Stage, dump_recipe, load_recipe
from genllava_finetune.train.beginning import beginning_of, stage_file
from genllava_finetune.train.cache import Caches
from genllava_finetune.train.callbacks import Average, Samples
from genllava_finetune.train.rows import Batches, TrainingRows, measured_length, sources_of
from genllava_finetune.train.trainable import Adapters, set_trainable
from genllava_finetune.train.trainer import GenLlavaTrainer, load_trained, training_arguments


class Run:
    """A recipe in a folder: `recipe.yaml`, `checkpoints/`, `stages/`, `samples/`, `runs/`, `adapters/`, `model/`.

    Args:
        folder: of an earlier run of the same recipe, or a new one.
        resume: go on with what is in the folder, from the stage that it began with.
        from_stage: begin with this stage, or the first one of the group (see `beginning.first_stage`).
        weights: folders of runs whose weights the stages before it have.

    Raises:
        CheckpointError: the folder has a run of another recipe, or one that was not to be gone on with, or one that
            began with another stage; or the weights of a stage are nowhere.
        InvalidRequest: there is no such stage.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        *,
        resume: bool = False,
        from_stage: str | None = None,
        weights: Sequence[Path] = (),
    ) -> None:
        self.recipe, self.folder = recipe, folder
        self._saved: GenLlavaPipeline | None = None
        self._auxiliaries = dict[str, tuple[str, str, nn.Module]]()  # by name: where made, last stage, module
        kept, text = folder / "recipe.yaml", dump_recipe(recipe)
        if kept.exists():
            if not _has(kept, text):
                raise CheckpointError(f"{folder} has a run of another recipe ({kept}): give another folder with -o")
            if not resume and any((folder / name).exists() for name in ("checkpoints", "stages", "model")):
                raise CheckpointError(f"{folder} has a run of this recipe: go on with --resume, or give another folder")
        elif folder.exists() and any(folder.iterdir()):
            raise CheckpointError(f"{folder} is not empty and has no recipe.yaml: give another folder with -o")
        self._beginning = beginning_of(recipe, folder, from_stage, weights, resume=resume)
        self._beginning.check(recipe, folder)
        processes = PartialState(cpu=not torch.accelerator.is_available())
        processes.wait_for_everyone()  # all of them have looked before one of them writes
        if processes.is_main_process:
            folder.mkdir(parents=True, exist_ok=True)
            self._beginning.write(folder)  # before the recipe, without which nothing goes on in a folder
            with whole_file(kept) as file:
                file.write(text.encode())
        processes.wait_for_everyone()

    def train(self) -> Path:
        """Train what is not trained yet.

        Returns:
            The folder of the trained pipeline.

        Raises:
            CheckpointError, DataError, InvalidRequest, NonFiniteError: what went wrong; checkpoints are kept.
        """
        target = self.folder / "model"
        if target.exists():
            return target
        if PartialState().is_main_process:
            self._beginning.copy_weights(self.recipe, self.folder)
        PartialState().wait_for_everyone()
        parts = self._new_parts()
        for number in range(len(self.recipe.stages)):
            parts = self._stage(number, parts)
        model, _, _ = self._model(self.recipe.stages[-1].model_copy(update={"lora": ()}), parts)
        if PartialState().is_main_process:
            write_whole(target, self._pipeline(model.eval()).save_pretrained)
        PartialState().wait_for_everyone()
        return target

    def _new_parts(self) -> Parts:
        torch.manual_seed(self.recipe.seed)
        self._auxiliaries.clear()
        self._saved = load_pipeline(self.recipe.model)
        if self._saved is not None:
            return self._saved.parts()
        return build_parts(self.recipe.model, seed=self.recipe.seed)

    def _stage(self, number: int, parts: Parts) -> Parts:
        """Parts as they are after a stage."""
        stage = self.recipe.stages[number]
        done = stage_file(self.folder, number, stage)
        if number < self._beginning.number(self.recipe) and not done.exists():
            return parts
        model, encoder, adapters = self._model(stage, parts)
        if not done.exists():
            trainer = self._trainer(number, model, encoder)
            last = trainer.last_checkpoint
            trainer.train(resume_from_checkpoint=None if last is None else str(last))
            with trainer.averaged():
                state = trainer.trained_state()
            if trainer.caches is not None:
                trainer.caches.remove()
            if trainer.args.should_save:
                write_whole(done, lambda file: save_file(state, file))
            trainer.accelerator.wait_for_everyone()
            if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:  # what is sharded is put together anew
                parts = self._new_parts()
                for earlier in range(number + 1):
                    parts = self._stage(earlier, parts)
                return parts
            model.to("cpu")
        load_trained(model, done)
        for name, adapted in adapters.by_module.items():
            write_whole(self.folder / "adapters" / f"{stage.name}.{name}", adapted.save_pretrained)
        adapters.merge()
        model.requires_grad_(False).eval()
        return parts

    def _model(self, stage: Stage, parts: Parts) -> tuple[GenLlavaForTraining, Any, Adapters]:
        """The model of a stage with what it trains set, and what encodes rows for it."""
        torch.manual_seed(self.recipe.seed)
        if self.recipe.model.encoder is None:
            encoder: Any = RowEncoder(
                parts.vision_language,
                parts.generation_head,
                task_token_dropout=stage.task_token_dropout,
                show_last_picture=stage.show_last_picture,
            )
        else:
            encoder = called(self.recipe.model.encoder, "model.encoder", parts)
        auxiliaries = {
            name: called(each.make, f"stages.{stage.name}.auxiliaries.{name}", parts, **each.options)
            for name, each in stage.auxiliaries.items()
        }
        self._go_on_with(stage, auxiliaries)
        model = GenLlavaForTraining(
            parts.vision_language,
            parts.generation_head,
            parts.image_decoder,
            weights=LossWeights(**stage.losses.model_dump()),
            dropout=ConditionDropout(**stage.dropout.model_dump()),
            bridge=stage.bridge,
            auxiliaries=auxiliaries,
        )
        return model, encoder, set_trainable(model, stage, encoder.added_tokens)

    def _go_on_with(self, stage: Stage, auxiliaries: Mapping[str, nn.Module]) -> None:
        """Give auxiliaries the weights that those of the same name and make have from an earlier stage.

        Raises:
            InvalidRequest: one has other weights than the earlier one.
        """
        for name, module in auxiliaries.items():
            make = stage.auxiliaries[name].make
            before = self._auxiliaries.get(name)
            if before is not None and before[0] == make:
                try:
                    module.load_state_dict(before[2].state_dict())
                except RuntimeError as error:
                    raise InvalidRequest(
                        f"stage {stage.name}: auxiliaries.{name} has other weights than in the stage {before[1]}: give "
                        "it another name, so that it begins anew"
                    ) from error
            self._auxiliaries[name] = make, stage.name, module

    def _trainer(self, number: int, model: GenLlavaForTraining, encoder: Any) -> GenLlavaTrainer:
        stage, seed = self.recipe.stages[number], self.recipe.seed + number
        set_seed(seed)
        if stage.gradient_checkpointing:
            checkpoint_gradients(model)
        sources = sources_of([data for data in self.recipe.data if not stage.data or data.label in stage.data])
        held_out = sources_of(self.recipe.evaluation)
        folder = self.folder / "checkpoints" / stage.name
        args = training_arguments(stage, folder, seed=seed, evaluates=bool(held_out), sources=sources)
        resolution = self.recipe.resolution or (model.resolution if model.image_decoder is not None else None)
        callbacks: list[Any] = [Average()]
        if stage.samples and stage.evaluate_every:
            rows = TrainingRows(held_out or sources, seed, epochs=1).spread(stage.samples)
            show = partial(self._pipeline, model)
            callbacks.append(Samples(rows, self.folder / "samples", stage.name, stage.evaluate_every, show))
        trainer = GenLlavaTrainer(
            model,
            stage,
            args,
            Caches(model, stage, self.folder / "cache") if stage.cache else None,
            train_dataset=TrainingRows(sources, seed, **_grouping(stage, encoder)),
            eval_dataset=TrainingRows(held_out, seed, epochs=1) if held_out else None,
            data_collator=Batches(
                encoder,
                self.folder / f"rejected-{stage.name}.jsonl",
                stage.rejected_share,
                resolution=resolution,
                auxiliaries=model.auxiliaries,
                reads=model.reads,
            ),
            callbacks=callbacks,
        )
        for callback in callbacks:
            callback.trainer = trainer
        return trainer

    def _pipeline(self, model: GenLlavaForTraining) -> Any:
        options = dict(self.recipe.model.drawing_options)
        if self._saved is not None:
            return model.to_pipeline(self._saved, **({"drawing_options": options} if options else {}))
        return model.to_pipeline(drawing_options=options)


def _grouping(stage: Stage, encoder: Any) -> dict[str, Any]:
    """How `TrainingRows` groups the rows of a stage."""
    return {"group_by_length": stage.batch_size, "length": measured_length(encoder)} if stage.group_by_length else {}


def _has(file: Path, text: str) -> bool:
    """Whether a file has the recipe; keys that were not there when it was written have their defaults."""
    try:
        return dump_recipe(load_recipe(file)) == text
    except InvalidRequest:
        return False


def checkpoint_gradients(model: GenLlavaForTraining) -> None:
    """Have the large networks compute their activations anew in the backward pass, which saves memory for time."""
    model.vlm.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    for modules in (model.decoder, model.editor):
        module: Any
        for module in modules.values():
            if hasattr(module, "enable_gradient_checkpointing") and any(p.requires_grad for p in module.parameters()):
                module.enable_gradient_checkpointing()


def write_whole(target: Path, write: Any) -> None:
    """Write a file or folder to a temporary name, and rename it.

    Raises:
        CheckpointError: there is no room, or it cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    writing = target.parent / f".writing-{target.name}"
    shutil.rmtree(writing, ignore_errors=True)
    try:
        write(writing)
        shutil.rmtree(target, ignore_errors=True)
        writing.replace(target)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(f"cannot write {target}: {error}; free space, and go on with --resume") from error
