"""What lets nodes and developers pull from a mirror without changing a line.

- ``registries.conf`` for podman, skopeo, buildah and CRI-O (containers-registries.conf(5));
- ``certs.d/HOST/hosts.toml`` for containerd (its docs/hosts.md);
- ``rewrites.yaml``: a ConfigMap with the map of repositories, for an admission webhook.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from staunch.model.mirror import Mirror, MirrorSource

__all__ = ["configs"]

_HEAD = "# Written by `staunch mirror`. Source first, then its mirror.\n"


def configs(wanted: Mirror, insecure: Collection[str] = ()) -> tuple[dict[str, bytes], list[str]]:
    """Files by path, and notes on what could not be said.

    Args:
        wanted: the mirror file.
        insecure: hosts that are spoken to without TLS.
    """
    sources = sorted(wanted.sources, key=lambda each: each.source)
    files = {"registries.conf": _registries_conf(sources, insecure), "rewrites.yaml": _map(sources)}
    notes = []
    for host in sorted({each.source.registry for each in sources}):
        mine = [each for each in sources if each.source.registry == host]
        prefixes = {_prefix(each) for each in mine}
        if len(prefixes) == 1 and (prefix := prefixes.pop()) is not None:
            files[f"certs.d/{host}/hosts.toml"] = _hosts_toml(mine[0], prefix, insecure)
        else:
            notes.append(
                f"containerd gets no mirror of {host}: it needs the same path before every "
                "repository, and `to:` gives them different ones"
            )
    return files, notes


def _registries_conf(sources: Sequence[MirrorSource], insecure: Collection[str]) -> bytes:
    parts = [_HEAD]
    for each in sources:
        parts += [
            "\n[[registry]]\n",
            f"prefix = {_text(each.source.name)}\n",
            f"location = {_text(each.source.name)}\n",
            "insecure = true\n" if each.source.registry in insecure else "",
            "\n[[registry.mirror]]\n",
            f"location = {_text(each.target.name)}\n",
            "insecure = true\n" if each.target.registry in insecure else "",
        ]
    return "".join(parts).encode()


def _hosts_toml(each: MirrorSource, prefix: str, insecure: Collection[str]) -> bytes:
    """With ``override_path`` the host's path stands for ``/v2``, so it can hold the prefix."""
    scheme = "http" if each.target.registry in insecure else "https"
    upstream = "http" if each.source.registry in insecure else "https"
    path = f"/v2/{prefix}".rstrip("/")
    lines = [
        _HEAD,
        f"server = {_text(f'{upstream}://{each.source.registry}')}\n\n",
        f"[host.{_text(f'{scheme}://{each.target.registry}{path}')}]\n",
        '  capabilities = ["pull", "resolve"]\n',
        "  override_path = true\n",
    ]
    return "".join(lines).encode()


def _prefix(each: MirrorSource) -> str | None:
    """What stands before the source's repository in the target's; None if something else does."""
    if each.target.repository == each.source.repository:
        return ""
    prefix, found, rest = each.target.repository.rpartition(f"/{each.source.repository}")
    return prefix if found and not rest else None


def _map(sources: Sequence[MirrorSource]) -> bytes:
    document = {
        "schema": "staunch.dev/rewrites/v1",
        "rewrites": [{"from": each.source.name, "to": each.target.name} for each in sources],
    }
    inner = json.dumps(document, indent=2)
    lines = [
        _HEAD,
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: staunch-rewrites\ndata:\n",
        "  rewrites.json: |\n",
        *(f"    {line}\n" for line in inner.splitlines()),
    ]
    return "".join(lines).encode()


def _text(value: str) -> str:
    """A TOML basic string; references hold nothing that TOML and JSON write in two ways."""
    return json.dumps(value)
