"""The official CycloneDX library's opinion of a document."""

from __future__ import annotations

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def faults(data: bytes) -> list[str]:
    """What its strict validator has to say; nothing when all is well."""
    found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode())
    return [] if found is None else [str(found)[:2000]]
