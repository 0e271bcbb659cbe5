"""What a training step has to offer, and the loop that runs it: Hugging Face `Trainer` on a stream of batches."""

from __future__ import annotations

import abc
import csv
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from diffusers.training_utils import EMAModel
from PIL import Image
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from torch.utils.data import IterableDataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.utils import SAFE_WEIGHTS_NAME

from genllava.errors import NonFiniteError
from genllava_finetune.worlds.shapes.splits import NOTHING, Withheld
from genllava_finetune.worlds.shapes.training.recipe import PartRecipe

Batch = dict[str, Any]
COMPLETE: Final = "complete"
"""Empty file written last into a checkpoint; a checkpoint without it was cut off and is never resumed from."""


class Part(abc.ABC):
    """One training step: a module with a loss, its data, and what it leaves behind."""

    name: str

    def __init__(self, recipe: PartRecipe, seed: int, workspace: Path, withhold: Withheld = NOTHING) -> None:
        self.recipe = recipe
        self.seed = seed
        self.workspace = workspace
        self.withhold = withhold

    @abc.abstractmethod
    def build(self) -> nn.Module:
        """The module to train. Its forward takes a batch and returns `loss` and, to be logged, other scalars."""

    @abc.abstractmethod
    def batch(self, step: int) -> Batch:
        """The batch of optimiser step `step`; the same for the same seed and step, whatever ran before."""

    @abc.abstractmethod
    def export(self, module: nn.Module, folder: Path) -> None:
        """Save the trained components into `folder` in their standard layout."""

    def layers(self, module: nn.Module) -> Sequence[nn.Module]:
        """What a recipe with `compile` compiles, one by one: layers that are alike share their code."""
        return ()

    def sample(self, module: nn.Module) -> Image.Image | None:
        """A picture that shows how training goes; None if there is nothing to see."""
        return None

    @property
    def folder(self) -> Path:
        """Where the finished part lies; exists only when it is complete."""
        return self.workspace / self.name

    def needs(self, name: str) -> Path:
        """The folder of an earlier part.

        Raises:
            FileNotFoundError: that part has not been trained in this workspace.
        """
        folder = self.workspace / name
        if not folder.is_dir():
            raise FileNotFoundError(f"train the part {name!r} first: {folder} does not exist")
        return folder


class BatchStream(IterableDataset[Batch]):
    """The batches of a part from `start` on."""

    def __init__(self, part: Part, start: int) -> None:
        self.part = part
        self.start = start

    def __iter__(self) -> Iterator[Batch]:
        for step in range(self.start, self.part.recipe.steps):
            yield self.part.batch(step)


class PartTrainer(Trainer):
    """`Trainer` for modules that return their loss and metrics in a dict; refuses to go on after a non-finite loss."""

    def __init__(self, part: Part, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.part = part
        self.module: nn.Module = kwargs["model"]
        self._metrics: dict[str, list[Tensor]] = {}

    def compute_loss(self, model: nn.Module, inputs: Batch, return_outputs: bool = False, *_: Any, **__: Any) -> Any:
        # Noise is a function of the step alone, so that a resumed run draws what an uninterrupted one would have.
        torch.manual_seed(self.part.seed * 1_000_003 + self.state.global_step)
        outputs = model(**inputs)
        loss = outputs["loss"]
        if not torch.isfinite(loss):
            raise NonFiniteError(f"the loss of {self.part.name} is {loss.item()} at step {self.state.global_step}")
        for key, value in outputs.items():
            if key != "loss":
                self._metrics.setdefault(key, []).append(value.detach().float().cpu())
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        logs |= {key: round(float(torch.stack(values).mean()), 5) for key, values in self._metrics.items()}
        self._metrics = {}
        super().log(logs, *args, **kwargs)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Weights that are tied are saved once; `Trainer` itself refuses them in modules that are not its own."""
        folder = Path(output_dir or self.args.output_dir or ".")
        folder.mkdir(parents=True, exist_ok=True)
        save_model(self.module, str(folder / SAFE_WEIGHTS_NAME))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_model(self.module, str(Path(resume_from_checkpoint) / SAFE_WEIGHTS_NAME))

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Warm-up, plateau, linear cool-down: a run may be shortened or prolonged while it is on the plateau."""
        recipe = self.part.recipe
        cooldown = max(1, round(recipe.cooldown * recipe.steps))

        def scale(step: int) -> float:
            return min(1.0, (step + 1) / (recipe.warmup + 1), max(0.0, (recipe.steps - step) / cooldown))

        stepped: Any = self.optimizer if optimizer is None else optimizer
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(stepped, scale)
        return self.lr_scheduler


class Bookkeeping(TrainerCallback):
    """Averaged weights, sample pictures, a CSV of the losses, and the mark that makes a checkpoint count."""

    def __init__(self, part: Part, module: nn.Module, run: Path) -> None:
        self.part = part
        self.module = module
        self.run = run
        decay = part.recipe.ema_decay
        trained = [p for p in module.parameters() if p.requires_grad]
        self.ema = EMAModel(trained, decay=decay, use_ema_warmup=True, power=0.75) if decay else None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.ema:
            self.ema.to(args.device)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.ema:
            self.ema.step([p for p in self.module.parameters() if p.requires_grad])

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Any = None,
        **_: Any,
    ) -> None:
        path = self.run / "log.csv"
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(["step", "name", "value"])
            writer.writerows([state.global_step, name, value] for name, value in (logs or {}).items())

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        folder = self.run / f"checkpoint-{state.global_step}"
        if self.ema:
            torch.save(self.ema.state_dict(), folder / "ema.pt")
        with self.averaged():
            picture = self.part.sample(self.module)
        if picture is not None:
            picture.save(self.run / f"sample-{state.global_step:06d}.png")
        (folder / COMPLETE).touch()

    def averaged(self) -> _Averaged:
        """Context in which the module holds the averaged weights and is in evaluation mode."""
        return _Averaged(self)


class _Averaged:
    def __init__(self, book: Bookkeeping) -> None:
        self.book = book

    def __enter__(self) -> None:
        self.parameters = [p for p in self.book.module.parameters() if p.requires_grad]
        if self.book.ema:
            self.book.ema.store(self.parameters)
            self.book.ema.copy_to(self.parameters)
        self.book.module.eval()

    def __exit__(self, *_: object) -> None:
        if self.book.ema:
            self.book.ema.restore(self.parameters)
        self.book.module.train()


def last_checkpoint(run: Path) -> Path | None:
    """The newest complete checkpoint of a run; incomplete ones are removed."""
    found = sorted(run.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    for path in [path for path in found if not (path / COMPLETE).exists()]:
        shutil.rmtree(path)
    complete = [path for path in found if (path / COMPLETE).exists()]
    return complete[-1] if complete else None


def train_part(part: Part, resume: bool = True) -> Path:
    """Train `part` and export it; picks up where a killed run stopped. Returns the finished part's folder."""
    if part.folder.is_dir():
        return part.folder
    run = part.workspace / f"{part.name}.run"
    if not resume:
        shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True, exist_ok=True)
    (run / "recipe.json").write_text(json.dumps({"seed": part.seed, **part.recipe.model_dump()}, indent=2))
    torch.manual_seed(part.seed)
    module = part.build()
    if part.recipe.compile:
        for layer in part.layers(module):
            layer.compile(dynamic=True)
    book = Bookkeeping(part, module, run)
    checkpoint = last_checkpoint(run)
    start = 0
    if checkpoint is not None:
        start = int(checkpoint.name.split("-")[1])
        if book.ema:
            book.ema.load_state_dict(torch.load(checkpoint / "ema.pt", weights_only=True))
    trainer = PartTrainer(
        part,
        model=module,
        args=_arguments(part, run),
        train_dataset=BatchStream(part, start),
        data_collator=_first,
        callbacks=[book],
    )
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    with book.averaged():
        staging = part.workspace / f"{part.name}.staging"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        part.export(module, staging)
        staging.rename(part.folder)
    return part.folder


def _first(batches: list[Batch]) -> Batch:
    """The stream yields whole batches; the loader wraps each in a list of one."""
    return batches[0]


def _arguments(part: Part, run: Path) -> TrainingArguments:
    recipe = part.recipe
    return TrainingArguments(
        output_dir=str(run),
        max_steps=recipe.steps,
        per_device_train_batch_size=1,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        adam_beta2=0.99,
        bf16=recipe.bf16,
        use_cpu=not torch.cuda.is_available(),
        logging_steps=recipe.log_every,
        logging_nan_inf_filter=False,
        save_steps=recipe.save_every,
        save_total_limit=2,
        ignore_data_skip=True,
        accelerator_config={"dispatch_batches": False},  # dispatching cuts every tensor to the first one's length
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        report_to=["tensorboard"] if _has_tensorboard() else [],
        seed=part.seed,
    )


def _has_tensorboard() -> bool:
    import importlib.util

    return importlib.util.find_spec("tensorboard") is not None
