"""Scripts that are known whole, by the digest of their text: what they do, Staunch does itself.

Another text of the same script is followed command by command instead, and reported as
unreproduced where that fails: a changed script is never taken for the known one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """What is done instead; ``effect`` False when a fresh image needs nothing of it.

    ``digests`` are those of ``classify.normalised``.
    """

    digests: frozenset[str]
    why: str
    effect: bool = True


def _known(why: str, *digests: str, effect: bool = True) -> Known:
    return Known(frozenset(digests), why, effect)


KNOWN: dict[tuple[str, str], Known] = {
    ("ca-certificates", "postinst"): _known(
        "etc/ssl/certs with the bundle, its links and their hashes, and etc/ca-certificates.conf",
        "fdb457faa5b7e30c3bdd385ec994e2cea84ee14fd04ec7ef6be7f3ce964be0c1",  # debian:12, debian:13
    ),
    ("tzdata", "postinst"): _known(
        "etc/localtime (and, on debian:12, etc/timezone) for UTC, as when nobody is asked",
        "5dfd8c69d08b05a66cb5e9872a8e945d9f771cdae05bd356f79ea784d6412dc6",  # debian:12
        "bbd3106c50b9e2df9b4efa248dbcc6b1264bdd3355c6e42430d5bec43d543616",  # debian:13
    ),
    ("usrmerge", "preinst"): _known(
        "the tree has a merged /usr from the start",
        "f2e47575acd4c9721a3c40357123226063195f78bf1b6316fcf609a755e3f5a8",  # debian:12
        effect=False,
    ),
    ("usrmerge", "postinst"): _known(
        "the tree has a merged /usr from the start",
        "1827c40e201ddd4af6ee0446f3f5de08bedb3e0d44efaf681100ac7c80fe984f",  # debian:12
        effect=False,
    ),
}
