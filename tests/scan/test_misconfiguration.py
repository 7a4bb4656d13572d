"""Image configuration against CIS Docker Benchmark section 4 and the restricted profile."""

from __future__ import annotations

from dataclasses import replace

import pytest

from staunch.model.finding import Level
from staunch.scan.misconfiguration import Facts, judge_configuration

GOOD = Facts(user="65532", healthcheck=True, exposed=("8080/tcp",), setuid=(), writable=())


def ids(facts: Facts) -> list[str]:
    found = judge_configuration(facts)
    for each in found:
        assert each.title
        assert each.why
        assert each.mend
    return [each.id for each in found]


def test_a_hardened_image_has_none() -> None:
    assert ids(GOOD) == []


@pytest.mark.parametrize("user", ["", "root", "0", "0:0", "root:staff"])
def test_root(user: str) -> None:
    assert ids(replace(GOOD, user=user)) == ["CIS-Docker-4.1"]
    assert judge_configuration(replace(GOOD, user=user))[0].level is Level.HIGH


def test_a_name_is_no_number_for_kubernetes() -> None:
    assert ids(replace(GOOD, user="app")) == ["PSS-restricted-runAsNonRoot"]
    assert ids(replace(GOOD, user="app:1")) == ["PSS-restricted-runAsNonRoot"]
    assert ids(replace(GOOD, user="toor", uids=(("toor", 0),))) == ["CIS-Docker-4.1"]


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"healthcheck": False}, ["CIS-Docker-4.6"]),
        ({"exposed": ("80", "443/tcp", "8443/tcp", "0", "x")}, ["PSS-restricted-capabilities"] * 2),
        ({"setuid": ("usr/bin/su", "usr/bin/mount")}, ["CIS-Docker-4.8"]),
        ({"writable": ("srv/data",)}, ["Staunch-writable-folders"]),
        ({"secrets": 2}, ["CIS-Docker-4.10"]),
        ({"volumes": ("/data",)}, []),
        ({"volumes": ("/", "/etc/")}, ["PSS-restricted-volumeTypes"] * 2),
        ({"setuid": None, "writable": None}, []),
    ],
)
def test_settings(change: dict[str, object], wanted: list[str]) -> None:
    assert ids(replace(GOOD, **change)) == wanted  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("/bin/sh -c apt-get update", ["CIS-Docker-4.7"]),
        ("/bin/sh -c apk update", ["CIS-Docker-4.7"]),
        ("/bin/sh -c apt-get update && apt-get install -y curl", []),
        ("/bin/sh -c apt-get -q update; apt-get -y install curl", []),
        ("RUN /bin/sh -c apk add --no-cache curl # buildkit", []),
        ("/bin/sh -c #(nop) ADD file:abc in / ", []),
        ("ADD https://example.org/x.tgz /x", ["CIS-Docker-4.9"]),
        ("ADD --chown=1:1 https://example.org/x.tgz /x # buildkit", ["CIS-Docker-4.9"]),
        ("RUN curl -fsSL https://example.org/i.sh | bash", ["CIS-Docker-4.11"]),
        ("RUN wget -O - https://example.org/i.sh | sudo sh", ["CIS-Docker-4.11"]),
        ("RUN curl -k https://example.org/x -o x", ["CIS-Docker-4.11"]),
        ("RUN pip install --trusted-host x y", ["CIS-Docker-4.11"]),
        ("RUN curl -fsSL https://example.org/x -o x && sha256sum -c x.sum", []),
        ("staunch: foundation", []),
    ],
)
def test_history(line: str, wanted: list[str]) -> None:
    assert ids(replace(GOOD, history=(line,))) == wanted


def test_long_lists_are_cut() -> None:
    paths = tuple(f"usr/bin/{n}" for n in range(9))
    (found,) = judge_configuration(replace(GOOD, setuid=paths))
    assert found.title == "9 files have a setuid or setgid bit"
    assert found.why.endswith("/usr/bin/4 and 4 more")
