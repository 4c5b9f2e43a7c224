"""Adam that touches only the rows a batch used: what a large embedding table trains with on a CPU.

A batch uses a few thousand rows of a table of a hundred thousand. Dense Adam reads and writes all
of them at every step, and most of a static encoder's training goes into that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

__all__ = ["RowSparseAdam"]

# Values of a block of rows: four arrays of it fit into a core's cache.
_BLOCK = 2**16


class RowSparseAdam(torch.optim.Optimizer):
    """Adam (Kingma and Ba, arXiv 1412.6980) on the rows of sparse gradients, in place.

    As in ``torch.optim.SparseAdam``, moments of rows without a gradient rest. Unlike it, this one
    works under the trainers of transformers, which ask for the norm of all gradients at every
    step, and there is none for sparse ones: gradients are taken over as soon as they are
    accumulated, so the trainers log a norm of 0 and ``max_grad_norm`` clips nothing.

    Use it in one process; several would each step with their own rows.

    Args:
        parameters: Matrices with sparse gradients, such as the weights of
            ``torch.nn.EmbeddingBag(sparse=True)``.
        lr: The learning rate, above 0.
        betas: Decay rates of the two moments, each in [0, 1).
        eps: What is added to the denominator.

    Raises:
        ValueError: If a setting is out of range.
        RuntimeError: If a parameter gets a dense gradient.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        if lr <= 0:
            raise ValueError(f"lr={lr}: expected a learning rate above 0")
        if not all(0.0 <= beta < 1.0 for beta in betas):
            raise ValueError(f"betas={betas}: expected two decay rates in [0, 1)")
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps})
        self._gradients: dict[Tensor, Tensor] = {}
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.register_post_accumulate_grad_hook(self._take)

    def _take(self, parameter: Tensor) -> None:
        gradient = parameter.grad
        if gradient is None:
            return
        if not gradient.is_sparse:
            raise RuntimeError(
                f"a parameter of shape {tuple(parameter.shape)} has a dense gradient: "
                "RowSparseAdam is for tables with sparse=True, use torch.optim.AdamW for others"
            )
        earlier = self._gradients.get(parameter)
        self._gradients[parameter] = gradient if earlier is None else earlier + gradient
        parameter.grad = None

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients taken over since the last step.

        Args:
            set_to_none: The base class's; makes no difference here.
        """
        super().zero_grad(set_to_none)
        self._gradients.clear()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # noqa: ANN401 -- the base's
        """Update the rows that have a gradient.

        Args:
            closure: Computes the loss anew, as for any optimizer.

        Returns:
            What the closure returns.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = self._gradients.pop(parameter, None)
                if gradient is not None:
                    self._update(parameter, gradient.coalesce(), group)
        return loss

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        first, second = group["betas"]
        correction = (1 - second ** state["step"]) ** 0.5
        step_size = group["lr"] / (1 - first ** state["step"])
        # (rows,), (rows, dimensions), some rows at a time: what is between stays in the cache.
        size = max(1, _BLOCK // parameter[0].numel())
        blocks = (torch.split(x, size) for x in (gradient.indices()[0], gradient.values()))
        for rows, values in zip(*blocks, strict=True):
            mean = state["exp_avg"].index_select(0, rows).lerp_(values, 1 - first)
            square = state["exp_avg_sq"].index_select(0, rows).mul_(second)
            square.addcmul_(values, values, value=1 - second)
            state["exp_avg"].index_copy_(0, rows, mean)
            state["exp_avg_sq"].index_copy_(0, rows, square)
            deviation = square.sqrt_().div_(correction).add_(group["eps"])
            parameter.index_add_(0, rows, mean.div_(deviation), alpha=-step_size)
