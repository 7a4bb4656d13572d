"""The encoders: exact bytes, round trips, and refusal of anything else."""

import gzip as stdlib_gzip
import hashlib
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.errors import HostError, SpecError, UntrustedError
from staunch.formats import gzip, zstd
from staunch.formats.encoder import NAMES, encoder
from staunch.formats.zstd import skippable
from tests.support.assembly import noise
from tests.support.tools import need

# what these encoders gave when their ids were fixed: a change of bytes needs a change of id
PINNED = {
    "zstd-1.5.7/3/4MiB/oneshot": "30388ba54836541c",
    "zlibng-2.3.3/6/4MiB/oneshot": "376d310817dd434c",
}


@pytest.mark.parametrize("name", NAMES)
def test_bytes_are_pinned(name):
    code = encoder(name)
    state = hashlib.sha256()
    for seed, size in enumerate((0, 1, 700, 70_000, 1 << 20, 4 << 20)):
        state.update(code.compress(noise(seed, size)))
    assert state.hexdigest()[:16] == PINNED[code.id]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=5000))
def test_round_trip(name, data):
    code = encoder(name)
    assert code.decompress(code.compress(data), len(data)) == data
    assert code.decompress(memoryview(code.compress(data)), len(data)) == data


@pytest.mark.parametrize("name", NAMES)
def test_same_bytes_in_many_threads(name):
    code = encoder(name)
    blocks = [noise(seed, 30_000 + seed) for seed in range(40)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(code.compress, blocks)) == [code.compress(each) for each in blocks]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(junk=st.binary(max_size=200), size=st.integers(0, 300))
def test_junk_is_refused(name, junk, size):
    code = encoder(name)
    with pytest.raises(UntrustedError, match="is damaged"):
        code.decompress(b"\x00" + junk, size)


@pytest.mark.parametrize("name", NAMES)
def test_only_one_whole_frame_of_that_size(name):
    code = encoder(name)
    data = noise(1, 5000)
    frame = code.compress(data)
    for bad, size in (
        (frame, 4999), (frame, 5001), (frame[:-1], 5000), (frame + frame, 5000),
        (frame + b"\0", 5000), (b"", 0), (code.compress(bytes(50 << 20)), 5000),
    ):  # fmt: skip
        with pytest.raises(UntrustedError, match="is damaged"):
            code.decompress(bad, size)


@pytest.mark.interop
@pytest.mark.parametrize(("name", "program"), [("gzip", "gzip"), ("zstd", "zstd")])
def test_real_tools_read_frames_in_a_row(name, program, tmp_path):
    tool = need(program)
    code = encoder(name)
    data = code.compress(b"one ") + code.compress(b"two")
    if name == "zstd":
        data += skippable(b"anything")
    done = subprocess.run([tool, "-dc"], input=data, check=True, capture_output=True)
    assert done.stdout == b"one two"


def test_gzip_header_tells_nothing_of_the_host():
    frame = gzip.compress(b"x")
    assert frame[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    assert stdlib_gzip.decompress(frame) == b"x"


def test_found_by_name_and_id():
    for name in NAMES:
        assert encoder(encoder(name).id).id == encoder(name).id
    assert encoder(encoder("estargz").id).name == "gzip"  # what an id promises is frames alone
    assert encoder("zstd").media_type == "application/vnd.oci.image.layer.v1.tar+zstd"


def test_unknown_encoder():
    with pytest.raises(SpecError, match="no encoder") as caught:
        encoder("zstd-1.5.8/3/4MiB/oneshot")
    assert "zstd-1.5.7/3/4MiB/oneshot" in caught.value.why


@pytest.mark.parametrize(("module", "wanted"), [(zstd, "1.5.7"), (gzip, "2.3.3")])
def test_another_library_is_refused(module, wanted):
    with pytest.raises(HostError, match="cannot write layers") as caught:
        module.check_version("9.9.9")
    assert wanted in caught.value.why
    assert "9.9.9" in caught.value.why
