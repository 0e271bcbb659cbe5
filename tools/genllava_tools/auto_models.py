"""Checkpoints of transformers as tools run them: loaded from a folder with their processor, checked, and called."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genllava.errors import CheckpointError, InvalidRequest, NonFiniteError
from genllava_tools.models import device

if TYPE_CHECKING:
    import torch

_UNUSED: Final = ("neck.fusion_stage.layers.0.residual_layer1.",)
"""Weights that models of depth have and never use: their public checkpoints come without them."""


@dataclass(frozen=True)
class Runner:
    """A model and what prepares its inputs.

    Attributes:
        model: of transformers, in evaluation mode, on the device that models run on.
        processor: its processor, or its image processor where it takes pictures alone.
    """

    model: Any
    processor: Any
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def kind(self) -> str:
        """Its `model_type`, such as "owlv2"."""
        return str(self.model.config.model_type)

    def prepared(self, texts: Sequence[str], most: int, **inputs: Any) -> Any:
        """What the processor makes of words and pictures; one thread at a time, since tokenizers know no more.

        Args:
            texts: that the model is to read.
            most: tokens that it reads of each.
            **inputs: what the processor is called with.

        Raises:
            InvalidRequest: a text is longer.
        """
        with self._lock:
            for text in texts:
                if len(self.processor.tokenizer(text)["input_ids"]) > most:
                    raise InvalidRequest(f"{text!r} is too long for the {self.kind} model: give fewer words")
            return self.processor(**inputs, return_tensors="pt")

    def ready(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Inputs where the model is, numbers of pictures in its precision."""
        import torch

        def place(value: torch.Tensor) -> torch.Tensor:
            return value.to(self.model.device, self.model.dtype if value.is_floating_point() else None)

        return {name: place(value) if isinstance(value, torch.Tensor) else value for name, value in inputs.items()}

    def outputs(self, inputs: Mapping[str, Any], finite: Collection[str]) -> Any:
        """What the model gives for inputs of its processor.

        Args:
            finite: the outputs that are used.

        Raises:
            NonFiniteError: one of them has NaN or infinity in it.
        """
        import torch

        with torch.inference_mode():
            made = self.model(**self.ready(inputs))
        for name in finite:
            self.check_finite(name, made[name])
        return made

    def check_finite(self, name: str, values: torch.Tensor) -> None:
        """See that there is no NaN or infinity in an output.

        Raises:
            NonFiniteError: there is.
        """
        if not values.isfinite().all():
            raise NonFiniteError(f"the {self.kind} model gave {name} that are not finite (NaN): nothing can be shown")


def load(folder: Path, auto: str, kinds: Mapping[str, str], task: str) -> Runner:
    """A checkpoint and its processor. No code of a checkpoint is run, and no pickle is read.

    Args:
        folder: of the checkpoint.
        auto: the class of transformers that makes the model: "AutoModelForDepthEstimation".
        kinds: the values of `model_type` that do what is wanted, and for each the class that makes its processor:
            "AutoProcessor", "AutoImageProcessor".
        task: what is wanted, in words that go on "a model that": "detects objects by words".

    Raises:
        CheckpointError: it is another kind of model, or weights are missing.
        NotEnoughMemory: its weights do not fit.
    """
    import transformers

    from genllava.checkpoints import reading
    from genllava.memory import check_fits
    from genllava.weights import weight_files

    place = device()
    common: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    with reading("its config"):
        config = transformers.AutoConfig.from_pretrained(folder, **common)
    if config.model_type not in kinds:
        raise CheckpointError(f"it is a {config.model_type}, and not a model that {task}")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise CheckpointError("it has no weights as safetensors, and pickles are not read")
    plain = weight_files(folder, None) or files
    check_fits(sum(file.stat().st_size for file in plain), place, what=f"a model that {task}")
    with reading("its weights"):
        model, report = getattr(transformers, auto).from_pretrained(
            folder,
            dtype="float32" if place.type == "cpu" else "auto",
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are in the report
            **common,
        )
    missing = [name for name in report["missing_keys"] if not name.startswith(_UNUSED)]
    wrong = sorted([*missing, *(str(each[0]) for each in report["mismatched_keys"])])
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise CheckpointError(f"its files lack the weight {wrong[0]}{more}, or have it in another size")
    with reading("its processor"):
        made = getattr(transformers, kinds[config.model_type]).from_pretrained(folder, **common)
    return Runner(model.eval().to(place), made)
