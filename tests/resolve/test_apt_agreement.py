"""The same requests to Staunch and to apt, over the real Debian archive (docs/resolving.md)."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from staunch.errors import SpecError
from staunch.formats.packages import PackageIndex
from staunch.model.spec import Place, Request
from staunch.resolve.debian import solve
from tests.support import real_debian
from tests.support.apt import Apt

pytestmark = [pytest.mark.network, pytest.mark.interop]

SETS = """
python3-minimal
libgomp1
ca-certificates tzdata media-types netbase
bash coreutils
curl nginx python3
gcc g++ make cmake
build-essential git postgresql python3-numpy
default-jdk ffmpeg r-base
apache2 libreoffice-writer texlive-latex-extra
openssh-server
mariadb-server php-fpm
nodejs npm
rails ruby
docker.io
podman
emacs-nox vim
ansible
python3-matplotlib python3-pandas python3-scipy
cargo golang rustc
memcached redis-server
bind9 dnsutils
dovecot-imapd postfix
qemu-system-x86
ghostscript graphicsmagick imagemagick
default-mta gnome-core
chromium
firefox-esr
libopencv-dev
octave
gdal-bin postgis
dbus systemd udev
cron logrotate
apt
perl
nmap tshark wireshark
krb5-user samba
haproxy varnish
xfce4
blender
gimp inkscape
""".strip().splitlines()
FEW = SETS[:6]
NUMBERS = ["12", "13"]


class Pair:
    """Both resolvers over the same texts."""

    def __init__(self, number: str, folder: Path) -> None:
        suites = real_debian.suites(number)
        self.index = PackageIndex(suites, architecture="amd64")
        self.apt = Apt(folder, suites)

    def compare(self, names: list[str]) -> Comparison:
        """Ask both."""
        requests = [Request(name, Place("set", line, 1)) for line, name in enumerate(names, 1)]
        started = time.process_time()
        try:
            solution = solve(self.index, requests)
        except SpecError as error:
            ours, why = None, error.why
        else:
            ours, why = {each.package.name: each.package.version for each in solution.packages}, ""
        spent_ms = (time.process_time() - started) * 1000
        return Comparison(self.apt.install(names), ours, why, spent_ms)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Name to version of both, None where one has no solution."""

    theirs: dict[str, str] | None
    ours: dict[str, str] | None
    why: str
    spent_ms: float

    def __str__(self) -> str:
        """What differs, in words; empty where both agree."""
        if self.theirs is None or self.ours is None:
            if self.theirs is None and self.ours is None:
                return ""
            return "only Staunch has a solution" if self.ours else f"only apt has one: {self.why}"
        more, fewer = self.ours.keys() - self.theirs.keys(), self.theirs.keys() - self.ours.keys()
        words = [f"more: {', '.join(sorted(more))}"] if more else []
        words += [f"fewer: {', '.join(sorted(fewer))}"] if fewer else []
        return "; ".join([*words, *(f"version of {name}" for name in self.versions())])

    def versions(self) -> list[str]:
        """Names of which both have different versions."""
        ours, theirs = self.ours or {}, self.theirs or {}
        return sorted(name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name])


def random_set(index: PackageIndex, seed: int) -> list[str]:
    """Any 1 to 20 packages of the archive."""
    rng = random.Random(seed)
    return sorted(rng.sample(sorted(index.names()), rng.choice([1, 2, 3, 5, 8, 13, 20])))


@pytest.fixture(scope="module", params=NUMBERS)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    yield Pair(request.param, tmp_path_factory.mktemp("apt"))


@pytest.mark.parametrize("names", FEW)
def test_agrees(pair: Pair, names: str) -> None:
    assert str(pair.compare(names.split())) == ""


@pytest.mark.slow
@pytest.mark.parametrize("names", SETS[len(FEW) :])
def test_agrees_on_many(pair: Pair, names: str) -> None:
    assert str(pair.compare(names.split())) == ""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_random_sets(pair: Pair, seed: int) -> None:
    """Any packages of the archive: the same set, or a difference that the rules explain.

    Which of several equal providers is taken is the one choice that apt makes by the order in
    which its cache met their names; Staunch takes the first by name. Names of both choices, and
    what only they need, may differ, and nothing else: no version, and no solution that is missed.
    """
    found = pair.compare(random_set(pair.index, seed))
    assert (found.theirs is None) == (found.ours is None)
    assert found.versions() == []
