"""An image as text that a person can read and a diff can show (STYLE.md §9)."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

from staunch.publish.read import open_image


def list_tar(chunks: Iterable[bytes]) -> list[str]:
    """``000644 0:0 0 etc/os-release 9f86d081``: mode, owner, size, path, digest or target."""
    lines = []
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        for member in tar:
            size, what = member.size, ""
            if member.isfile():
                content = tar.extractfile(member)
                assert content is not None
                what = hashlib.sha256(content.read()).hexdigest()[:8]
            elif member.issym():
                what = f"-> {member.linkname}"
            elif member.islnk():
                what, size = f"== {member.linkname}", 0
            path = member.name + "/" * member.isdir()
            kind = {tarfile.SYMTYPE: 0o12, tarfile.DIRTYPE: 0o04}.get(member.type, 0)
            mode = f"{kind:02o}{member.mode:04o}"
            lines.append(f"{mode} {member.uid}:{member.gid} {size} {path} {what}".rstrip())
    return lines


def list_image(path: Path) -> str:
    """Every platform's layers, one line per entry, with a heading for each."""
    lines = []
    with open_image(path) as source:
        for image in source.images:
            for number, layer in enumerate(image.raw_layers()):
                lines.append(f"# {image.platform} layer {number}")
                lines.extend(list_tar(layer))
    return "\n".join(lines) + "\n"
