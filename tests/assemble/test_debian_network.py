"""Real packages of the Debian archive: read twice alike, hardened, checked."""

import subprocess
import tempfile
from pathlib import Path

import pytest

from staunch.assemble.assemble import assemble
from staunch.assemble.checks import check
from staunch.assemble.debian import Spools, deb_part, deb_reader
from staunch.assemble.payloads import Payloads
from staunch.errors import SpecError
from staunch.model.digest import Digest
from staunch.model.lock import LockedPackage
from staunch.model.spec import Foundation, Profile
from staunch.ports import Verified
from tests.support.memory_store import MemoryBlob, MemoryStore
from tests.support.tools import need
from tests.support.trees import AMD64, image_spec

pytestmark = [pytest.mark.network, pytest.mark.interop]

PACKAGES = ("base-files", "libc6", "libssl3", "libgcc-s1", "gcc-12-base", "zlib1g", "libexpat1")
DEBIAN = Foundation("debian", "12")
_FORMAT = "${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}"


@pytest.fixture(scope="module")
def packages():
    """Name -> lock line and bytes of each package, of whatever release the host's archive has."""
    apt, query = need("apt-get"), need("dpkg-deb")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([apt, "download", *PACKAGES], cwd=folder, capture_output=True, text=True, check=False)  # fmt: skip
        if done.returncode:
            pytest.skip(f"the host's archive has other packages: {done.stderr[-300:]}")
        found = {}
        for path in sorted(Path(folder).glob("*.deb")):
            shown = subprocess.run([query, f"--showformat={_FORMAT}", "-W", path], capture_output=True, text=True, check=True)  # fmt: skip
            name, version, architecture, source, source_version = shown.stdout.split("\t")
            data = path.read_bytes()
            found[name] = (
                LockedPackage(name, version, architecture, source, source_version, "debian", "x", path.name, len(data), Digest.of(data), (Profile.INFERENCE,)),
                Verified(Digest.of(data), MemoryBlob(data), "test"),
            )  # fmt: skip
        return found


def build(packages, names, folder):
    store, spools = MemoryStore(), Spools(folder)
    parts = [deb_part(*packages[name], store, DEBIAN, spools=spools) for name in names]
    again = [deb_part(*packages[name], store, DEBIAN) for name in names]
    assert parts == again
    readers = {f"deb:{name}": deb_reader(packages[name][1], f"deb:{name}", spools=spools) for name in names}  # fmt: skip
    payloads = Payloads(lambda owner: readers[owner], store)
    return assemble(image_spec(), AMD64, parts, payloads=payloads), payloads


def test_a_hardened_closure_passes_every_check(packages, tmp_path):
    made, payloads = build(packages, sorted(packages), tmp_path)
    check(made, {}, spec=image_spec(), payloads=payloads)
    assert [kept.why for kept in made.executables] == ["the ELF loader starts every program"]
    licences = {entry.path for entry in made.entries if entry.path.endswith("/copyright")}
    assert {
        f"usr/share/doc/{name}/copyright" for name in ("libc6", "libssl3", "zlib1g")
    } <= licences
    files = [e for e in made.entries if e.digest is not None and e.size < 1 << 20]
    assert len(payloads.read_many(files)) == len(files)


def test_a_missing_package_is_told(packages, tmp_path):
    made, payloads = build(
        packages, [name for name in sorted(packages) if name != "libc6"], tmp_path
    )
    with pytest.raises(SpecError, match=r"would not work in the image") as caught:
        check(made, {}, spec=image_spec(), payloads=payloads)
    assert "(deb:libssl3) needs libc.so.6, which is not there" in caught.value.why
