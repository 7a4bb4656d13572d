"""Rust crates: the order of versions, which is that of semver.org 2.0.0."""

from __future__ import annotations

from staunch.ecosystems import npm
from staunch.ecosystems.contract import Ecosystem

ECOSYSTEM = Ecosystem(purl_type="cargo", order=npm.order)
