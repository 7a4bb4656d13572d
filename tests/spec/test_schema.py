"""The JSON Schema and the reference say what the models say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from staunch.spec import describe, json_schema
from staunch.spec.entries import names, read
from staunch.spec.models import Spec
from staunch.spec.reading import keys, submodel

DOCS = Path(__file__).parents[2] / "docs"


def errors(text: str | bytes) -> list[str]:
    found = Draft202012Validator(json_schema()).iter_errors(yaml.safe_load(text))
    return sorted(each.message for each in found)


def test_the_schema_is_one() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", names())
def test_catalogue_entries_are_valid(name: str) -> None:
    assert errors(read(name)) == []


@pytest.mark.parametrize(
    "text",
    [
        "foundation: debian:13\npackages: libgomp1\nenv: {A: 4}\nuser: 1000\nkeep: [a]\n",
        "extend: python\npython: {requirements: requirements.txt, cooldown: 7d}",
        "foundation: debian:13\nfiles: [{from: a, to: /b}]\ntests: [{run: [a], timeout: 90}]",
        "foundation: debian:13\nsnapshot: '2026-11-01'\naccelerator: none",
    ],
)
def test_sound_specs_are_valid(text: str) -> None:
    assert errors(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "name: x",
        "foundation: debian:13\nnope: 1",
        "foundation: debian:13\npackages: {a: b}",
        "foundation: debian:13\npython: {bytecode: some}",
        "foundation: debian:13\nfiles: [{from: a}]",
        "foundation: debian:13\nrecommends: 'yes'",
        "- a",
    ],
)
def test_faulty_specs_are_not(text: str) -> None:
    assert errors(text)


def test_every_key_is_described() -> None:
    text = describe()
    for model in (Spec, *(submodel(each.annotation) for each in Spec.model_fields.values())):
        for key in keys(model) if model else ():
            assert f"| `{key}` |" in text
        for field in model.model_fields.values() if model else ():
            assert field.description


def test_the_committed_reference_is_current() -> None:
    """Run ``python docs/generate.py`` after a change of the models."""
    assert (DOCS / "spec.md").read_text() == describe()
