"""Muon (K. Jordan and others, 2024; https://kellerjordan.github.io/posts/muon): steps with orthogonal matrices.

A small language model learns more from the same rows than with AdamW (`docs/log.md`). Steps are as large as AdamW's
(J. Liu and others, arXiv 2502.16982), so the same learning rates and weight decays fit. `torch.optim.Muon` has no AdamW
for the other weights, and computes in bfloat16, which is slow on most CPUs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

_POLYNOMIAL: Final = (3.4445, -4.775, 2.0315)  # of Newton-Schulz: it brings all singular values near to one
_ITERATIONS: Final = 5
_RMS: Final = 0.2  # of AdamW's steps, in learning rates


def takes_muon(name: str, parameter: Tensor) -> bool:
    """Whether a weight is a matrix inside of one of several equal layers; embeddings and heads are not."""
    return parameter.ndim == 2 and any(part.isdigit() for part in name.split("."))


def orthogonalized(matrices: Tensor) -> Tensor:
    """[N, rows, columns], each with its singular values brought near to one."""
    a, b, c = _POLYNOMIAL
    tall = matrices.size(-2) > matrices.size(-1)
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon(Optimizer):
    """Muon for the groups with `muon: True`, which hold matrices, and AdamW for the others.

    Args:
        params: groups of weights.
        lr: learning rate.
        betas, eps: AdamW's.
        weight_decay: as AdamW's, of both.
        momentum: Muon's.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
    ) -> None:
        given = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, {**given, "muon": False})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update the weights by their gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            for weight in weights:
                weight.mul_(1 - group["lr"] * group["weight_decay"])
            if group["muon"]:
                self._muon(weights, group)
            else:
                self._adamw(weights, group)
        return loss

    def _muon(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        by_shape = dict[torch.Size, list[Tensor]]()
        for weight in weights:
            by_shape.setdefault(weight.shape, []).append(weight)
        for shape, alike in by_shape.items():
            steps = []
            for weight in alike:
                assert weight.grad is not None
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                steps.append(weight.grad.lerp(state["momentum"], group["momentum"]))
            size = group["lr"] * _RMS * max(shape) ** 0.5
            for weight, step in zip(alike, orthogonalized(torch.stack(steps)), strict=True):
                weight.add_(step, alpha=-size)

    def _adamw(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        first, second = group["betas"]
        for weight in weights:
            assert weight.grad is not None
            state = self.state[weight]
            if not state:
                state |= {"step": torch.zeros(()), "mean": torch.zeros_like(weight), "square": torch.zeros_like(weight)}
            state["step"] += 1
            count = float(state["step"])
            state["mean"].lerp_(weight.grad, 1 - first)
            state["square"].mul_(second).addcmul_(weight.grad, weight.grad, value=1 - second)
            scale = (state["square"] / (1 - second**count)).sqrt_().add_(group["eps"])
            weight.addcdiv_(state["mean"], scale, value=-group["lr"] / (1 - first**count))
