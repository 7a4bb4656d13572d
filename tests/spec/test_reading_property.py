"""Whatever stands under the known keys: an ``ImageSpec`` or faults with places, never a leak."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.spec import FaultsError, load
from staunch.spec.models import Spec
from staunch.spec.reading import keys, submodel

INNER = sorted(
    {
        key
        for field in Spec.model_fields.values()
        if (m := submodel(field.annotation))
        for key in keys(m)
    }
)
words = st.sampled_from(
    ["", "a", "main", "debian:13", "ubuntu:24.04", "/x", "../x", "x.txt", "https://x/", "7d", "65532",
     "inference", "numpy==1", "libc6=2", "python", "linux/arm64", "true", "\0", "2026-01-01", "no-shell"]
) | st.text(st.characters(max_codepoint=0xD7FF), max_size=6)  # fmt: skip
values = st.recursive(
    words | st.booleans() | st.none() | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(INNER) | words, inner, max_size=4)
    ),
    max_leaves=12,
)
specs = st.dictionaries(st.sampled_from(keys(Spec)) | words, values, max_size=6)


@settings(max_examples=150, deadline=None)
@given(spec=specs, sound=st.booleans())
def test_any_spec_is_read_or_refused_with_places(*, spec: dict[str, object], sound: bool) -> None:
    if sound:
        spec = {"foundation": "debian:13", **spec}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.yaml"
        path.write_text(json.dumps(spec))
        try:
            load(str(path))
        except FaultsError as e:
            for fault in e.faults:
                assert fault.place.file
                assert fault.why
                assert fault.mend
