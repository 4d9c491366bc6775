"""Makes Keras on PyTorch fast on a processor: convolutions without copies, and PyTorch's own batch normalisation.

Used by `train_starter.py` only; import it before the first layer is built. A training step of DenseNet-121 in bfloat16
at 128 x 128 then costs about two thirds of the same step on TensorFlow, and at 224 x 224 about half.
"""

from __future__ import annotations

import keras
import torch
from keras.src.backend.torch import nn as keras_torch


def _normalise(self, inputs, training=None, mask=None):
    """Batch normalisation of (N, H, W, C) in the input's dtype with float32 statistics; `momentum` as in Keras."""
    if inputs.ndim != 4 or mask is not None:
        return _original(self, inputs, training=training, mask=mask)
    from_batch = bool(training) and self.trainable
    result = torch.nn.functional.batch_norm(
        inputs.permute(0, 3, 1, 2), self.moving_mean.value, self.moving_variance.value, self.gamma.value,
        self.beta.value, from_batch, 1 - self.momentum, self.epsilon,
    )  # fmt: skip
    return result.permute(0, 2, 3, 1)


_original = keras.layers.BatchNormalization.call
if keras.backend.backend() == "torch":
    keras.layers.BatchNormalization.call = _normalise
    # Keras copies the permuted array; the permuted view already is PyTorch's channels-last layout.
    keras_torch._transpose_spatial_inputs = lambda inputs: torch.permute(inputs, (0, 3, 1, 2))


def join_workers(rank: int, world: int, meeting_file: str) -> None:
    """Makes this process one of `world` that each compute gradients on films of their own and step with the mean.

    On a shared processor two processes of one thread are faster than one of two: threads meet a thousand times a step,
    processes once.
    """
    torch.distributed.init_process_group("gloo", f"file://{meeting_file}", rank=rank, world_size=world)


def _share_gradients(optimizer, values: list, gradients: list) -> None:
    if not torch.distributed.is_initialized():
        return
    if not getattr(optimizer, "_in_step", False):
        for value in values:
            torch.distributed.broadcast(value.detach(), 0)
        optimizer._in_step = True
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    torch.distributed.all_reduce(flat)
    flat /= torch.distributed.get_world_size()
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view(gradient.shape))


@torch.no_grad()
def _apply_fused(self, grads, trainable_variables):
    """One AdamW step, clipping and weight average in few passes over memory and on one thread.

    Keras needs a dozen passes of hundreds of small parallel regions, which cost seconds on a machine that is shared.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    indices = [self._get_variable_index(variable) for variable in trainable_variables]
    values = [variable.value for variable in trainable_variables]
    _share_gradients(self, values, grads)
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
    torch._foreach_mul_(grads, torch.clamp(self.global_clipnorm / (norm + 1e-6), max=1.0))
    step = torch.tensor(float(self.iterations.value) + 1)
    decayed = [self._use_weight_decay(variable) for variable in trainable_variables]
    for wanted in (True, False):
        chosen = [place for place, flag in enumerate(decayed) if flag is wanted]
        torch._fused_adamw_(
            [values[i] for i in chosen],
            [grads[i].contiguous() for i in chosen],
            [self._momentums[indices[i]].value for i in chosen],
            [self._velocities[indices[i]].value for i in chosen],
            [],
            [step] * len(chosen),
            lr=float(self.learning_rate),
            beta1=self.beta_1,
            beta2=self.beta_2,
            weight_decay=float(self.weight_decay) if wanted else 0.0,
            eps=self.epsilon,
            amsgrad=False,
            maximize=False,
        )
    if self.use_ema:
        averages = [self._model_variables_moving_average[i].value for i in indices]
        momentum = self.ema_momentum if int(self.iterations.value) else 0.0
        torch._foreach_lerp_(averages, values, 1 - momentum)
    torch.set_num_threads(threads)


if keras.backend.backend() == "torch":
    keras.optimizers.AdamW._backend_apply_gradients = _apply_fused
    torch.set_flush_denormal(True)
