"""Knowledge distillation: trained models whose softened answers a training learns beside the labels.

Shapes: B images a batch, C channels, H × W pixels, K classes.
"""

from __future__ import annotations

import hashlib
import shlex
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tinydigits import models, pretrained
from tinydigits.errors import TinydigitsError
from tinydigits.recipe import Recipe
from tinydigits.run import Run, at_latest, open_run

__all__ = ["Teachers", "name_teachers"]


def name_teachers(recipe: Recipe) -> Recipe:
    """The recipe with the newest run's name in place of `latest`, which will be another run before long.

    >>> import tinydigits.recipe
    >>> recipe = tinydigits.recipe.load("two-conv")
    >>> name_teachers(recipe) is recipe
    True
    """
    if recipe.distil is None:
        return recipe
    teachers = tuple(at_latest(name) if "/" in name else name for name in recipe.distil.teachers)
    return recipe.model_copy(update={"distil": recipe.distil.model_copy(update={"teachers": teachers})})


class Teachers:
    """The models that `distil.teachers` names, frozen, and the loss that is learned from them.

    >>> import tinydigits.recipe
    >>> recipe = tinydigits.recipe.load("two-conv", ['distil.teachers=["gap-cnn-tuned"]', "distil.weight=0.5"])
    >>> teachers = Teachers(recipe, list("0123456789"), torch.device("cpu"))
    >>> images_BCHW, logits_BK = torch.zeros(2, 1, 28, 28), torch.zeros(2, 10)
    >>> bool(teachers.blend(torch.tensor(1.0), logits_BK, images_BCHW) > 0)
    True

    The teachers see the very images that the student sees, augmentation included. Source: Hinton, Vinyals and Dean,
    Distilling the knowledge in a neural network (2015). Raises TinydigitsError for a teacher that cannot be found, or
    that knows other classes, other normalisation or other held-out images than the recipe, which are chosen from the
    training images of `data_sha256`.
    """

    def __init__(self, recipe: Recipe, classes: list[str], device: torch.device, data_sha256: str = "") -> None:
        assert recipe.distil is not None
        self.part, self._precision, self._device = recipe.distil, recipe.precision, device
        self.sha256: dict[str, str] = {}
        self._models = []
        own_sha256 = (
            data_sha256 if recipe.data.validation else ""
        )  # with nothing held out, teachers may know any images
        for name in self.part.teachers:
            run = _find_run(name)
            weights = run.file("weights.safetensors")
            model, card, _ = models.open_weights(
                weights, recorded=run.record.code_sha256, command=f"tinydigits verify {shlex.quote(str(run.folder))}",
                if_changed="the code as it was, or a teacher that is trained anew",
            )  # fmt: skip
            for what, got, expected in (
                ("classes", card.classes, classes),
                ("normalisation", (card.mean, card.std), (recipe.data.mean, recipe.data.std)),
                # Who was trained on images that are held out here would whisper their labels to the student.
                ("held-out images", run.record.num_validation, recipe.data.validation or run.record.num_validation),
                ("training images", run.record.data_sha256 if own_sha256 else "", own_sha256),
            ):
                if got != expected:
                    raise TinydigitsError(f"recipe {recipe.name}: teacher {name}", what, got=got, expected=expected)
            self.sha256[name] = hashlib.sha256(weights.read_bytes()).hexdigest()
            model = _with_norms_in_convs(models.with_plain_weights(model)).to(device)
            if recipe.channels_last:
                model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self._models.append(model)

    def blend(self, loss: Tensor, logits_BK: Tensor, images_BCHW: Tensor) -> Tensor:
        """`(1 - weight) · loss + weight · T² · KL(teachers ‖ student)`, both softened by the temperature T.

        The factor T² keeps the gradient's size when the temperature changes, as in the paper.
        """
        temperature = self.part.temperature
        with torch.no_grad(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == "bf16"):
            answers = [F.softmax(model(images_BCHW).float() / temperature, dim=1) for model in self._models]
        taught_BK = torch.stack(answers).mean(dim=0)
        log_student_BK = F.log_softmax(logits_BK / temperature, dim=1)
        divergence = F.kl_div(log_student_BK, taught_BK, reduction="batchmean")
        return loss * (1 - self.part.weight) + divergence * (self.part.weight * temperature**2)


def _with_norms_in_convs(model: nn.Module) -> nn.Module:
    """Make each BatchNorm part of the convolution before it: a teacher in bf16 then takes 0.6 times as long.

    Only torch's own, one after the other in a Sequential, where nothing else can come between them.
    """
    for block in list(model.modules()):
        if type(block) is nn.Sequential:
            for place, (conv, norm) in enumerate(pairwise(list(block))):
                if type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d and norm.track_running_stats:
                    block[place], block[place + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return model


def _find_run(name: str) -> Run:
    """A trained model of the package, or a run's folder."""
    return pretrained.find(name).run if "/" not in name else open_run(name)
