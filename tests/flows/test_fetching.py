"""What a build takes from the store, and what it asks mirrors for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from staunch.errors import SpecError
from staunch.fetch.blobs import stored
from staunch.flows.build import _fetch
from staunch.model.digest import Digest
from tests.assemble.test_debian import LOCKED
from tests.support.memory_store import MemoryStore
from tests.support.trees import image_spec


def test_a_lock_that_names_another_repository_is_refused_though_the_store_has_the_file():
    package = replace(LOCKED, repository="elsewhere")
    with pytest.raises(SpecError, match="from 'elsewhere', which the spec does not have") as caught:
        _fetch(image_spec(), None, [package], [], None)
    assert caught.value.why.startswith("the spec's repositories are debian")
    assert caught.value.mend == "run `staunch lock`; a lock is not meant to be edited"


def test_what_stands_in_the_store_is_taken_from_it():
    store = MemoryStore()
    digest = store.put(b"package")
    assert stored(digest, 7, store).blob.pread(7, 0) == b"package"
    assert stored(Digest.of(b"other"), 5, store) is None
