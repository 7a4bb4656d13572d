"""Small specs for builds in tests."""

from __future__ import annotations

from pathlib import Path


def python_spec(folder: Path, *, name: str = "small", foundation: str = "debian:13") -> Path:
    """A Python image with one pure wheel and an app of two files; quick to build."""
    app = folder / "app"
    app.mkdir(parents=True)
    (app / "serve.py").write_text("import idna\nprint(idna.encode('ドメイン').decode())\n")
    (app / "data.txt").write_text("data\n")
    spec = folder / f"{name}.yaml"
    spec.write_text(
        f"""\
name: {name}
foundation: {foundation}
packages: [ca-certificates, netbase]
python:
  requirements: [idna==3.10]
files: [{{from: ./app, to: /app}}]
entrypoint: [python3, /app/serve.py]
tests:
  - run: [python3, /app/serve.py]
    expect: xn--eckwd4c7c
"""
    )
    return spec


def base_spec(folder: Path, *, name: str = "tiny") -> Path:
    """Two packages and a file: the quickest image there is."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hello.txt").write_text("hello\n")
    spec = folder / f"{name}.yaml"
    spec.write_text(
        f"""\
name: {name}
foundation: debian:13
packages: [netbase, zlib1g]
files: [{{from: ./hello.txt, to: /hello.txt}}]
"""
    )
    return spec


def lock_of(spec: Path) -> Path:
    """Where the lock of a spec stands."""
    return spec.with_suffix(".lock")
