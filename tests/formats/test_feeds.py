"""The readers of feeds: real files, broken records, hostile bytes."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch.errors import UntrustedError
from staunch.formats import exploited, feed_json, lifecycle, osv, secdb, ubuntu_vex
from staunch.formats.debian_tracker import read_list, read_tracker
from staunch.model.advisory import (
    Advisory,
    Affected,
    Broken,
    EpssScore,
    Event,
    KevEntry,
    Lifecycle,
    Reading,
    Support,
)
from staunch.model.finding import Kev, Level, State
from tests.support.advisories import DATA, affects
from tests.support.advisories import osv as record
from tests.support.memory_store import MemoryBlob


def pieces(data: bytes, size: int = 7) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def zipped(files: dict[str, bytes]) -> MemoryBlob:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return MemoryBlob(buffer.getvalue())


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(UntrustedError) as caught:
        found = call()
        if isinstance(found, Reading):
            list(found.items)
    assert caught.value.mend
    return caught.value.why


class TestJson:
    """formats.feed_json."""

    @given(
        st.dictionaries(
            st.text(max_size=5),
            st.recursive(
                st.none() | st.integers(-(10**30), 10**30) | st.text(max_size=5),
                lambda each: st.lists(each, max_size=3),
                max_leaves=5,
            ),
            max_size=6,
        ),
        st.integers(1, 20),
    )
    def test_pieces_of_any_size_give_the_whole(self, document: dict[str, Any], size: int) -> None:
        data = json.dumps(document, indent=1).encode()
        assert dict(feed_json.entries(pieces(data, size), what="x")) == document

    @given(st.binary(max_size=60) | st.text('{}[]":,0e-\\ua', max_size=40).map(str.encode))
    def test_anything_is_read_or_refused(self, data: bytes) -> None:
        try:
            found = dict(feed_json.entries(pieces(data), what="x"))
        except UntrustedError as error:
            assert error.why
        else:
            assert found == json.loads(data)

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (b'{"a": {"b": 1}', "it is cut off"),
            (b'{"a": [1, 2', "it is cut off, or no JSON"),
            (b'{"a": 1}x', "more follows its end"),
            (b"[1]", "'{' was wanted, found '['"),
            (b"{1: 2}", "a name was wanted, found '1'"),
            (b'{"a": "\xff"}', "it is not valid UTF-8"),
            (b'{"a": ' + b"[" * 200_000, "it is nested too deep"),
            (b'{"a": ' + b"9" * 5000 + b"}", "a number of 5000 digits"),
            (b'{"a": NaN}', "NaN is no JSON number"),
            (b"", "it is cut off"),
        ],
    )
    def test_what_is_damaged(self, data: bytes, why: str) -> None:
        assert refused(lambda: list(feed_json.entries(pieces(data, 1 << 16), what="x"))).startswith(
            why
        )

    def test_limits(self) -> None:
        data = b'{"a": "' + b"x" * 5_000_000 + b'"}'
        big = lambda **more: list(feed_json.entries(pieces(data, 1 << 16), what="x", **more))  # noqa: E731
        assert "a value is over" in refused(lambda: big(max_value_bytes=1000))
        assert refused(lambda: big(max_bytes=1000)) == "it is over the limit of bytes"
        assert len(big()) == 1

    def test_whole_documents(self) -> None:
        assert "it has 3 bytes" in refused(lambda: feed_json.parse(b"[1]", what="x", max_bytes=2))
        assert refused(lambda: feed_json.parse(b"[" * 200_000, what="x")) == "it is nested too deep"
        assert "it is no JSON" in refused(lambda: feed_json.parse(b"\xff", what="x"))


class TestOsv:
    """formats.osv."""

    def test_the_real_archive(self) -> None:
        blob = MemoryBlob((DATA / "pypi-osv" / "all.zip").read_bytes())
        found = list(osv.read_zip(blob).items)
        assert len(found) == 1316
        assert all(isinstance(each, Advisory) for each in found)
        assert sum(bool(each.withdrawn) for each in found if isinstance(each, Advisory)) == 2

    def test_broken_records_are_counted_and_the_others_read(self) -> None:
        files = {
            "A-1.json": record("A-1", affects("x", "introduced 0")),
            "A-2.json": b"{",
            "A-3.json": b'{"id": ""}',
            "A-4.json": b"[" * 100_000,
            "A-5.json": record("A-5", affects("x", "introduced 0", "mended 1")),
            "A-6.json": json.dumps({"id": "A-6", "affected": {}}).encode(),
            "A-7.json": record("A-7", {"package": {"ecosystem": "PyPI", "name": "x"}, "ranges": [{"type": "SEMVER", "events": []}]}),
            "README.md": b"not a record",
        }  # fmt: skip
        found = list(osv.read_zip(zipped(files)).items)
        assert [each.id for each in found if isinstance(each, Advisory)] == ["A-1"]
        assert {each.where: each.why for each in found if isinstance(each, Broken)} == {
            "A-2.json": "it is no JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
            "A-3.json": "it has no id",
            "A-4.json": "it is nested too deep",
            "A-5.json": "an event mended: '1'",
            "A-6.json": "its `affected` is no list",
            "A-7.json": "a range without events",
        }

    def test_an_archive_without_records(self) -> None:
        assert refused(lambda: osv.read_zip(zipped({"x": b""}))) == "it holds no .json record"

    def test_a_tar_of_records(self) -> None:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name in ("osv/A-1.json", "osv/x.txt", "osv/A-2.json"):
                data = record("A-1") if "A-1" in name else b"{"
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        found = list(osv.read_tar_records(pieces(buffer.getvalue(), 1000)).items)
        assert [type(each) for each in found] == [Advisory, Broken]
        cut = buffer.getvalue()[:1100]
        assert refused(lambda: list(osv.read_tar_records(pieces(cut)).items))

    @pytest.mark.parametrize(
        ("ecosystem", "namespace", "cpe"),
        [
            ("PyPI", "pypi", ""),
            ("Go", "golang", ""),
            ("crates.io", "cargo", ""),
            ("Maven", "maven", ""),
            ("Maven:https://repo.example.org", "maven", ""),
            ("Debian:12", "debian:12", ""),
            ("Ubuntu:22.04:LTS", "ubuntu:22.04", ""),
            ("Ubuntu:Pro:18.04:LTS", "ubuntu:pro:18.04", ""),
            ("Ubuntu:Pro:FIPS-updates:22.04:LTS", "ubuntu:pro:fips-updates:22.04", ""),
            ("Alpine:v3.19", "alpine:3.19", ""),
            ("Wolfi", "wolfi", ""),
            ("Rocky Linux:9", "rocky:9", ""),
            (
                "Red Hat:enterprise_linux:9::appstream",
                "redhat",
                "cpe:/a:redhat:enterprise_linux:9::appstream",
            ),
        ],
    )
    def test_ecosystems(self, ecosystem: str, namespace: str, cpe: str) -> None:
        assert osv.namespace_of(ecosystem) == (namespace, cpe)

    def test_a_vendors_own_name_of_a_cve_is_an_alias(self) -> None:
        (found,) = osv.parse_record(
            record("UBUNTU-CVE-2026-0001", upstream=["CVE-2026-0001"]), where="x"
        )
        assert isinstance(found, Advisory)
        assert found.aliases == ("CVE-2026-0001",)
        (bundle,) = osv.parse_record(
            record("USN-1-1", upstream=["UBUNTU-CVE-2026-0001"]), where="x"
        )
        assert isinstance(bundle, Advisory)
        assert (bundle.bundle, bundle.upstream, bundle.aliases) == (True, ("CVE-2026-0001",), ())

    def test_severity_words(self) -> None:
        word = record("GHSA-aaaa-bbbb-cccc", database_specific={"severity": "MODERATE"})
        (found,) = osv.parse_record(word, where="x")
        assert isinstance(found, Advisory)
        assert found.level is Level.MEDIUM

    @settings(max_examples=60)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda each: (
                st.lists(each, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "package",
                            "ranges",
                            "events",
                            "type",
                            "versions",
                            "name",
                            "ecosystem",
                            "fixed",
                        ]
                    ),
                    each,
                    max_size=4,
                )
            ),
            max_leaves=12,
        ),
        st.sampled_from(
            ["affected", "aliases", "severity", "references", "withdrawn", "details", "id"]
        ),
    )
    def test_any_shape_is_read_or_refused(self, value: Any, key: str) -> None:
        document = json.loads(record("A-1", affects("x", "introduced 0")))
        document[key] = value
        try:
            for each in osv.parse_record(json.dumps(document).encode(), where="x"):
                assert isinstance(each, Advisory)
        except UntrustedError as error:
            assert error.why


class TestSecdb:
    """formats.secdb."""

    def test_every_real_file_is_read_whole(self) -> None:
        records = 0
        for path in sorted((DATA / "alpine-secdb").glob("v*/*.json")):
            reading = secdb.read_secdb(path.read_bytes(), what=path.name)
            assert reading.feed.covers == (f"alpine:{path.parent.name[1:]}",)
            found = list(reading.items)
            assert not any(isinstance(each, Broken) for each in found), found
            records += len(found)
        assert records > 10_000

    def test_ids_that_are_none_are_broken(self) -> None:
        document = {
            "distroversion": "v3.20",
            "reponame": "main",
            "packages": [
                {"pkg": {"name": "x", "secfixes": {"1-r0": ["fixed something"]}}},
                {"pkg": {}},
            ],
        }
        found = list(secdb.read_secdb(json.dumps(document).encode()).items)
        assert found == [
            Broken("x 1-r0", "no id is known in ['fixed something']"),
            Broken("packages[]", "it has no name, or no `secfixes`"),
        ]

    def test_what_is_none(self) -> None:
        assert refused(lambda: secdb.read_secdb(b"{}")) == "it has no list `packages`"
        assert "neither an Alpine release" in refused(lambda: secdb.read_secdb(b'{"packages": []}'))

    def test_rejections(self) -> None:
        found = list(secdb.read_rejections(b"---\nbusybox:\n  - CVE-2021-1\nx: y\n").items)
        assert found == [Broken("line 3", "  - CVE-2021-1"), Broken("line 4", "x: y")]
        assert refused(lambda: secdb.read_rejections(b"")) == "it names no package"


class TestTracker:
    """formats.debian_tracker."""

    @pytest.mark.parametrize("name", ["vunnel", "vulnerablecode"])
    def test_real_samples(self, name: str) -> None:
        data = (DATA / "debian" / f"tracker-sample-{name}.json").read_bytes()
        assert (
            sum(isinstance(each, Advisory) for each in read_tracker(pieces(data, 100)).items) >= 6
        )

    def test_cut_in_half(self) -> None:
        data = (DATA / "debian" / "tracker-sample-vunnel.json").read_bytes()
        assert "cut off" in refused(lambda: read_tracker(pieces(data[: len(data) // 2], 1000)))

    def test_what_is_none(self) -> None:
        assert refused(lambda: read_tracker([b"{}"])) == "it names no source package"
        assert list(read_tracker([b'{"x": 1}']).items) == [
            Broken("x", "no object of vulnerabilities")
        ]
        assert "no notice of the form" in refused(lambda: read_list(b"hello\n"))

    def test_real_lists(self) -> None:
        for name, count in (("DSA", 4996), ("DLA", 3534)):
            reading = read_list((DATA / "debian" / f"{name}.list").read_bytes())
            found = list(reading.items)
            assert reading.feed.name == f"debian-{name.lower()}"
            assert (len(found), any(isinstance(each, Broken) for each in found)) == (count, False)


class TestExploited:
    """formats.exploited."""

    def test_the_real_catalogue(self) -> None:
        reading = exploited.read_kev(
            (DATA / "kev" / "known_exploited_vulnerabilities.json").read_bytes()
        )
        found = list(reading.items)
        assert len(found) == 1404
        assert found[0] == KevEntry(
            "CVE-2025-48384", Kev("2025-08-25", "2025-09-15"), "Git Link Following Vulnerability"
        )
        assert sum(each.kev.ransomware for each in found if isinstance(each, KevEntry)) == 293

    def test_a_catalogue_that_is_none(self) -> None:
        assert refused(lambda: exploited.read_kev(b"{}")) == "it has no list `vulnerabilities`"
        short = b'{"count": 5, "vulnerabilities": [{"cveID": "x"}]}'
        assert refused(lambda: exploited.read_kev(short)) == "it says 5 entries and has 1"
        assert list(exploited.read_kev(short.replace(b"5", b"1")).items) == [
            Broken("vulnerabilities[0]", "no CVE and day: 'x' ''")
        ]

    @pytest.mark.parametrize(
        ("name", "model", "newest"),
        [
            ("real-format-sample-v2023", "v2023.03.01", "2025-02-20T00:00:00Z"),
            ("real-format-sample-v2025", "v2025.03.14", "2025-12-26T12:55:00Z"),
            ("epss_kev_subset", "", ""),
        ],
    )
    def test_real_scores_with_and_without_their_comment(
        self, name: str, model: str, newest: str
    ) -> None:
        reading = exploited.read_epss(pieces((DATA / "epss" / f"{name}.csv").read_bytes(), 50))
        assert (dict(reading.feed.facts).get("model", ""), reading.feed.newest) == (model, newest)
        found = list(reading.items)
        assert found
        assert not any(isinstance(each, Broken) for each in found)

    def test_scores_that_are_none(self) -> None:
        text = b"cve,epss,percentile\nCVE-2026-0001,7e-05,0.1\nCVE-2026-0002,1.5,0.1\nCVE-2026-0003,nan,0.1\nx,0.1,0.1\n"
        found = list(exploited.read_epss([text]).items)
        assert found[0] == EpssScore("CVE-2026-0001", 7e-05, 0.1)
        assert [type(each) for each in found[1:]] == [Broken] * 3
        assert "its columns are" in refused(lambda: exploited.read_epss([b"a,b\n"]))
        assert "a line is longer" in refused(lambda: exploited.read_epss([b"x" * 5000]))


class TestLifecycle:
    """formats.lifecycle."""

    def test_real_files(self) -> None:
        folder = DATA / "debian" / "lifecycle"
        releases = list(
            lifecycle.read_distro_info(
                (folder / "debian.csv").read_bytes(), distribution="debian"
            ).items
        )
        assert (
            Lifecycle("debian", "12", "bookworm", "2026-07-11", "2028-06-30", "2033-06-30")
            in releases
        )
        ubuntu = list(
            lifecycle.read_distro_info(
                (folder / "ubuntu.csv").read_bytes(), distribution="ubuntu"
            ).items
        )
        assert {each.version for each in ubuntu if isinstance(each, Lifecycle)} >= {
            "22.04",
            "24.04",
        }
        name = "security-support-ended.deb12"
        ended = list(lifecycle.read_support((folder / name).read_bytes(), name=name).items)
        assert (
            Support(
                "debian",
                "12",
                "pdns",
                "ended",
                "4.7.3-2",
                "2025-10-01",
                "No security support upstream and backports not feasible, only for use on private and trusted network",
            )
            in ended
        )
        assert len(ended) == 16

    def test_what_is_none(self) -> None:
        assert "neither debian nor ubuntu" in refused(
            lambda: lifecycle.read_distro_info(b"", distribution="x")
        )
        assert "its columns are" in refused(
            lambda: lifecycle.read_distro_info(b"a,b\n", distribution="debian")
        )
        assert "neither security-support" in refused(lambda: lifecycle.read_support(b"", name="x"))
        bad = b"version,codename,series,created,release,eol\n1,A,a,2000-01-01,2000-01-01,soon\n"
        assert [
            type(each) for each in lifecycle.read_distro_info(bad, distribution="debian").items
        ] == [Broken]
        name = "security-support-ended.deb12"
        assert [type(each) for each in lifecycle.read_support(b"x y\n", name=name).items] == [
            Broken
        ]


class TestUbuntuVex:
    """formats.ubuntu_vex."""

    def test_a_real_document(self) -> None:
        data = (DATA / "ubuntu" / "vex" / "CVE-2023-38545.json").read_bytes()
        (found,) = ubuntu_vex.read_documents([("x", data)]).items
        assert isinstance(found, Advisory)
        assert {each.state for each in found.affected} == {State.AFFECTED, State.NOT_AFFECTED}
        assert {each.namespace for each in found.affected} >= {"ubuntu:xenial", "ubuntu:pro:trusty"}
        assert all(each.package == "curl" for each in found.affected)

    def test_what_is_none(self) -> None:
        found = list(
            ubuntu_vex.read_documents(
                [("x", b"{}"), ("y", b'{"@context": "https://openvex.dev/ns", "statements": []}')]
            ).items
        )
        assert [each.why for each in found if isinstance(each, Broken)] == [
            "it is no OpenVEX document with statements",
            "its statements are not about one CVE",
        ]


def test_events_are_kept_as_written() -> None:
    (found,) = osv.parse_record(
        record("A-1", affects("Some_Name", "introduced 0", "fixed 2")), where="x"
    )
    assert isinstance(found, Advisory)
    assert found.affected == (
        Affected("pypi", "some-name", ranges=((Event("introduced", "0"), Event("fixed", "2")),)),
    )
