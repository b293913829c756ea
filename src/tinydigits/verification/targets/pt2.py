"""An archive of torch.export: the graph of one mode with its weights, and no class."""

from __future__ import annotations

from pathlib import Path

from tinydigits import models
from tinydigits.checks import Subject
from tinydigits.errors import TinydigitsError
from tinydigits.trace import ExportedModel
from tinydigits.training import pick_device
from tinydigits.verdict import JudgedTarget
from tinydigits.verification.graphs import read_graphs
from tinydigits.verification.request import InputFacts, Request
from tinydigits.verification.targets import weights
from tinydigits.verification.targets._file import NO_TRAIN_MODE, must_answer
from tinydigits.verification.targets._target import Kind, Target, of_card


def takes(request: Request) -> bool:
    """A file that ends in .pt2."""
    return request.is_file(".pt2")


def load(request: Request) -> Target:
    """Read the archive, and its card from the extra file `tinydigits`, where it has one.

    Raises TinydigitsError when it is damaged, and when its graph takes anything but one tensor.
    """
    path = Path(request.name)
    model, card = _read(path)
    reason = f"a .pt2 {NO_TRAIN_MODE}"
    lacks = {"train": reason, "dropout": reason}
    if model.batch_size is not None:
        lacks["batches"] = lacks["structure"] = f"this .pt2 takes batches of {model.batch_size} alone"
    subject = Subject(
        model, name=path.name, device=str(pick_device(request.device)), trained=True, file=path, lacks=lacks
    )
    model_name = card.model if card else None
    facts = JudgedTarget(kind="pt2", name=path.name, model=model_name, **weights.facts(path))
    own = InputFacts(input_shape=model.input_shape)
    return Target(subject, facts, of_card(card) if card is not None else own)


def _read(path: Path) -> tuple[ExportedModel, models.WeightsCard | None]:
    if not path.is_file():
        raise TinydigitsError(str(path), "no such file")
    extra = {models.CARD_KEY: ""}
    try:
        model = read_graphs(path.read_bytes(), extra=extra)
        must_answer(model)
    except TinydigitsError as error:
        raise TinydigitsError(str(path), str(error)) from error
    return model, models.card_in(str(path), {models.CARD_KEY: text} if (text := extra[models.CARD_KEY]) else {})


KIND = Kind("a .pt2 of torch.export", 2, takes, load)
