"""transformers' `Trainer` for `GenLlavaForTraining`: what is logged, what checkpoints have, and non-finite numbers."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import torch
from accelerate import PartialState
from diffusers.training_utils import EMAModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint, rotate_checkpoints

from genllava.errors import CheckpointError, InvalidRequest, NonFiniteError
from genllava_finetune.data.mixture import MixtureSource
from genllava_finetune.recipes.recipe import Stage
from genllava_finetune.train.cache import Caches
from genllava_finetune.train.muon import Muon
from genllava_finetune.train.rows import steps_of
from genllava_finetune.train.trainable import parameter_groups, trained_tensors

WEIGHTS: Final = "model.safetensors"
_EMA: Final = "ema.safetensors"
_STATE: Final = "state.pt"
_LOST: Final = (OSError, RuntimeError, SafetensorError)
"""What libraries raise when a file cannot be written."""


def training_arguments(
    stage: Stage, folder: Path, *, seed: int, evaluates: bool, sources: Sequence[MixtureSource]
) -> TrainingArguments:
    """A stage as transformers' arguments.

    Args:
        folder: for checkpoints.
        evaluates: there are rows for evaluation.
        sources: the data sets, which say how many steps an epoch has.

    Raises:
        InvalidRequest: the recipe's further arguments are none of transformers'.
    """
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(folder.parent.parent / "runs" / stage.name)
    rate = stage.learning_rate if isinstance(stage.learning_rate, float) else max(stage.learning_rate.values())
    rows = stage.batch_size * stage.gradient_accumulation_steps * PartialState().num_processes
    given: dict[str, Any] = {
        "output_dir": str(folder),
        "max_steps": stage.steps or steps_of(sources, stage.epochs or 1.0, rows),
        "per_device_train_batch_size": stage.batch_size,
        "per_device_eval_batch_size": stage.batch_size,
        "gradient_accumulation_steps": stage.gradient_accumulation_steps,
        "learning_rate": rate,
        "lr_scheduler_type": stage.scheduler,
        "warmup_steps": stage.warmup,
        "max_grad_norm": stage.max_grad_norm,
        "bf16": stage.bf16,
        "logging_steps": stage.log_every,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps" if stage.save_every else "no",
        "save_steps": stage.save_every or 500,
        "save_total_limit": 2,
        "eval_strategy": "steps" if evaluates and stage.evaluate_every else "no",
        "eval_steps": stage.evaluate_every or None,
        "report_to": ["tensorboard"],
        "remove_unused_columns": False,
        "label_names": [],
        "dataloader_pin_memory": torch.cuda.is_available(),
        "seed": seed,
        "use_cpu": not torch.accelerator.is_available(),  # bfloat16 is not taken on a CPU otherwise
        "ignore_data_skip": True,  # the mixture goes on by itself where it was
        "accelerator_config": {"dispatch_batches": False},
        "average_tokens_across_devices": False,  # we count what each loss is a mean of, and not tokens alone
        "ddp_find_unused_parameters": True,  # a batch may have no picture, or no source
    }
    try:
        return TrainingArguments(**{**given, **stage.arguments})
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"stage {stage.name}: these arguments are none of transformers': {error}") from error


class GenLlavaTrainer(Trainer):
    """Trains one stage.

    Losses are means over all tokens, and all pictures, of an optimizer step, whatever its micro-batches and processes.
    A checkpoint has the trained weights only, and is written to a temporary name and renamed.

    Args:
        model: a `GenLlavaForTraining`; its weights that require gradients are trained.
        caches: of what its frozen networks compute.

    Attributes:
        skipped: steps without an update, because the loss or a gradient was not finite.
    """

    def __init__(
        self, model: nn.Module, stage: Stage, args: TrainingArguments, caches: Caches | None = None, **options: Any
    ) -> None:
        self.stage, self.caches, self.skipped, self._in_a_row = stage, caches, 0, 0
        self._terms = dict[str, Tensor]()
        self._term_norms = dict[str, float]()
        self._steps_logged = self._logs = 0
        self._staging: Path | None = None
        self._num_items: dict[str, Tensor] = {}
        super().__init__(model=model, args=args, **options)
        self.loss_is_scaled_for_ga = True
        self.ema: EMAModel | None = None
        if stage.ema is not None and (self.is_fsdp_enabled or self.is_deepspeed_enabled):
            raise InvalidRequest(f"stage {stage.name}: there is no ema of sharded weights: set it to null")
        if stage.ema is not None:
            self.ema = EMAModel(trained_tensors(model).values(), decay=stage.ema)

    # --- the losses ---

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: Any) -> tuple[list[Any], None]:
        """The micro-batches of a step; what their losses are means of is counted over all processes."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        counts = [self._unwrapped.count_items(batch) for batch in batches]
        names = sorted(set().union(*counts))
        total = torch.tensor([float(sum(each.get(name, 0) for each in counts)) for name in names], device=device)
        total = self.accelerator.reduce(total, "sum")
        self._num_items = {name: value.clamp(min=1) for name, value in zip(names, total, strict=True)}
        return batches, None

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        num_items = self._num_items if model.training else None
        if self.caches is not None:
            inputs = self.caches.add_states(inputs)
        outputs = model(**inputs, num_items=num_items)
        loss = outputs["loss"]
        if model.training:
            for name, value in outputs.items():
                self._terms[name] = self._terms.get(name, 0) + value.detach()
            if self._measures_norms:
                self._measure_norms(outputs)
            if not loss.requires_grad:  # the batch has nothing of what is trained
                loss = loss + 0 * next(iter(trained_tensors(self._unwrapped).values())).sum()
            loss = loss * self.accelerator.num_processes  # their gradients are averaged
        return (loss, outputs) if return_outputs else loss

    def train(self, resume_from_checkpoint: Any = None, *given: Any, **options: Any) -> Any:
        """As `Trainer`'s; rows go on behind those that the checkpoint has seen."""
        if resume_from_checkpoint is not None:
            done = int(Path(resume_from_checkpoint).name.rpartition("-")[2]) * self.args.gradient_accumulation_steps
            rows: Any = self.train_dataset
            rows.skip_batches(done * self.args.world_size, self.args.per_device_train_batch_size)
        return super().train(resume_from_checkpoint, *given, **options)

    @property
    def last_checkpoint(self) -> Path | None:
        """Of this stage; None where there is none."""
        folder = Path(str(self.args.output_dir))
        found = get_last_checkpoint(str(folder)) if folder.is_dir() else None
        return None if found is None else Path(found)

    @property
    def _unwrapped(self) -> Any:
        return self.accelerator.unwrap_model(self.model)

    @property
    def _measures_norms(self) -> bool:
        every = self.stage.gradient_norms_every
        due = every and (self.state.global_step + 1) % (every * self.stage.log_every) == 0
        sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled  # their gradients are not where they were computed
        return bool(due) and not sharded and not self._term_norms

    def _measure_norms(self, outputs: dict[str, Tensor]) -> None:
        """The norm of each loss's gradient, on the weights that the losses share."""
        shared = [p for n, p in trained_tensors(self._unwrapped).items() if n.startswith(("generation_head", "vlm"))]
        for name, value in outputs.items():
            if name != "loss" and value.requires_grad and shared:
                grads = torch.autograd.grad(value, shared, retain_graph=True, allow_unused=True)
                norms = [grad.float().norm() for grad in grads if grad is not None]
                self._term_norms[name] = float(torch.stack(norms).norm()) if norms else 0.0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds each loss with its share of the total, norms of gradients, and what was left out."""
        steps = self.state.global_step - self._steps_logged
        if "loss" in logs and steps:
            weights = self._unwrapped.term_weights
            totals = {name: self.accelerator.reduce(value, "sum") for name, value in sorted(self._terms.items())}
            means = {name: float(value) / steps for name, value in totals.items()}
            logs["loss"] = whole = means.pop("loss", math.nan)
            for name, value in means.items():
                logs[f"loss/{name}" if weights[name] else name] = value
                if weights[name]:
                    logs[f"share/{name}"] = weights[name] * value / whole if whole else 0.0
            logs |= {f"gradient_norm/{name}": norm for name, norm in self._term_norms.items()}
            logs["skipped_steps"] = self.skipped
            self._terms, self._term_norms, self._steps_logged = {}, {}, self.state.global_step
        super().log(logs, start_time)

    # --- the optimizer ---

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            trained: Any = self.model if model is None else model
            groups = parameter_groups(trained, self.stage)
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, trained)
            if self.stage.optimizer == "muon":
                if self.is_fsdp_enabled or self.is_deepspeed_enabled:
                    raise InvalidRequest(f"stage {self.stage.name}: muon needs whole matrices: use adamw with shards")
                kind, options = Muon, {name: options[name] for name in ("lr", "betas", "eps")}
            self.optimizer = kind(groups, **options)
        return self.optimizer

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """As `Trainer`'s; a step whose gradients are not finite is left out, and too many in a row are an error."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        finite = bool(torch.as_tensor(norm).isfinite().all())
        self._in_a_row = 0 if finite else self._in_a_row + 1
        if not finite:
            self.skipped += 1
            optimizer: Any = self.optimizer
            optimizer.zero_grad(set_to_none=True)  # weights without a gradient are left as they are
            if self._in_a_row >= self.stage.non_finite:
                raise NonFiniteError(
                    f"stage {self.stage.name}, step {self.state.global_step + 1}: {self._in_a_row} losses or gradients "
                    f"in a row were not finite. The last checkpoint is {self.last_checkpoint}: lower the learning rate "
                    "or max_grad_norm"
                )
        return norm

    def step_ema(self) -> None:
        """Called after each update."""
        if self.ema is not None and not self._in_a_row:
            self.ema.step(trained_tensors(self._unwrapped).values())

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """With the moving average in the place of the weights, where there is one."""
        if self.ema is None:
            yield
            return
        weights = list(trained_tensors(self._unwrapped).values())
        self.ema.store(weights)
        self.ema.copy_to(weights)
        try:
            yield
        finally:
            self.ema.restore(weights)

    # --- checkpoints ---

    def _get_output_dir(self, trial: Any) -> str:
        return super()._get_output_dir(trial) if self._staging is None else str(self._staging)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        folder, name = Path(str(self.args.output_dir)), f"checkpoint-{self.state.global_step}"
        self._staging = folder / ".writing"
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            if self.args.should_save:
                shutil.rmtree(self._staging, ignore_errors=True)
            self.accelerator.wait_for_everyone()
            super()._save_checkpoint(model, trial)
            if self.args.should_save:
                torch.save(self._own_state(), self._staging / name / _STATE)
                _flush(self._staging / name)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                shutil.rmtree(folder / name, ignore_errors=True)
                (self._staging / name).rename(folder / name)
                self._staging.rmdir()
        except _LOST as error:
            with suppress(OSError):
                shutil.rmtree(self._staging)
            raise CheckpointError(
                f"cannot write {folder / name}: {error}. The last good checkpoint is {self.last_checkpoint}: free "
                "space, and go on with --resume"
            ) from error
        finally:
            self._staging, self.args.save_total_limit = None, limit
        if self.args.should_save:
            rotate_checkpoints(output_dir=str(folder), save_total_limit=limit, use_mtime=True)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """The trained weights alone: the others are those that the recipe names."""
        if self.args.should_save:
            folder = Path(output_dir or str(self.args.output_dir))
            folder.mkdir(parents=True, exist_ok=True)
            save_file(self.trained_state(state_dict), folder / WEIGHTS, metadata={"format": "pt"})
            if self.ema is not None:
                names = trained_tensors(self._unwrapped)
                shadow = dict(zip(names, self.ema.shadow_params, strict=True))
                save_file({name: each.contiguous() for name, each in shadow.items()}, folder / _EMA)

    def trained_state(self, state_dict: dict[str, Any] | None = None) -> dict[str, Tensor]:
        """The trained weights on the CPU, by name; where they are spread over processes, all of these must call."""
        trained = trained_tensors(self._unwrapped)
        source = trained if state_dict is None else state_dict
        return {name: _whole(source[name].detach()).cpu().contiguous() for name in trained}

    def _own_state(self) -> dict[str, Any]:
        steps = None if self.ema is None else self.ema.optimization_step
        return {"ema_step": steps, "skipped": self.skipped, "in_a_row": self._in_a_row}

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            load_trained(self._unwrapped, folder / WEIGHTS)
        state = torch.load(folder / _STATE, weights_only=True)
        self.skipped, self._in_a_row = state["skipped"], state["in_a_row"]
        if self.ema is not None:
            shadow = load_file(folder / _EMA)
            self.ema.shadow_params = [shadow[name] for name in trained_tensors(self._unwrapped)]
            self.ema.optimization_step = state["ema_step"]
            self.ema.to(self.args.device)
        self._steps_logged = int(folder.name.rpartition("-")[2])


def _whole(tensor: Any) -> Tensor:
    """A tensor that may be spread over processes, put together."""
    whole: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return whole


def load_trained(model: nn.Module, file: Path) -> None:
    """Put saved weights into a model that trains the same ones.

    Raises:
        CheckpointError: the file is not there or damaged, or has other weights.
    """
    try:
        saved = load_file(file)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read {file}: {error}") from error
    trained = trained_tensors(model)
    if saved.keys() != trained.keys() or any(saved[name].shape != trained[name].shape for name in saved):
        raise CheckpointError(f"{file} has other weights than this recipe trains: it belongs to another recipe")
    with torch.no_grad():
        for name, weight in trained.items():
            weight.copy_(saved[name])


def _flush(folder: Path) -> None:
    """See that what was written is on the disk."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
