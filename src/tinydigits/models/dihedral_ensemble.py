"""Several small nets as one model: each learns on its own, and their answers are averaged."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from tinydigits.models.dihedral_cnn import AtLeastOne, DihedralCNN, Fields

__all__ = ["DihedralEnsemble"]


class DihedralEnsemble(nn.Module):
    """Nets of `dihedral-cnn`, each trained on its share of every batch, their logits averaged: 1,110 parameters.

    >>> import torch
    >>> DihedralEnsemble(members=2, fields=(2, 4, 6), separable=False)(torch.zeros(4, 1, 28, 28)).shape
    torch.Size([4, 10])

    Takes normalised float images (B, 1, 28, 28), gives logits (B, 10). The other options are those of every member. In
    eval mode each member sees every image, and their logits' mean is a product of their probabilities. In train mode
    each of M members sees, and answers, only every Mth image of the batch: so they err differently, and averaging
    takes out some of it (Hansen & Salamon 1990, neural network ensembles). To train M members as one alone, a recipe
    takes M times its epochs, batch and learning rate, and an Mth of its weight decay: a member is in an Mth of the
    loss.
    """

    def __init__(
        self,
        *,
        members: Annotated[int, Field(ge=1, le=16, json_schema_extra={"search": "int:1..4"})] = 2,
        fields: tuple[Fields, Fields, Fields] = (1, 2, 3),
        depths: tuple[AtLeastOne, AtLeastOne, AtLeastOne] = (2, 2, 2),
        separable: bool = True,
        cut: Literal["both", "last"] = "both",
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            DihedralCNN(fields=fields, depths=depths, separable=separable, cut=cut) for _ in range(members)
        )

    def forward(self, images_BCHW: Tensor) -> Tensor:
        if self.training:
            # Every Mth image, not one piece after the other: processes whose shares of a batch begin at multiples of M
            # then give a member the very images that one process gives it.
            places_B = torch.arange(len(images_BCHW), device=images_BCHW.device)
            shares = [places_B[first :: len(self.members)] for first in range(len(self.members))]
            answers = [member(images_BCHW[share]) for member, share in zip(self.members, shares, strict=True)]
            return torch.cat(answers)[torch.cat(shares).argsort()]
        logits_BK = self.members[0](images_BCHW)
        for member in self.members[1:]:
            logits_BK = logits_BK + member(images_BCHW)
        return logits_BK / len(self.members)
