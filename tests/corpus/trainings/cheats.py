"""Trainings that go round a budget of one epoch, or begin with what they know beforehand; each function is one.

What becomes of each stands above it: the status of its count of images, or what is said where there is no verdict.
"""

import ctypes
import gc
import json
import os
import socket
import struct
import threading
from pathlib import Path

import torch
import torch.nn.functional as F
from net import step

HERE = Path(__file__).parent
EXPECTED: dict[str, str] = {}


def expect(status):
    def mark(function):
        EXPECTED[function.__name__] = status
        return function

    return mark


def again(data, times=50):
    """The images of the budget, over and over."""
    kept = list(data.batches(64))
    return [batch for _ in range(times) for batch in kept]


@expect("PermissionError")
def loads_a_state_dict(model, data):
    model.load_state_dict(torch.load(HERE / "net.pt"))


@expect("PermissionError")
def reads_weights_as_bytes(model, data):
    (HERE / "net.pt").read_bytes()


@expect("PermissionError")
def maps_weights_by_the_c_library(model, data):
    library = ctypes.CDLL(None, use_errno=True)
    if library.open(str(HERE / "net.pt").encode(), 0) < 0:
        raise PermissionError(ctypes.get_errno())


@expect("PermissionError")
def reads_the_test_images_of_a_package(model, data):
    from sklearn.datasets import load_digits

    load_digits()


@expect("Error when it is trained")
def links_a_file_into_its_own_folder(model, data):
    os.link(HERE / "net.pt", "mine")


@expect("PermissionError")
def reads_the_memory_of_the_verifier(model, data):
    Path(f"/proc/{os.getppid()}/mem").open("rb").close()


@expect("PermissionError")
def asks_the_network(model, data):
    socket.create_connection(("127.0.0.1", 9), timeout=1)


@expect("exit code 0")
def ends_the_process(model, data):
    os._exit(0)


@expect("no message of ours")
def writes_the_reply_itself(model, data):
    for descriptor in range(3, 20):
        head = json.dumps({"fields": {"seconds": 1}, "parts": {}}).encode()
        try:
            os.write(descriptor, struct.pack("<Q", len(head)) + head)
        except OSError:
            continue
    next(iter(data))


@expect("lacks|has besides")
def gives_a_larger_model(model, data):
    step(model, *next(iter(data)))
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 100), torch.nn.Linear(100, 10))


@expect("fail")
def takes_no_image(model, data):
    torch.nn.init.ones_(model.head.weight)


@expect("fail")
def shows_by_keyword(model, data):
    for images, labels in again(data):
        step(model, images, labels, lambda images: model(images=images))


@expect("fail")
def shows_to_a_part(model, data):
    for images, labels in again(data):
        step(model, images.flatten(1), labels, model.head)


@expect("fail")
def shows_by_a_function(model, data):
    for images, labels in again(data):
        step(model, images, labels, lambda images: F.linear(images.flatten(1), model.head.weight, model.head.bias))


@expect("fail")
def shows_by_functional_call(model, data):
    for images, labels in again(data):
        held = dict(model.named_parameters())
        step(model, images, labels, lambda images, held=held: torch.func.functional_call(model, held, (images,)))


@expect("fail")
def shows_many_batches_as_one_image(model, data):
    kept = list(data.batches(64))
    images = torch.cat([images for images, _ in kept])
    labels = torch.cat([labels for _, labels in kept])
    for _ in range(50):
        step(model, images[None], labels)


@expect("fail")
def asks_for_gradients_alone(model, data):
    for images, labels in again(data):
        loss = F.cross_entropy(model(images), labels)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter -= 0.1 * gradient


@expect("fail")
def differentiates_a_function(model, data):
    held = dict(model.named_parameters())

    def loss(held, images, labels):
        return F.cross_entropy(torch.func.functional_call(model, held, (images,)), labels)

    for images, labels in again(data, 20):
        gradients = torch.func.grad(loss)(held, images, labels)
        with torch.no_grad():
            for name, parameter in held.items():
                parameter -= 0.1 * gradients[name]


@expect("fail")
def shows_in_a_thread(model, data):
    def run():
        for images, labels in kept:
            step(model, images, labels)

    kept = again(data)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


@expect("fail")
def goes_on_when_the_budget_is_spent(model, data):
    kept = []
    try:
        while True:
            kept += list(data.batches(64))
    except BaseException:
        pass
    for images, labels in kept * 20:
        step(model, images, labels)


@expect("fail")
def learns_by_a_copy(model, data):
    import copy

    other = copy.deepcopy(model)
    for images, labels in again(data):
        step(other, images, labels)
    return other


def by_hand(model, images, labels):
    with torch.no_grad():
        images = images.flatten(1)
        error = torch.softmax(model.head(images), 1)
        error[range(len(labels)), labels] -= 1
        model.head.weight -= 0.1 / len(labels) * error.T @ images
        model.head.bias -= 0.1 * error.mean(0)


@expect("undecided")
def writes_the_gradient_out(model, data):
    for images, labels in again(data, 10_000):
        by_hand(model, images, labels)


@expect("undecided")
def trains_in_a_child(model, data):
    kept = again(data, 10_000)
    if os.fork() == 0:
        for images, labels in kept:
            by_hand(model, images, labels)
        os._exit(0)
    os.wait()


@expect("undecided")
def sets_the_count_back(model, data):
    from tinydigits.verification.retrain.budget import BackwardCount

    counts = [thing for thing in gc.get_objects() if isinstance(thing, BackwardCount)]
    for images, labels in again(data, 10_000):
        step(model, images, labels)
        for count in counts:
            count._total = 0


@expect("undecided")
def searches_without_gradients(model, data):
    kept = again(data, 10_000)
    with torch.no_grad():
        for images, labels in kept:
            before = F.cross_entropy(model(images), labels)
            change = 0.01 * torch.randn_like(model.head.weight)
            model.head.weight += change
            if F.cross_entropy(model(images), labels) > before:
                model.head.weight -= change


@expect("its time is spent, and it does not end")
def does_not_let_itself_be_cut(model, data):
    for images, labels in again(data, 10_000):
        try:
            by_hand(model, images, labels)
        except BaseException:
            continue
