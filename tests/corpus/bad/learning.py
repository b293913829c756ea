"""Models that do not learn, change mode, move or come back from a file as they should."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Net(nn.Module):
    """Two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 16), nn.Linear(16, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.second(self.hidden(self.first(images_BCHW.flatten(1))).relu())

    def hidden(self, x: Tensor) -> Tensor:
        return x


class Detaches(Net):
    def hidden(self, x: Tensor) -> Tensor:
        return x.detach()


class DetachesNearlyAll(Net):
    """Lets a hundred-millionth of the gradient through, so that none is exactly zero."""

    def hidden(self, x: Tensor) -> Tensor:
        return x.detach() + 1e-8 * (x - x.detach())


class NoGradient(Net):
    def hidden(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return x * 1.0


class ThroughNumpy(Net):
    """Leaves torch and comes back without a gradient."""

    def hidden(self, x: Tensor) -> Tensor:
        return torch.from_numpy(x.detach().numpy()) if self.training else x


class Rounds(Net):
    """Rounds to whole numbers, whose slope is zero."""

    def hidden(self, x: Tensor) -> Tensor:
        return (x * 10).round() / 10


class Unused(Net):
    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(3, 3)


class TimesZero(Net):
    def hidden(self, x: Tensor) -> Tensor:
        return x * 0.0


class FreezesOne(Net):
    def __init__(self) -> None:
        super().__init__()
        self.first.requires_grad_(False)


class DeadFromTheStart(Net):
    """Starts with a bias so low that no unit ever fires."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.constant_(self.first.bias, -1e4)


class Uphill(Net):
    """Turns its gradient round."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        logits_BK = super().forward(images_BCHW)
        return 2 * logits_BK.detach() - logits_BK


class InfiniteSlope(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(10))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return images_BCHW.flatten(1)[:, :10] * self.gain.abs().sqrt()


class PutsItsWeightsBack(Net):
    """Undoes each step before it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = [p.detach().clone() for p in self.parameters()]

    def forward(self, images_BCHW: Tensor) -> Tensor:
        with torch.no_grad():
            for p, old in zip(self.parameters(), self.kept, strict=True):
                p.data = old.clone()
        return super().forward(images_BCHW)


class AllFrozen(Net):
    def __init__(self) -> None:
        super().__init__()
        self.requires_grad_(False)


class Constant(nn.Module):
    """Has a parameter, and gives every image the same answer whatever it is."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(10))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return torch.zeros(len(images_BCHW), 10) * self.weight


# Modes.


class EvalDoesNothing(Net):
    """Stays in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def train(self, mode: bool = True) -> Net:
        return super().train(True)

    def hidden(self, x: Tensor) -> Tensor:
        return self.dropout(x)


class SwitchesItself(Net):
    """Goes into eval mode at its first call, and out of it at none."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        answer_BK = super().forward(images_BCHW)
        self.eval()
        return answer_BK

    def hidden(self, x: Tensor) -> Tensor:
        return self.dropout(x)


class TrainsItself(Net):
    """Goes into train mode after it was asked."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        answer_BK = super().forward(images_BCHW)
        self.train()
        return answer_BK


class AlwaysDrops(Net):
    def hidden(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5)


class OtherInEval(Net):
    """Is another model when it answers."""

    def hidden(self, x: Tensor) -> Tensor:
        return x if self.training else -x


class StatisticsNeverMove(Net):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(16, momentum=0.0)

    def hidden(self, x: Tensor) -> Tensor:
        return self.norm(x)


class StatisticsMoveInEval(Net):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(16)

    def hidden(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.norm.running_mean, self.norm.running_var, training=True)


class DropsOneTime(Net):
    """Draws its mask once, and drops the same units ever after."""

    def hidden(self, x: Tensor) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return F.dropout(x, 0.5, self.training)


# Devices and files.


class LeftBehind(Net):
    """Holds a tensor that `to` does not move."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.ones(16)

    def hidden(self, x: Tensor) -> Tensor:
        return x * self.scale


class OnTheCpu(Net):
    """Computes a part on the CPU, wherever the rest is."""

    def hidden(self, x: Tensor) -> Tensor:
        return x + torch.full((16,), 0.5, device="cpu") * torch.arange(16)


class BringsImagesHome(Net):
    """Moves the images to the CPU first."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return super().forward(images_BCHW.cpu())


class ForgetsABuffer(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.rand(16), persistent=False)

    def hidden(self, x: Tensor) -> Tensor:
        return x * self.scale


class SavesHalf(Net):
    """Leaves a layer out of its state dict, and asks for no more when it loads."""

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {name: value for name, value in super().state_dict(*args, **kwargs).items() if "second" in name}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        return super().load_state_dict(state_dict, strict=False, assign=assign)


class LoadsNothing(Net):
    """Ignores the file, and answers from a copy that it keeps elsewhere."""

    kept: tuple[Tensor, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        if not LoadsNothing.kept:
            LoadsNothing.kept = tuple(p.detach().clone() for p in self.parameters())

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> None:
        with torch.no_grad():
            for p, old in zip(self.parameters(), LoadsNothing.kept, strict=True):
                p.copy_(old)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        with torch.no_grad():
            for p, old in zip(self.parameters(), LoadsNothing.kept, strict=True):
                p.copy_(old)
        return super().state_dict(*args, **kwargs)


class RoundsOnSaving(Net):
    """Writes its weights in half precision."""

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {name: value.half() for name, value in super().state_dict(*args, **kwargs).items()}


_LEARNS, _STEPS, _MODES = "behaviour.gradients", "behaviour.train_step", "behaviour.train_eval"
_MOVES, _FILES = "behaviour.device_movement", "behaviour.save_and_load"
CASES = [
    (Detaches, {}, "none reaches first.weight", _LEARNS),
    (DetachesNearlyAll, {}, "first.weight", _LEARNS),
    (NoGradient, {}, "none reaches first.weight", _LEARNS),
    (ThroughNumpy, {}, "none reaches first.weight", _LEARNS),
    (Rounds, {}, "none reaches first.weight", _LEARNS),
    (Unused, {}, "none reaches spare.weight", _LEARNS),
    (TimesZero, {}, "none reaches first.weight", _LEARNS),
    (FreezesOne, {}, "frozen: first.weight", _LEARNS),
    (DeadFromTheStart, {}, "none reaches first.weight", _LEARNS),
    (Uphill, {}, "→", _STEPS),
    (InfiniteSlope, {}, "NaN", _STEPS),
    (PutsItsWeightsBack, {}, "→", _STEPS),
    (AllFrozen, {}, "nothing to train", _STEPS),
    (Constant, {}, "→", _STEPS),
    (EvalDoesNothing, {}, "eval() leaves", _MODES),
    (SwitchesItself, {}, "the forward pass changes the mode", _MODES),
    (TrainsItself, {}, "the forward pass changes the mode", _MODES),
    (AlwaysDrops, {}, "another answer each time", _MODES),
    (OtherInEval, {}, "differ without dropout or BatchNorm", _MODES),
    (StatisticsNeverMove, {}, "moves no running statistics", _MODES),
    (StatisticsMoveInEval, {}, "eval mode changes norm.running_mean", _MODES),
    (DropsOneTime, {}, "passes in train mode are the same", _MODES),
    (LeftBehind, {}, "does not move", _MOVES),
    (OnTheCpu, {}, "does not move", _MOVES),
    (BringsImagesHome, {}, "does not move", _MOVES),
    (ForgetsABuffer, {}, "differs", _FILES),
    (SavesHalf, {}, "differs", _FILES),
    (LoadsNothing, {}, "", _FILES),
    (RoundsOnSaving, {}, "differs", _FILES),
]
