"""The host's own sources of wheels, from made-up homes and environments."""

from __future__ import annotations

from pathlib import Path

import pytest
import uv

from staunch.adapters.pip_config import default_index, host_sources
from staunch.adapters.runner import ProcessRunner
from staunch.errors import UndecidedError
from staunch.model.sources import IndexSource, IndexSources, with_spec
from staunch.model.spec import PythonSpec

DEFAULT = "https://default.example.org/simple"


class Host:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.env = {"HOME": str(root / "home"), "PATH": "/usr/bin:/bin"}

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def read(self, **env: str) -> IndexSources:
        return host_sources(
            ProcessRunner(),
            None,
            env=self.env | env,
            prefix=self.root / "prefix",
            system=self.root / "etc",
        )


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def urls(sources: IndexSources) -> list[str]:
    return [each.url for each in sources.indexes]


def test_a_bare_host_has_none(host: Host) -> None:
    found = host.read()
    assert (found.indexes, found.default, found.host_find_links, found.cert) == ((), None, (), None)


def test_environment_of_pip_and_uv(host: Host) -> None:
    found = host.read(
        UV_INDEX="corp=https://a.example.org/simple https://b.example.org/simple/",
        UV_EXTRA_INDEX_URL="https://c.example.org/simple",
        PIP_EXTRA_INDEX_URL="https://d.example.org/simple https://a.example.org/simple",
        UV_DEFAULT_INDEX=DEFAULT,
        PIP_INDEX_URL="https://other.example.org/simple",
        UV_FIND_LINKS="/srv/one,/srv/two",
        PIP_FIND_LINKS="/srv/three /srv/one",
    )
    assert found.indexes == tuple(
        IndexSource(f"host-{n}", f"https://{name}.example.org/simple")
        for n, name in enumerate("abcd", 1)
    )
    assert found.default == DEFAULT
    assert found.host_find_links == ("/srv/one", "/srv/two", "/srv/three")


@pytest.mark.parametrize(
    "path",
    ["etc/pip.conf", "etc/xdg/pip/pip.conf", "home/.pip/pip.conf", "home/.config/pip/pip.conf", "prefix/pip.conf"],
)  # fmt: skip
def test_pip_conf_wherever_pip_reads_it(host: Host, path: str) -> None:
    host.write(
        path,
        f"[global]\nindex-url = {DEFAULT}\ncert = {host.root}/ca.pem\n"
        "extra-index-url =\n    file:///srv/simple\n    https://x.example.org/simple\n"
        "[install]\nfind-links = /srv/wheels\n",
    )
    host.write("ca.pem", "")
    found = host.read()
    assert urls(found) == ["file:///srv/simple", "https://x.example.org/simple"]
    assert (found.default, found.host_find_links) == (DEFAULT, ("/srv/wheels",))
    assert found.cert == host.root / "ca.pem"
    assert dict(found.env)["SSL_CERT_FILE"] == str(host.root / "ca.pem")


def test_the_better_file_of_pip_replaces_the_worse(host: Host) -> None:
    host.write("etc/pip.conf", "[global]\nextra-index-url = https://worse.example.org\n")
    host.write(
        "home/.config/pip/pip.conf", "[global]\nextra_index_url = https://better.example.org\n"
    )
    assert urls(host.read()) == ["https://better.example.org"]
    assert urls(host.read(PIP_EXTRA_INDEX_URL="https://best.example.org")) == [
        "https://best.example.org"
    ]
    host.write("named.conf", "[global]\nextra-index-url = https://named.example.org\n")
    assert urls(host.read(PIP_CONFIG_FILE=str(host.root / "named.conf"))) == [
        "https://named.example.org"
    ]
    assert urls(host.read(PIP_CONFIG_FILE="/dev/null")) == []


def test_uv_toml(host: Host) -> None:
    host.write(
        "home/.config/uv/uv.toml",
        'find-links = ["../wheels"]\n'
        '[[index]]\nname = "corp"\nurl = "https://corp.example.org/simple"\n'
        '[[index]]\nname = "pt"\nurl = "https://only-named.example.org/simple"\nexplicit = true\n'
        f'[[index]]\nurl = "{DEFAULT}"\ndefault = true\n'
        '[pip]\nextra-index-url = ["https://more.example.org/simple"]\n',
    )
    host.write("etc/pip.conf", "[global]\nextra-index-url = https://pips.example.org/simple\n")
    found = host.read()
    assert urls(found) == [
        "https://corp.example.org/simple",
        "https://more.example.org/simple",
        "https://pips.example.org/simple",
    ]
    assert found.default == DEFAULT
    assert found.host_find_links == (str(host.root / "home/.config/wheels"),)
    assert urls(host.read(UV_NO_CONFIG="1")) == ["https://pips.example.org/simple"]
    host.write("other.toml", 'index-url = "https://file.example.org/simple"\n')
    assert host.read(UV_CONFIG_FILE=str(host.root / "other.toml")).default == (
        "https://file.example.org/simple"
    )


@pytest.mark.parametrize("env", [{"PIP_NO_INDEX": "1"}, {"UV_NO_INDEX": "true"}])
def test_no_index_leaves_find_links_only(host: Host, env: dict[str, str]) -> None:
    found = host.read(PIP_INDEX_URL=DEFAULT, UV_INDEX=DEFAULT, PIP_FIND_LINKS="/srv", **env)
    assert (found.indexes, found.default, found.host_find_links) == ((), None, ("/srv",))


@pytest.mark.parametrize(
    ("path", "text", "why"),
    [
        ("etc/pip.conf", "index-url = x\n", "no section headers"),
        ("home/.config/uv/uv.toml", "[[index", "no TOML"),
    ],
)
def test_broken_files_are_named(host: Host, path: str, text: str, why: str) -> None:
    host.write(path, text)
    with pytest.raises(UndecidedError) as caught:
        host.read()
    assert str(host.root / path) in caught.value.what
    assert why in caught.value.why


def test_a_file_that_is_not_text_is_named(host: Host) -> None:
    host.write("etc/pip.conf", "")
    (host.root / "etc/pip.conf").write_bytes(b"[global]\n\xff\n")
    with pytest.raises(UndecidedError, match=r"pip\.conf"):
        host.read()


def test_uvs_environment_is_clean(host: Host) -> None:
    env = dict(
        host.read(
            UV_INDEX_STRATEGY="unsafe-best-match",
            UV_CONSTRAINT="x",
            UV_CACHE_DIR="/cache",
            PIP_PRE="1",
            VIRTUAL_ENV="/venv",
            https_proxy="http://proxy.example.org",
        ).env
    )
    assert env == {
        "HOME": str(host.root / "home"),
        "PATH": "/usr/bin:/bin",
        "UV_CACHE_DIR": "/cache",
        "UV_NO_CONFIG": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "https_proxy": "http://proxy.example.org",
    }


def test_credentials_are_not_in_the_repr(host: Host) -> None:
    assert "hunter2" not in repr(host.read(SOME_TOKEN="hunter2"))


def test_uv_is_asked_for_its_default(host: Host) -> None:
    """Whatever it is, it is a URL, and one that no configuration named."""
    found = host_sources(
        ProcessRunner(),
        Path(uv.find_uv_bin()),
        env=host.env,
        prefix=host.root,
        system=host.root / "etc",
    )
    assert found.default is not None
    assert found.default.startswith("https://")


def test_a_uv_that_does_not_tell_is_undecided(host: Host) -> None:
    with pytest.raises(UndecidedError, match="cannot find out the default package index"):
        default_index(ProcessRunner(), Path("/bin/false"), env=host.env)


def test_a_specs_sources_stand_in_front() -> None:
    hosts = IndexSources(
        (
            IndexSource("host-1", "https://a.example.org"),
            IndexSource("host-2", "https://b.example.org"),
        ),
        DEFAULT,
        host_find_links=("/srv/x", "/srv/y"),
    )
    spec = PythonSpec(
        indexes=("https://own.example.org", "https://b.example.org/"), find_links=("/srv/y",)
    )
    found = with_spec(hosts, spec)
    assert [(e.label, e.url) for e in found.indexes] == [
        ("spec-1", "https://own.example.org"),
        ("spec-2", "https://b.example.org/"),
        ("host-1", "https://a.example.org"),
    ]
    assert (found.default, found.find_links, found.host_find_links) == (
        DEFAULT,
        ("/srv/y",),
        ("/srv/x",),
    )
    again = with_spec(hosts, PythonSpec(indexes=(f"{DEFAULT}/",)))
    assert again.default is None
    assert [e.label for e in again.indexes] == ["spec-1", "host-1", "host-2"]
