"""The JSON Schema of specs, for editors and for ``staunch schema``."""

from __future__ import annotations

from typing import Any

from staunch.spec.models import Spec

__all__ = ["json_schema"]


def json_schema() -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) that every sound spec validates against.

    A spec that extends another may leave ``foundation`` to it. What the schema cannot say (paths
    that must exist, keys that must fit each other) ``staunch`` checks when it reads a spec.
    """
    schema = Spec.model_json_schema(by_alias=True, mode="validation")
    required = schema.pop("required", [])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://staunch.dev/schema/spec/v1",
        "title": "Staunch image spec",
        "description": "What an image is made of.",
        **{key: value for key, value in schema.items() if key not in ("title", "description")},
        "anyOf": [{"required": required}, {"required": ["extend"]}],
    }
