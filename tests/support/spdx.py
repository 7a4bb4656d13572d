"""The official SPDX library's opinion of a document."""

from __future__ import annotations

import json

from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document


def faults(data: bytes) -> list[str]:
    """What its validator has to say; nothing when all is well. It raises on what it cannot read."""
    document = JsonLikeDictParser().parse(json.loads(data))
    found = validate_full_spdx_document(document, "SPDX-2.3")
    return [each.validation_message for each in found]
