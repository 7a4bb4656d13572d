"""Reading whole specs: what comes out, and every fault with file, line and column."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from staunch.errors import HostError, SpecError
from staunch.model.platform import Platform
from staunch.model.spec import Bytecode, Foundation, ImageSpec, Place, Profile
from staunch.spec import FaultsError, catalogue, load

HEAD = "foundation: debian:13\n"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, text: str) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return name


def spec(text: str) -> ImageSpec:
    return load(write("a.yaml", text))


def faults(text: str, **options: object) -> list[str]:
    """Every fault as it is printed, in order."""
    name = write("a.yaml", text)
    with pytest.raises(FaultsError) as caught:
        load(name, **options)  # type: ignore[arg-type]  # keywords of load
    return [str(fault) for fault in caught.value.faults]


def certificate() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "corp")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return made.public_bytes(serialization.Encoding.PEM), private


def test_the_least_spec() -> None:
    found = spec(HEAD)
    assert found.name == "a"
    assert found.foundation == Foundation("debian", "13")
    assert found.profile is Profile.INFERENCE
    assert found.platforms == (Platform("linux", "amd64"),)
    assert found.user == "65532"
    assert found.workdir == "/"
    assert found.python is None
    assert found.source == Path("a.yaml").resolve()
    assert found.base_dir == Path.cwd()


def test_every_key_arrives(tmp_path: Path) -> None:
    public, _ = certificate()
    Path("corp.pem").write_bytes(public)
    write("keys/corp.asc", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
    write("app/main.py", "")
    Path("wheels").mkdir()
    write("more.txt", "safetensors\n")
    write("limits.txt", "# ours\nnumpy<3  # not yet\n\n")
    found = spec(
        """\
        name: my-image
        summary: Says hello
        foundation: debian:12
        profile: training
        platforms: [linux/arm64, linux/amd64, linux/arm64]
        packages: [libgomp1, openssl=3.0.15-1, libgomp1]
        recommends: true
        repositories:
          - {uris: https://apt.example.org/debian, suites: [bookworm], components: [main, extra], signed-by: keys/corp.asc}
        snapshot: 2026-11-01
        certificates: corp.pem
        python:
          version: 3.11
          requirements: [torch==2.13.0, more.txt, "numpy; python_version > '3'"]
          constraints: [limits.txt, jinja2<4]
          indexes: [https://wheels.example.org/simple]
          find-links: [./wheels, https://wheels.example.org/list.html]
          cooldown: 7d
          bytecode: none
          allow-held-back: [Hydra_Core]
        accelerator: none
        files: [{from: ./app, to: /srv//app/, exclude: tests}]
        env: {OMP_NUM_THREADS: 4, LANG: C.UTF-8}
        user: 1000
        workdir: /srv
        entrypoint: [python3, /srv/app/main.py]
        cmd: [--port, 8080]
        labels: {org.example.team: 7}
        rules: {no-shell: false}
        keep: usr/share/man/**
        tests:
          - {run: [python3, --version], expect: Python 3.11, timeout: 2m}
          - {run: ["true"]}
        """
    )
    assert found.name == "my-image"
    assert found.summary == "Says hello"
    assert found.foundation == Foundation("debian", "12")
    assert found.profile is Profile.TRAINING
    assert [str(each) for each in found.platforms] == ["linux/arm64", "linux/amd64"]
    assert [each.text for each in found.packages] == ["libgomp1", "openssl=3.0.15-1"]
    assert found.packages[1].place == Place("a.yaml", 6, 22)
    assert found.recommends is True
    (repository,) = found.repositories
    assert repository.id == "repository-1"
    assert repository.uris == ("https://apt.example.org/debian",)
    assert repository.components == ("main", "extra")
    assert repository.key.startswith(b"-----BEGIN PGP")
    assert found.snapshot == datetime(2026, 11, 1, tzinfo=UTC)
    assert found.certificates == (public,)
    python = found.python
    assert python is not None
    assert python.version == "3.11"
    assert [each.text for each in python.requirements] == [
        "torch==2.13.0",
        "numpy; python_version > '3'",
    ]
    assert python.requirements_files == (tmp_path / "more.txt",)
    assert [each.text for each in python.constraints] == ["jinja2<4", "numpy<3"]
    assert python.constraints[1].place == Place(str(tmp_path / "limits.txt"), 2, 1)
    assert python.find_links == (str(tmp_path / "wheels"), "https://wheels.example.org/list.html")
    assert python.cooldown == timedelta(days=7)
    assert python.bytecode is Bytecode.NONE
    assert python.allow_held_back == ("hydra-core",)
    (files,) = found.files
    assert files.source == tmp_path / "app"
    assert files.target == "/srv/app"
    assert files.exclude == ("tests",)
    assert found.env == (("LANG", "C.UTF-8"), ("OMP_NUM_THREADS", "4"))
    assert found.user == "1000"
    assert found.cmd == ("--port", "8080")
    assert found.labels == (("org.example.team", "7"),)
    assert found.rules == (("no-shell", False),)
    assert found.keep == ("usr/share/man/**",)
    assert [each.timeout_s for each in found.tests] == [120.0, 120.0]
    assert found.tests[1].run == ("true",)
    assert found.place("python.version") == Place("a.yaml", 13, 12)
    assert found.place("nowhere") == Place(str(tmp_path / "a.yaml"))


def test_all_faults_at_once() -> None:
    text = """\
    nam: x
    foundation: debian:14
    profile: infer
    packages: [libgomp1, Foo, python3_core, 5]
    requirements: [x]
    certificates: [no.pem]
    python:
      requirements: ["torch=1", ok]
      find-links: nowhere
    files:
      - {to: app}
      - {from: ./zz, to: /app, exlude: [x]}
    env: {1A: x, B: true, C: 4}
    tests:
      - run: python3 -c
        timeout: 3y
    recommends: "yes"
    """
    found = [each.splitlines()[0] for each in faults(text)]
    here = Path.cwd()
    assert found == [
        "a.yaml:1:1: unknown key `nam`",
        "a.yaml:2:13: unknown foundation 'debian:14'",
        "a.yaml:3:10: `profile` cannot be 'infer'",
        "a.yaml:4:22: `packages[1]`: 'Foo' is no package request",
        "a.yaml:4:27: `packages[2]`: the slice 'python3_core' cannot be used yet",
        "a.yaml:4:41: `packages[3]`: '5' is no package request",
        "a.yaml:5:1: unknown key `requirements`",
        f"a.yaml:6:16: no such file: {here}/no.pem",
        "a.yaml:8:18: `python.requirements[0]`: 'torch=1' is no requirement",
        f"a.yaml:9:15: no such folder: {here}/nowhere",
        "a.yaml:11:5: `files[0].content`: there is no `from` either",
        "a.yaml:11:10: `files[0].to`: 'app' is no place in an image",
        f"a.yaml:12:12: no such file or folder: {here}/zz",
        "a.yaml:12:28: unknown key `exlude`",
        "a.yaml:13:7: `env.1A`: '1A' is no name of a variable",
        "a.yaml:13:17: `env.B` must be text, not true",
        "a.yaml:15:10: `tests[0].run` must be a list, not text",
        "a.yaml:16:14: `tests[0].timeout`: '3y' is no length of time",
        "a.yaml:17:13: `recommends` must be true or false, not text",
    ]


ONE_FAULT = {
    # what stands below the foundation: place, then parts of the message
    "packges: [a]": ("2:1", "unknown key `packges`", "did you mean `packages`?"),
    "Python: {}": ("2:1", "unknown key `Python`", "did you mean `python`?"),
    "find_links: [x]": ("2:1", "unknown key `find_links`", "`find-links` inside `python:`"),
    "suites: [x]": ("2:1", "unknown key `suites`", "did you mean `suites` inside `repositories:`?"),
    "python: {packages: [x]}": ("2:10", "unknown key `packages`", "`packages` at the top"),
    "python: {requirement: x}": ("2:10", "`requirement`", "did you mean `requirements`?"),
    "qqq: 1": ("2:1", "unknown key `qqq`", "remove it"),
    "'[key]': []": ("2:1", "unknown key `[key]`", "remove it"),
    "env: {'[key]': x}": ("2:7", "'[key]' is no name of a variable", "rename it"),
    "<<: {name: x}": ("2:1", "unknown key `<<`", "use `extend:`"),
    "python: x": ("2:9", "`python` must be a mapping, not text", "indented under `python:`"),
    "env: [a]": ("2:6", "`env` must be a mapping, not a list", "indented under `env:`"),
    "name: [a]": ("2:7", "`name` must be text, not a list", "`staunch schema`"),
    "entrypoint: python3 -m app": (
        "2:13",
        "`entrypoint` must be a list, not text",
        "`entrypoint: [python3, -m, app]`",
    ),
    "files: {from: a, to: /b}": ("2:8", "`files` must be a list, not a mapping", "`files`"),
    "tests: [{run: []}]": ("2:15", "`tests[0].run` is empty", "name at least one"),
    "env: {A: false}": ("2:10", "`env.A` must be text, not false", "put it in quotes"),
    "packages: [~]": ("2:12", "`packages[0]` must be text, not nothing", "`packages`"),
    "recommends: 1": ("2:13", "must be true or false, not text", "`recommends: true`"),
    "rules: {no-shell: off}": ("2:19", "must be true or false, not text", "without quotes"),
    "tests: [{run: [a], timeout: []}]": ("2:29", "must be a length of time, not a list", "timeout"),
    "name: My Image": ("2:7", "'My Image' is no image name", "`name: my-image`"),
    "profile: Training": ("2:10", "`profile` cannot be 'Training'", "`profile: training`"),
    "platforms: [linux/ppc64]": ("2:13", "unknown platform 'linux/ppc64'", "name one of these"),
    "platforms: []": ("2:12", "`platforms` is empty", "name at least one"),
    "packages: [python3_core]": ("2:12", "the slice 'python3_core'", "whole package: python3"),
    "packages: ['a b']": ("2:12", "'a b' is no package request", "lower-case"),
    "packages: [a]": ("2:12", "'a' is no package request", "lower-case"),
    "python: {version: '3'}": ("2:19", "'3' is no Python version", '`version: "3.13"`'),
    "python: {version: 3.11}": ("2:19", "debian:13 has no Python 3.11", "foundation: debian:12"),
    "python: {version: 3.10}": ("2:19", "debian:13 has no Python 3.10", 'version: "3.13"'),
    "python: {requirements: ['a @ https://x/a.whl']}": ("2:25", "'a' names a URL", "find-links"),
    "python: {requirements: ['-e .']}": ("2:25", "'-e .' is no requirement", "as pip does"),
    "python: {requirements: no.txt}": ("2:24", "no such file", "correct the path"),
    "python: {requirements: ./pyproject.toml}": ("2:24", "no such file", "correct the path"),
    "python: {indexes: ['http://x.example/simple']}": ("2:20", "plain http (x.example)", "https"),
    "python: {indexes: [x.example]}": ("2:20", "is no index", "write it whole"),
    "python: {indexes: ['https://[']}": ("2:20", "is no index", "write it whole"),
    "python: {find-links: 'ftp://x/'}": ("2:22", "is no folder", "correct the path"),
    "python: {cooldown: soon}": ("2:20", "'soon' is no length of time", "`7d`"),
    "python: {bytecode: some}": ("2:20", "`python.bytecode` cannot be 'some'", "bytecode: "),
    "python: {bytecode: traced}": ("2:20", "cannot be 'traced'", "bytecode: full"),
    "python: {constraints: ['=']}": ("2:24", "'=' is no requirement", "as pip does"),
    "snapshot: yesterday": ("2:11", "'yesterday' is no moment", "`2026-11-01`"),
    "snapshot: []": ("2:11", "'[]' is no moment", "`2026-11-01`"),
    "accelerator: {cuda: new}": ("2:21", "'new' is no version of CUDA", "13.0"),
    "accelerator: {archs: [h100]}": ("2:23", "'h100' is no GPU architecture", "sm_90"),
    "accelerator: {jit: nvcc}": ("2:20", "`accelerator.jit` cannot be 'nvcc'", "jit: "),
    "user: a b": ("2:7", "'a b' is no user", "`user: 65532`"),
    "user: root": ("2:7", "`user: root` in an inference image", "non-root: false"),
    "user: 0": ("2:7", "`user: 0` in an inference image", "write `user: 65532`"),
    "workdir: app": ("2:10", "'app' is no place in an image", "`/app`"),
    "files: [{from: ., to: /a/../b}]": ("2:23", "is no place in an image", "from the root"),
    "files: [{from: ., to: /a, x: 1}]": ("2:27", "unknown key `x`", "remove it"),
    "files: [{from: .}]": ("2:9", "`files[0].to` is missing", "add `to:`"),
    "env: {'A=B': x}": ("2:7", "'A=B' is no name of a variable", "rename"),
    'env: {A: "x\\0"}': ("2:10", "a NUL character", "remove it"),
    'tests: [{run: ["x\\0"]}]': ("2:9", "a NUL character", "remove it"),
    "certificates: no.pem": ("2:15", "no such file", "correct the path"),
    "certificates: .": ("2:15", "not a file", "correct the path"),
    "extend: pyton": ("2:9", "unknown catalogue entry 'pyton'", "did you mean `python`?"),
    "extend: zzzz": ("2:9", "unknown catalogue entry 'zzzz'", "`./base.yaml`"),
    "extend: ./zz.yaml": ("2:9", "no such file: zz.yaml", "correct the path"),
    "extend: a.yaml": ("2:9", "goes round in a circle", "extend nothing"),
    "extend: [a]": ("2:9", "`extend` must be text, not a list", "extend"),
}


@pytest.mark.parametrize("line", ONE_FAULT)
def test_one_fault(line: str) -> None:
    place, what, mend = ONE_FAULT[line]
    (found,) = faults(HEAD + line + "\n")
    first, why, last = found.splitlines()
    assert first.startswith(f"a.yaml:{place}: ")
    assert what in first
    assert why.startswith("  why:  ")
    assert mend in last


REPOSITORY = "repositories: [{uris: URI, suites: SUITE, components: PART, signed-by: KEY}]\n"
GOOD = {"URI": "https://x.example/debian", "SUITE": "trixie", "PART": "main", "KEY": "key.asc"}


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("URI", "x.example", "'x.example' is no archive"),
        ("URI", "'http://['", "is no archive"),
        ("URI", "[]", "`repositories[0].uris` is empty"),
        ("SUITE", "../x", "'../x' is no suite"),
        ("SUITE", "'a b'", "'a b' is no suite"),
        ("SUITE", "./", "'./' is a flat repository"),
        ("PART", "../x", "'../x' is no component"),
        ("KEY", "no.asc", "no such file"),
        ("KEY", "text.asc", "`signed-by` holds no OpenPGP certificate"),
        ("KEY", "private.asc", "`signed-by` holds a private key"),
        ("KEY", "large.asc", "is too large"),
    ],
)
def test_faults_of_repositories(key: str, value: str, what: str) -> None:
    write("key.asc", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
    write("text.asc", "hello")
    write("private.asc", "-----BEGIN PGP PRIVATE KEY BLOCK-----\n")
    write("large.asc", "x" * ((1 << 20) + 1))
    text = REPOSITORY
    for name, good in (GOOD | {key: value}).items():
        text = text.replace(name, good)
    (found,) = faults(HEAD + text)
    assert what in found


def test_a_binary_key_is_fine() -> None:
    Path("key.gpg").write_bytes(b"\x99\x01\x0d")
    text = REPOSITORY
    for name, good in (GOOD | {"KEY": "key.gpg"}).items():
        text = text.replace(name, good)
    assert spec(HEAD + text).repositories[0].key == b"\x99\x01\x0d"


def test_an_index_on_this_machine_may_use_http() -> None:
    python = spec(HEAD + "python: {indexes: 'http://127.0.0.1:3141/simple'}").python
    assert python is not None
    assert python.indexes == ("http://127.0.0.1:3141/simple",)


def test_passwords_of_urls_stay_out_of_messages() -> None:
    (found,) = faults(HEAD + "python: {indexes: 'http://me:secret@x.example/simple'}")
    assert "secret" not in found
    (found,) = faults(HEAD + "python: {indexes: 'ftp://me:secret@x.example/simple'}")
    assert "secret" not in found


def test_faults_of_certificates() -> None:
    public, private = certificate()
    Path("both.pem").write_bytes(public + private)
    Path("text.pem").write_text("hello")
    found = faults(HEAD + "certificates: [both.pem, text.pem]")
    assert "a.yaml:2:16: both.pem holds a private key" in found[0]
    assert "a.yaml:2:26: text.pem holds no certificate" in found[1]


def test_faults_of_constraint_files_say_their_own_line() -> None:
    write("limits.txt", "numpy<3\n==\n")
    (found,) = faults(HEAD + "python: {constraints: limits.txt}")
    assert found.startswith(f"{Path.cwd()}/limits.txt:2:1: '==' is no constraint")


def test_rules_are_known_by_name() -> None:
    known = ("no-shell", "no-setuid")
    (found,) = faults(HEAD + "rules: {no-shel: false}", known_rules=known)
    assert found.startswith("a.yaml:2:9: unknown rule `no-shel`")
    assert "did you mean `no-shell`?" in found
    (found,) = faults(HEAD + "rules: {qqq: false}", known_rules=known)
    assert "remove it" in found


def test_root_is_fine_where_asked_for() -> None:
    assert spec(HEAD + "profile: training\nuser: root").user == "root"
    assert spec(HEAD + "user: root\nrules: {non-root: false}").user == "root"


def test_a_foundation_is_needed() -> None:
    (found,) = faults("name: x\n")
    assert found.startswith("a.yaml:1:1: `foundation` is missing")
    assert "foundation: debian:13" in found


@pytest.mark.parametrize(
    ("value", "what", "mend"),
    [
        ("debian", "unknown foundation 'debian'", "debian:13"),
        ("debian:trixie", "unknown foundation 'debian:trixie'", "debian:13"),
        ("debain:13", "unknown foundation 'debain:13'", "debian:13"),
        ("ubuntu:24.04", "foundation ubuntu:24.04 cannot be built yet", "debian:13"),
        ("Debian 13", "'Debian 13' is no foundation", "debian:13"),
    ],
)
def test_unknown_foundations(value: str, what: str, mend: str) -> None:
    (found,) = faults(f"foundation: {value}\n")
    assert found.startswith("a.yaml:1:13: ")
    assert what in found
    assert mend in found


def test_the_command_line_wins_and_takes_the_blame() -> None:
    write("a.yaml", HEAD + "python: {version: 3.11}\nplatforms: linux/amd64\n")
    found = load("a.yaml", foundation="debian:12", platforms=["linux/arm64"])
    assert str(found.foundation) == "debian:12"
    assert found.platforms == (Platform("linux", "arm64"),)
    assert load("a.yaml", foundation="debian:12", profile=Profile.TRAINING).profile is (
        Profile.TRAINING
    )
    (fault,) = faults(HEAD, foundation="debian:99")
    assert fault.startswith("command line: unknown foundation 'debian:99'")
    (fault,) = faults(HEAD, foundation="Debian")
    assert fault.startswith("command line: `foundation`: 'Debian' is no foundation")
    (fault,) = faults(HEAD, platforms=["linux/s390x"])
    assert fault.startswith("command line: `platforms[0]`: unknown platform")


def test_context_is_where_files_start(tmp_path: Path) -> None:
    write("src/app.py", "")
    write("a.yaml", HEAD + "files: [{from: app.py, to: /app.py}]")
    found = load("a.yaml", context=Path("src"))
    assert found.files[0].source == tmp_path / "src/app.py"


def test_no_such_spec() -> None:
    with pytest.raises(SpecError, match="no such spec: 'pyton'") as caught:
        load("pyton")
    assert caught.value.mend == "did you mean `python`?"
    with pytest.raises(SpecError, match="no such spec: 'zzz'"):
        load("zzz")
    with pytest.raises(SpecError, match=r"no such file: zzz\.yaml"):
        load("zzz.yaml")
    with pytest.raises(SpecError, match="not a file: "):
        load("/")


def test_a_spec_of_five_megabytes_is_refused() -> None:
    write("a.yaml", "#" * (5 << 20))
    with pytest.raises(SpecError, match=r"a\.yaml is too large"):
        load("a.yaml")


def test_a_spec_that_the_host_cannot_read_is_the_hosts_fault() -> None:
    with pytest.raises(HostError, match="cannot read x"):
        load("x" * 5000 + ".yaml")


def test_extending_a_file() -> None:
    write("base/key.txt", "numpy\n")
    write(
        "base/base.yaml",
        """\
        name: base-name
        summary: base
        foundation: debian:12
        packages: [libgomp1]
        python: {requirements: key.txt, version: 3.11}
        env: {A: 1, B: 2}
        entrypoint: [old]
        tests: [{run: [base]}]
        """,
    )
    found = spec(
        """\
        extend: base/base.yaml
        packages: [libnuma1]
        python: {requirements: [scipy]}
        env: {B: 3}
        entrypoint: [new]
        tests: [{run: [mine]}]
        certificates:
        """
    )
    assert found.name == "a"
    assert found.summary == ""
    assert str(found.foundation) == "debian:12"
    assert [each.text for each in found.packages] == ["libgomp1", "libnuma1"]
    assert [str(each.place) for each in found.packages] == ["base/base.yaml:4:12", "a.yaml:2:12"]
    assert found.python is not None
    assert found.python.requirements_files == (Path.cwd() / "base/key.txt",)
    assert [each.text for each in found.python.requirements] == ["scipy"]
    assert found.env == (("A", "1"), ("B", "3"))
    assert found.entrypoint == ("new",)
    assert [each.run for each in found.tests] == [("base",), ("mine",)]
    assert found.tests[0].place == Place("base/base.yaml", 8, 9)


def test_extending_the_catalogue() -> None:
    found = spec("extend: python\npackages: [libnuma1]\n")
    assert str(found.foundation) == "debian:13"
    assert found.packages[-1].text == "libnuma1"
    assert found.packages[0].place.file == "catalogue:base"
    assert found.place("python").file == "catalogue:python"


def test_faults_of_what_is_extended_say_its_place() -> None:
    write("base.yaml", "foundation: debian:13\nwrong: 1\n")
    (found,) = faults("extend: ./base.yaml\n")
    assert found.startswith("base.yaml:2:1: unknown key `wrong`")
    write("base.yaml", "- a")
    (found,) = faults("extend: ./base.yaml\n")
    assert found.startswith("base.yaml:1:1: a spec is a mapping")


def test_circles_of_extend() -> None:
    write("b.yaml", "extend: ./c.yaml\n")
    write("c.yaml", "extend: ./a.yaml\n")
    (found,) = faults("extend: ./b.yaml\n")
    assert found.startswith("c.yaml:1:9: `extend` goes round in a circle")
    assert "a.yaml → b.yaml → c.yaml → a.yaml" in found


def test_a_long_chain_is_refused() -> None:
    for number in range(40):
        write(f"s{number}.yaml", f"extend: ./s{number + 1}.yaml\n")
    with pytest.raises(FaultsError, match="a long chain of `extend`"):
        load("s0.yaml")


def test_the_catalogue_lists_itself() -> None:
    entries = catalogue()
    assert [each.name for each in entries] == sorted(each.name for each in entries)
    assert {"static", "base", "python", "onnxruntime", "pytorch"} <= {e.name for e in entries}
    assert all(each.summary for each in entries)
