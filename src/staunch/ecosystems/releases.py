"""Releases of distributions as data: numbers and codenames, and when the support of each ends.

From distro-info-data 0.66 (ISC), alpinelinux.org/releases and access.redhat.com/support/policy. A
database with a newer ``lifecycle`` feed counts more than this table.
"""

from __future__ import annotations

from staunch.model.advisory import Lifecycle

# distribution: version, codename, end of everybody's support, of long-term support, of paid support
_TABLE = {
    "debian": (
        ("8", "jessie", "2018-06-17", "2020-06-30", "2025-06-30"),
        ("9", "stretch", "2020-07-18", "2022-06-30", "2027-06-30"),
        ("10", "buster", "2022-09-10", "2024-06-30", "2029-06-30"),
        ("11", "bullseye", "2024-08-14", "2026-08-31", "2031-06-30"),
        ("12", "bookworm", "2026-07-11", "2028-06-30", "2033-06-30"),
        ("13", "trixie", "2028-08-09", "2030-06-30", "2035-06-30"),
        ("14", "forky", "", "", ""),
        ("", "sid", "", "", ""),
    ),
    "ubuntu": (
        ("14.04", "trusty", "2019-04-25", "2024-04-25", ""),
        ("16.04", "xenial", "2021-04-30", "2026-04-23", ""),
        ("18.04", "bionic", "2023-05-31", "2028-04-25", ""),
        ("20.04", "focal", "2025-05-29", "2030-04-23", ""),
        ("22.04", "jammy", "2027-06-01", "2032-04-09", ""),
        ("24.04", "noble", "2029-05-31", "2034-04-25", ""),
    ),
    "alpine": tuple(
        (version, version, day, "", "")
        for version, day in (
            ("3.3", "2017-11-01"), ("3.4", "2018-05-01"), ("3.5", "2018-11-01"),
            ("3.6", "2019-05-01"), ("3.7", "2019-11-01"), ("3.8", "2020-05-01"),
            ("3.9", "2020-11-01"), ("3.10", "2021-05-01"), ("3.11", "2021-11-01"),
            ("3.12", "2022-05-01"), ("3.13", "2022-11-01"), ("3.14", "2023-05-01"),
            ("3.15", "2023-11-01"), ("3.16", "2024-05-23"), ("3.17", "2024-11-22"),
            ("3.18", "2025-05-09"), ("3.19", "2025-11-01"), ("3.20", "2026-04-01"),
            ("3.21", "2026-11-01"), ("3.22", "2027-05-01"), ("edge", ""),
        )
    ),
    "rhel": (
        ("6", "6", "2020-11-30", "", "2024-06-30"),
        ("7", "7", "2024-06-30", "", "2028-06-30"),
        ("8", "8", "2029-05-31", "", ""),
        ("9", "9", "2032-05-31", "", ""),
        ("10", "10", "2035-05-31", "", ""),
    ),
    "wolfi": (("", "wolfi", "", "", ""),),
    "chainguard": (("", "chainguard", "", "", ""),),
}  # fmt: skip


def lifecycles(distribution: str) -> tuple[Lifecycle, ...]:
    """Its releases, oldest first; none for one that is not in the table."""
    return tuple(Lifecycle(distribution, *row) for row in _TABLE.get(distribution, ()))


def release_of(distribution: str, version: str, codename: str) -> Lifecycle | None:
    """The release of an ``os-release``: by its codename, else by its version's leading numbers."""
    rows = lifecycles(distribution)
    if distribution in ("wolfi", "chainguard"):
        return rows[0]
    for row in rows:
        if codename and row.codename == codename:
            return row
    return next(
        (row for row in rows if row.version and row.version == leading(distribution, version)), None
    )


def leading(distribution: str, version: str) -> str:
    """The part of VERSION_ID that names a release: ``12`` of ``12.5``, ``3.16`` of ``3.16.2``."""
    if distribution == "alpine":
        if "_alpha" in version or version == "edge":
            return "edge"
        return ".".join(version.split(".")[:2])
    if distribution == "ubuntu":
        return ".".join(version.split(".")[:2])
    return version.partition(".")[0]
