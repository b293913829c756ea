"""The one family of errors: what a message says, near matches, and pydantic's complaints in our words."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tests.conftest import HOSTILE
from tinydigits import errors
from tinydigits.errors import TinydigitsError, explain_validation, unknown_name


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (TinydigitsError("here"), "here"),
        (TinydigitsError("here", "is wrong"), "here: is wrong"),
        (TinydigitsError("here", got=0, expected="> 0"), "here: got 0, expected > 0"),
        (TinydigitsError("here", got=False), "here: got False"),
        (TinydigitsError("here", "is wrong", got=3, expected=4), "here: is wrong, got 3, expected 4"),
        (TinydigitsError("here", "is wrong", hint="another way"), "here: is wrong\n  try: another way"),
    ],
)
def test_a_message_says_where_what_was_got_what_was_expected_and_what_to_try(
    error: TinydigitsError, message: str
) -> None:
    assert str(error) == message


def test_a_message_is_one_line_and_its_hint_another_whatever_it_names() -> None:
    inner = TinydigitsError(HOSTILE, HOSTILE, got=HOSTILE, expected=HOSTILE, hint=HOSTILE)
    for error, num_hints in ((inner, 1), (TinydigitsError("outer", str(inner), hint=HOSTILE), 2)):
        lines = str(error).splitlines()
        assert [line[:7] for line in lines[1:]] == ["  try: "] * num_hints
        assert all(line.isprintable() and errors.printable(line) == line for line in lines)


def test_the_facts_stay_apart_for_those_who_catch_the_error() -> None:
    error = TinydigitsError("here", "is wrong", got=3, expected=4, hint="another way")
    assert (error.where, error.problem, error.got, error.expected, error.hint) == (
        "here", "is wrong", 3, 4, "another way"
    )  # fmt: skip


def test_every_error_of_ours_is_one_family() -> None:
    classes = [found for name in errors.__all__ if isinstance(found := getattr(errors, name), type)]
    assert len(classes) >= 4
    assert all(issubclass(found, TinydigitsError | Warning) for found in classes)


def test_an_unknown_name_comes_with_the_nearest_ones() -> None:
    error = unknown_name("recipe x", "gapcnn", ["two-conv", "gap-cnn", "se-resnet"], kind="model")
    assert str(error) == (
        "recipe x: unknown model 'gapcnn', expected one of gap-cnn, se-resnet, two-conv\n  try: gap-cnn"
    )


def test_a_name_that_is_near_to_nothing_gets_the_general_hint() -> None:
    error = unknown_name("recipe x", "zzz", ["two-conv"], kind="model", hint="a file of your own")
    assert error.hint == "a file of your own"
    assert "expected" not in str(unknown_name("recipe x", "zzz", [], kind="model"))


class Cat(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Literal["cat"]
    lives: Annotated[int, Field(ge=1, le=9)] = 9


class Dog(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Literal["dog"]
    weight: Annotated[float, Field(gt=0, lt=100)] = 10


class House(BaseModel):
    model_config = ConfigDict(extra="forbid")
    rooms: Annotated[int, Field(gt=0)]
    colour: Literal["red", "white"] = "red"
    pet: Annotated[Cat | Dog, Field(discriminator="name")] | None = None
    pets: tuple[Annotated[Cat | Dog, Field(discriminator="name")], ...] = ()

    @model_validator(mode="after")
    def _has_place(self) -> House:
        if len(self.pets) > self.rooms:
            raise ValueError("at most one of pets for each of rooms")
        return self


def explain(given: dict[str, Any]) -> str:
    keys = {"cat": Cat, "dog": Dog}

    def known_keys(location: list[str]) -> list[str]:
        owner = next((keys[part] for part in reversed(location) if part in keys), House)
        return list(owner.model_fields)

    with pytest.raises(ValidationError) as caught:
        House.model_validate(given)
    return str(explain_validation("house x", caught.value, given, known_keys))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "house x: rooms: is required and not given"),
        ({"rooms": 0}, "house x: rooms: got 0, expected > 0"),
        ({"rooms": "many"}, "house x: rooms: got 'many', expected a valid integer"),
        ({"rooms": 1, "colour": "pink"}, "house x: colour: got 'pink', expected 'red' or 'white'"),
        ({"rooms": 1, "pet": {"name": "cat", "lives": 10}}, "house x: pet.lives: got 10, expected ≤ 9"),
        ({"rooms": 1, "pet": {"name": "cat", "lives": 0}}, "house x: pet.lives: got 0, expected ≥ 1"),
        ({"rooms": 1, "pet": {"name": "dog", "weight": 100}}, "house x: pet.weight: got 100, expected < 100"),
        (
            {"rooms": 2, "pets": [{"name": "cat"}, {"name": "dog", "weight": 0}]},
            "house x: pets.1.weight: got 0, expected > 0",
        ),
        (
            {"rooms": 1, "pets": [{"name": "cat"}] * 2},
            "house x: got rooms = 1, expected at most one of pets for each of rooms",
        ),
        ({"rooms": 1, "pet": {"name": "cow"}}, "unknown name 'cow', expected one of cat, dog"),
    ],
)
def test_a_validation_error_is_told_in_our_words(given: dict[str, Any], message: str) -> None:
    assert message in explain(given)


def test_an_unknown_key_comes_with_the_nearest_key_of_its_own_table() -> None:
    assert explain({"rooms": 1, "color": "red"}).endswith("try: colour")
    message = explain({"rooms": 1, "pet": {"name": "cat", "live": 3}})
    assert "unknown key 'pet.live'" in message and "try: pet.lives" in message
