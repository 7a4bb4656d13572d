"""Files of small images, as Debian's and Python's tools write them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from staunch.flows.inventory import take_inventory
from staunch.model.inventory import FoundPackage, Inventory
from tests.support.layouts import tar_of, write_layout

OS_RELEASE = b'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n'
SITE = "usr/lib/python3/dist-packages"
METADATA = (
    b"Metadata-Version: 2.1\nName: Zope.Interface\nVersion: 5.4\nLicense: ZPL\n\nVersion: 9\n"
)
OPENSSL = b"""\
Package: libssl3
Status: install ok installed
Maintainer: Debian OpenSSL Team <pkg-openssl-devel@alioth-lists.debian.net>
Architecture: amd64
Source: openssl (3.0.1-2)
Version: 3.0.1-2+b1
"""


def inventory_of(folder: Path, *layers: Mapping[str, bytes | str | None]) -> Inventory:
    """The inventory of an image with these layers."""
    return take_inventory(str(write_layout(folder / "image", [tar_of(each) for each in layers])))


def only(inventory: Inventory) -> FoundPackage:
    """Its only package."""
    (package,) = inventory.packages
    return package


def names(inventory: Inventory) -> list[tuple[str, str]]:
    """Names and versions, sorted by purl."""
    return [(each.name, each.version) for each in inventory.packages]
