"""Honest, unusual trainings within a budget of three epochs, some of which they leave; each function is one."""

import copy
import subprocess
from pathlib import Path

import torch
import torch.nn.functional as F
from net import step
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

NAMES: list[str] = []


def honest(function):
    NAMES.append(function.__name__)
    return function


@honest
def with_a_validation_loop_that_keeps_gradients(model, data):
    for number in range(data.epochs):
        held = []
        for place, (images, labels) in enumerate(data.batches(64)):
            if place % 5 == 0:
                held.append((images, labels))
            else:
                step(model, images, labels)
        print("epoch", number, sum(float(F.cross_entropy(model(images), labels)) for images, labels in held))


@honest
def with_lbfgs(model, data):
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=2, max_eval=2)
    for images, labels in data.batches(64):

        def closure(images=images, labels=labels):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            return loss

        optimizer.step(closure)


@honest
def with_a_loss_that_learns(model, data):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(1.0))

        def forward(self, logits, labels):
            return F.cross_entropy(self.scale * logits, labels)

    loss = Scaled()
    optimizer = torch.optim.AdamW([*model.parameters(), *loss.parameters()], 2e-3)
    for _ in range(data.epochs):
        for images, labels in data:
            optimizer.zero_grad()
            loss(model(images), labels).backward()
            optimizer.step()


@honest
def part_by_part(model, data):
    for _ in range(data.epochs):
        for images, labels in data:
            step(model, images, labels, lambda images: model.head(model.pixels(images)))


@honest
def by_forward(model, data):
    for _ in range(data.epochs):
        for images, labels in data.batches(32):
            step(model, images, labels, model.forward)


@honest
def by_a_data_loader(model, data):
    images, labels = zip(*data.batches(64), strict=True)
    for batch in DataLoader(TensorDataset(torch.cat(images), torch.cat(labels)), batch_size=16, shuffle=True):
        step(model, *batch)


@honest
def logging_to_git_and_to_a_file(model, data):
    command = ["git", "rev-parse", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    for number in range(data.epochs):
        for images, labels in data:
            step(model, images, labels)
        with Path("log.txt").open("a") as log:
            print(commit, number, file=log)


@honest
def reseeded_as_in_coursework(model, data):
    torch.manual_seed(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=data.epochs * 19)
    for _ in range(data.epochs):
        for images, labels in data.batches(64):
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels, label_smoothing=0.1).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()


@honest
def accumulating_gradients(model, data):
    for _ in range(data.epochs):
        for number, (images, labels) in enumerate(data.batches(16)):
            F.cross_entropy(model(images), labels).backward()
            if number % 4 == 3:
                with torch.no_grad():
                    for parameter in model.parameters():
                        parameter -= 0.05 * parameter.grad
                model.zero_grad()


@honest
def giving_an_average(model, data):
    average = torch.optim.swa_utils.AveragedModel(model)
    for _ in range(data.epochs):
        for images, labels in data:
            step(model, images, labels)
            average.update_parameters(model)
    return average.module


@honest
def in_half_precision(model, data):
    def answer(images):
        with torch.autocast("cpu", torch.bfloat16):
            return model(images)

    for _ in range(data.epochs):
        for images, labels in data:
            step(model, images, labels, answer)


@honest
def with_mixed_and_shifted_images(model, data):
    for _ in range(data.epochs):
        for images, labels in data:
            images = torch.roll(images, tuple(torch.randint(-1, 2, (2,)).tolist()), (2, 3))
            order = torch.randperm(len(images))
            share = float(torch.distributions.Beta(0.2, 0.2).sample())
            logits = model(share * images + (1 - share) * images[order])
            loss = share * F.cross_entropy(logits, labels) + (1 - share) * F.cross_entropy(logits, labels[order])
            model.zero_grad()
            loss.backward()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter -= 0.1 * parameter.grad


@honest
def stopping_early_by_itself(model, data):
    best, kept = float("inf"), copy.deepcopy(model.state_dict())
    for number in range(data.epochs):
        loss = torch.tensor(0.0)
        for images, labels in data.batches(64):
            with torch.no_grad():
                loss += F.cross_entropy(model(images), labels)
            step(model, images, labels)
        if loss < best:
            best, kept = float(loss), copy.deepcopy(model.state_dict())
        elif number:
            break
    model.load_state_dict(kept)


@honest
def twice_a_batch_on_half_of_the_budget(model, data):
    """Sharpness-aware: a second backward pass at a point nearby."""
    for images, labels in data.batches(64):
        F.cross_entropy(model(images), labels).backward()
        with torch.no_grad():
            moves = [0.05 * parameter.grad / (parameter.grad.norm() + 1e-12) for parameter in model.parameters()]
            for parameter, move in zip(model.parameters(), moves, strict=True):
                parameter += move
        model.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        with torch.no_grad():
            for parameter, move in zip(model.parameters(), moves, strict=True):
                parameter -= move + 0.1 * parameter.grad
        model.zero_grad()


@honest
def freezing_half(model, data):
    model.head.bias.requires_grad_(False)
    for _ in range(data.epochs):
        for images, labels in data:
            step(model, images, labels)
