"""A Dockerfile as a spec: what can be carried over, and why the rest is not."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from staunch.formats.dockerfile import Instruction, expand

_PYPI = "https://pypi.python.org/simple"  # behind the indexes that a file adds
__all__ = ["Carried", "Imported", "NotCarried", "import_dockerfile"]

_DEBIAN = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_SECRET = re.compile(r"(://)[^/\s@]+@")
_SHELL = re.compile(r"[|<>`$()]|(?<!&)&(?!&)|^(?:if|for|while|case|until)\b|\{")
_BUILD_ONLY = re.compile(r"(?:PIP|UV|POETRY|CONDA|DEBIAN|APT)_|(?:PATH|LD_LIBRARY_PATH)$")
_TIDY = re.compile(
    r"(?:apt(?:-get)? (?:-\S+ )*(?:update|clean|autoremove|autoclean)|rm |set -|pip3? cache)"
)
_PIP_FLAGS = frozenset(
    [
        *("-U", "--upgrade", "-q", "--quiet", "-v", "--no-cache-dir", "--no-cache", "--system"),
        *("--user", "--no-compile", "--compile", "--no-input", "--prefer-binary"),
        *("--no-build-isolation", "--break-system-packages", "--disable-pip-version-check"),
    ]
)
_COMMAND = re.compile(r"""(?:[^'"&;\n]|'[^']*'|"(?:\\.|[^"\\])*"|(?<!&)&(?!&)|['"])+""")
_PLAIN = {
    "ARG": "a build argument; its default stands where it is used",
    "EXPOSE": "a hint only; ports are opened where the image is run",
    "VOLUME": "volumes are named where the image is run",
    "HEALTHCHECK": "OCI images have none; write a probe where the image is run, or a line of `tests`",
    "MAINTAINER": "deprecated; write a label",
    "ONBUILD": "Staunch's images have no triggers; extend the spec",
    "SHELL": "commands of the build are not run",
    "STOPSIGNAL": "specs have no such key",
}


@dataclass(frozen=True, slots=True)
class Carried:
    """A line, and the key of the spec that holds it."""

    line: int
    text: str
    to: str


@dataclass(frozen=True, slots=True)
class NotCarried:
    """A line, or a part of one, that the spec does not hold, and why."""

    line: int
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Imported:
    """The spec's text with what it holds and what it does not, each in the file's order."""

    text: str
    carried: tuple[Carried, ...]
    not_carried: tuple[NotCarried, ...]


@dataclass(slots=True)
class _Stage:
    name: str
    image: str
    start: Instruction
    steps: list[Instruction] = field(default_factory=list)


def import_dockerfile(steps: tuple[Instruction, ...], context: Path, name: str) -> Imported:
    """The spec of the last stage. Files are looked for in ``context``, where the spec is to lie."""
    work = _Work(context)
    stages = work.stages(steps)
    chain = [stages[-1]]
    while (below := work.stage(stages, chain[0].image)) and below not in chain:
        chain.insert(0, below)
    copied = {
        value
        for stage in chain
        for step in stage.steps
        for key, value in step.flags
        if key == "from"
    }
    for number, stage in enumerate(stages):
        if stage in chain:
            work.stage_in(stage, base=stage is chain[0])
        else:
            work.other_stage(stage, copied=bool(copied & {stage.name, str(number)}))
    return work.finish(name)


class _Work:
    def __init__(self, context: Path) -> None:
        self.context = context
        self.carried = list[Carried]()
        self.left = list[NotCarried]()
        self.arguments = dict[str, str]()
        self.variables = dict[str, str]()
        self.packages = dict[str, None]()
        self.requirements = dict[str, None]()
        self.indexes = dict[str, None]()
        self.files = list[dict[str, object]]()
        self.env, self.labels = dict[str, str](), dict[str, str]()
        self.copies = dict[str, str]()
        self.workdir, self.user = "/", ""
        self.entrypoint, self.cmd = list[str](), list[str]()
        self.foundation, self.reason, self.python = "debian:13", "", False

    def carry(self, line: int, text: str, to: str) -> None:
        self.carried.append(Carried(line, _SECRET.sub(r"\1***@", text), to))

    def leave(self, line: int, text: str, why: str) -> None:
        self.left.append(NotCarried(line, _SECRET.sub(r"\1***@", text), why))

    def stages(self, steps: tuple[Instruction, ...]) -> list[_Stage]:
        found = list[_Stage]()
        for step in steps:
            if step.name == "FROM":
                words = expand(step.text, self.arguments)[0].split()
                named = len(words) > 2 and words[1].lower() == "as"
                found.append(
                    _Stage(words[2].lower() if named else "", words[0] if words else "", step)
                )
            elif found:
                found[-1].steps.append(step)
            else:
                self.argument(step, self.arguments)
        return found

    def stage(self, stages: list[_Stage], name: str) -> _Stage | None:
        return next((each for each in stages if each.name and each.name == name.lower()), None)

    def argument(self, step: Instruction, into: dict[str, str]) -> None:
        for each in step.text.split():
            key, equals, value = each.partition("=")
            if equals:
                into[key] = expand(value.strip("\"'"), into)[0]
            elif key in self.arguments:
                into[key] = self.arguments[key]
        self.leave(step.line, str(step), _PLAIN["ARG"])

    def stage_in(self, stage: _Stage, *, base: bool) -> None:
        if base:
            self.base(stage)
        else:
            self.carry(stage.start.line, str(stage.start), "the stage it names")
        for step in stage.steps:
            self.step(step)

    def other_stage(self, stage: _Stage, *, copied: bool) -> None:
        """A stage that only builds: what it installs for Python counts if the image copies from it."""
        self.leave(stage.start.line, str(stage.start), "a stage that is not the image's own")
        outer, self.copies, self.variables = (self.copies, self.variables), {}, {}
        workdir, self.workdir, files = self.workdir, "/", len(self.files)
        for step in stage.steps:
            if copied and step.name == "RUN":
                self.run(step, packages=False)
            elif copied and step.name == "WORKDIR":
                self.workdir = posixpath.join(self.workdir, step.text)
                self.leave(step.line, str(step), "of a stage that only builds")
            elif step.name == "ARG":
                self.argument(step, self.variables)
            else:
                if copied and step.name == "COPY":
                    self.note_copy(step)
                self.leave(step.line, str(step), "of a stage that only builds")
        del self.files[files:]
        (self.copies, self.variables), self.workdir = outer, workdir

    def base(self, stage: _Stage) -> None:
        image = stage.image.lower().partition("@")[0]
        path, _, tag = image.rpartition(":") if ":" in image.rpartition("/")[2] else (image, "", "")
        last = path.rpartition("/")[2]
        self.python = last in ("python", "pytorch", "tensorflow") or "conda" in last or "uv" in last
        old = "bookworm" in tag or re.match(r"(?:3\.11\b|12\b|22\.04)", tag) or "ubuntu22" in tag
        self.foundation = "debian:12" if old else "debian:13"
        if last == "debian" and ("bullseye" in tag or tag.startswith("11")):
            why = "the nearest release that Staunch builds on"
        elif last == "debian":
            why = "the same distribution"
        elif last == "python":
            why = "the Debian release whose own Python is nearest"
        elif last in ("cuda", "pytorch"):
            why = "CUDA comes with the wheels, so only the system is needed"
            version = re.match(r"\d+\.\d+\.\d+", tag)
            if last == "pytorch" and version:
                self.requirements[f"torch=={version[0]}"] = None
        else:
            why = "another distribution: the nearest that Staunch builds on; names of packages may differ"
        self.reason = f"{_SECRET.sub(r'***@', stage.image)}: {why}"
        self.carry(stage.start.line, str(stage.start), f"foundation {self.foundation}: {why}")

    def step(self, step: Instruction) -> None:
        match step.name:
            case "ARG":
                self.argument(step, self.variables)
            case "RUN":
                self.run(step, packages=True)
            case "COPY" | "ADD":
                self.copy(step)
            case "ENV" | "LABEL":
                self.pairs(step)
            case "WORKDIR" | "USER" | "ENTRYPOINT" | "CMD":
                self.setting(step)
            case _:
                self.leave(step.line, str(step), _PLAIN[step.name])

    def value(self, step: Instruction, text: str) -> str | None:
        """The text with variables put in; None (and listed) where one has no value."""
        done, missing = expand(text, self.variables)
        if missing:
            self.leave(step.line, str(step), f"{', '.join(missing)} has no value in the file")
        return None if missing else done

    def pairs(self, step: Instruction) -> None:
        words = _split(step.text)
        if words and "=" not in words[0]:
            key, _, rest = step.text.partition(" ")
            words = [f"{key}={rest.strip()}"]
        if not words:
            self.leave(step.line, str(step), "its quotes do not close")
            return
        for each in words:
            key, equals, raw = each.partition("=")
            if step.name == "ENV" and _BUILD_ONLY.match(key):
                self.variables.setdefault(key, "")
                self.leave(step.line, each, "of the build, or set by Staunch itself")
            elif not equals or not re.fullmatch(r"[A-Za-z_][\w.\-/]*", key):
                self.leave(step.line, each, "no name and value")
            elif (value := self.value(step, raw)) is not None:
                (self.env if step.name == "ENV" else self.labels)[key] = value
                if step.name == "ENV":
                    self.variables[key] = value
                self.carry(step.line, each, step.name.lower() if step.name == "ENV" else "labels")

    def setting(self, step: Instruction) -> None:
        if step.name in ("ENTRYPOINT", "CMD"):
            self.program(step)
        elif (value := self.value(step, step.text)) is None:
            return
        elif step.name == "WORKDIR":
            self.workdir = posixpath.normpath(posixpath.join(self.workdir, value.strip("\"'")))
            self.carry(step.line, str(step), "workdir")
        elif re.fullmatch(r"[1-9]\d{0,8}(?::\d+)?", value):
            self.user = value.partition(":")[0]
            self.carry(step.line, str(step), "user")
        else:
            self.leave(step.line, str(step), "root, or a name without a number: the user is 65532")

    def program(self, step: Instruction) -> None:
        words, to = list(step.words or ()), step.name.lower()
        if step.words is None:
            if _SHELL.search(step.text) or re.search(r"&&|;", step.text):
                self.leave(step.line, str(step), "needs a shell, which an inference image lacks")
                return
            words, to = _split(step.text), f"{to}, without the shell of its shell form"
        if not words:
            self.leave(step.line, str(step), "names no program")
            return
        if words[0] == "python" and (step.name == "ENTRYPOINT" or not self.entrypoint):
            words[0], to = "python3", f"{to}; python is named python3"
        if step.name == "ENTRYPOINT":
            self.entrypoint = words
        else:
            self.cmd = words
        self.carry(step.line, str(step), to)

    def note_copy(self, step: Instruction) -> None:
        *sources, target = step.words or _split(step.text) or [""]
        if any(key == "from" for key, _ in step.flags):
            return
        for each in sources:
            self.copies[self.inside(target, each, len(sources))] = each

    def inside(self, target: str, source: str, count: int = 1) -> str:
        full = posixpath.join(self.workdir, target)
        folder = count > 1 or target.endswith(("/", ".")) or target in ("", ".")
        if folder and not (self.context / source.lstrip("/")).is_dir():
            full = posixpath.join(full, posixpath.basename(source))
        return posixpath.normpath(full)

    def copy(self, step: Instruction) -> None:
        flags = dict(step.flags)
        text = self.value(step, step.text)
        if text is None:
            return
        words = list(step.words or _split(text))
        if "from" in flags:
            why = "of another stage or image; what pip installs there is in `python.requirements`"
            self.leave(step.line, str(step), why)
        elif "parents" in flags or len(words) < 2:
            self.leave(step.line, str(step), "not a list of sources and a target")
        elif step.heredocs:
            self.written(step, words[-1])
        else:
            for source in words[:-1]:
                self.one_copy(step, flags, source, words[-1], len(words) - 1)

    def written(self, step: Instruction, target: str) -> None:
        for each in step.heredocs:
            path = target + each.name if target.endswith("/") else target
            full = posixpath.normpath(posixpath.join(self.workdir, path))
            self.files.append({"content": each.text, "to": full})
            self.carry(step.line, str(step), "files")

    def one_copy(
        self, step: Instruction, flags: dict[str, str], source: str, target: str, count: int
    ) -> None:
        shown = f"{step.name} {source} {target}"
        inner = posixpath.normpath("/" + source).lstrip("/") or "."
        if "://" in source or source.startswith("git@"):
            self.leave(step.line, shown, "from the network; keep it beside the spec")
        elif re.search(r"[*?\[]", source):
            self.leave(step.line, shown, "a pattern; name the files or their folder")
        elif step.name == "ADD" and re.search(r"\.(?:tar|tgz|tar\.\w+)$", source):
            self.leave(step.line, shown, "an archive, which ADD unpacks; unpack it beside the spec")
        elif not (self.context / inner).exists():
            self.leave(step.line, shown, "not in the folder of the Dockerfile")
        else:
            full = self.inside(target, inner, count)
            self.copies[full] = inner
            entry: dict[str, object] = {"from": inner, "to": full}
            owner, mode = flags.get("chown", ""), flags.get("chmod", "")
            if re.fullmatch(r"\d{1,9}(?::\d{1,9})?", owner):
                entry["owner"] = owner
            elif owner:
                self.leave(step.line, f"--chown={owner}", "a name without a number: owned by 0:0")
            if re.fullmatch(r"0?[0-7]{3}", mode):
                entry["mode"] = mode.rjust(4, "0")
            elif mode:
                self.leave(step.line, f"--chmod={mode}", "not three octal digits")
            if excluded := [value for key, value in step.flags if key == "exclude"]:
                entry["exclude"] = excluded
            for key, value in step.flags:
                if key not in ("chown", "chmod", "exclude"):
                    self.leave(step.line, f"--{key}={value}", "not a matter of what is copied")
            self.files.append(entry)
            self.carry(step.line, shown, "files")

    def run(self, step: Instruction, *, packages: bool) -> None:
        for key, value in step.flags:
            bound = dict(part.partition("=")[::2] for part in value.split(","))
            if key == "mount" and bound.get("type", "bind") == "bind" and "from" not in bound:
                target = bound.get("target", bound.get("dst", ""))
                source = bound.get("source", bound.get("src", target))
                self.copies[posixpath.normpath(posixpath.join(self.workdir, target))] = source
        text = shlex.join(step.words) if step.words else step.text
        if step.heredocs:
            if not re.fullmatch(r"<<-?\S+", text.strip()):
                self.leave(step.line, str(step), "a script; commands of the build are not run")
                return
            text = step.heredocs[0].text.replace("\\\n", " ")
        if re.search(r"(?:^|[;&]\s*)(?:if|for|while|case|until)\b|<<|\|\|", text):
            self.leave(step.line, text.strip(), "a script; commands of the build are not run")
            return
        if re.search(r"(?:^|[;&\n]\s*)cd\s", text) and re.search(r"-r|\bsync|\binstall \.", text):
            self.leave(step.line, text.strip(), "changes the folder that its files are named from")
            return
        for command in _COMMAND.findall(text):
            if command.strip():
                self.command(step.line, " ".join(command.split()), packages=packages)

    def command(self, line: int, text: str, *, packages: bool) -> None:
        done, missing = expand(text, self.variables)
        words = _split(done)
        if _TIDY.match(text):
            self.leave(line, text, "tidies up, which no image of Staunch needs")
        elif missing or not words or _SHELL.search(re.sub(r"(['\"]).*?\1", "", done)):
            self.leave(line, text, "needs a shell or a value; commands of the build are not run")
        elif words[0] in ("apt-get", "apt") and "install" in words:
            self.apt(line, text, words, wanted=packages)
        elif (rest := _pip(words)) is not None:
            self.pip(line, text, rest)
        elif words[:2] in (["uv", "sync"], ["poetry", "install"]):
            self.project(line, text, "pyproject.toml")
        elif words[0] in ("conda", "mamba", "micromamba"):
            why = "of conda, whose packages Staunch does not take; look for the wheel of that name"
            self.leave(line, text, why)
        else:
            self.leave(line, text, "commands of the build are not run")

    def apt(self, line: int, text: str, words: list[str], *, wanted: bool) -> None:
        if not wanted:
            self.leave(line, text, "of a stage that only builds")
            return
        if any(
            each.startswith(("-t", "-c", "-o", "--target-release", "--option")) for each in words
        ):
            self.leave(line, text, "an option of apt that changes what is chosen")
            return
        for each in words[words.index("install") + 1 :]:
            name, _, version = each.partition("=")
            if each.startswith("-"):
                continue
            if not _DEBIAN.fullmatch(name):
                self.leave(line, each, "no name of a package")
                continue
            self.packages[name] = None
            self.carry(line, each, "packages")
            if version:
                self.leave(line, each, "its version; the lock will pin one")
        if not any(each.line == line for each in self.carried):
            self.leave(line, text, "names no package")

    def pip(self, line: int, text: str, words: list[str]) -> None:
        before, rest = len(self.carried) + len(self.left), iter(words)
        for each in rest:
            key, equals, inline = each.partition("=")
            if key in ("-r", "--requirement"):
                self.listed(line, text, inline if equals else next(rest, ""))
            elif key in ("-i", "--index-url", "--extra-index-url"):
                self.index(line, inline if equals else next(rest, ""))
            elif key in ("-e", "--editable") or each in (".", "./"):
                self.project(line, text, "pyproject.toml")
            elif key in ("-c", "--constraint", "-f", "--find-links", "--target", "--prefix", "-t"):
                self.leave(line, f"{key} {inline or next(rest, '')}", "an option of pip's")
            elif key in ("--python", "--python-version", "--timeout", "--retries"):
                _ = equals or next(rest, "")
            elif not each.startswith("-"):
                self.requirement(line, each)
            elif each not in _PIP_FLAGS:
                # It may take the next word, which must not count as a requirement then.
                self.leave(line, " ".join([each, *rest]), "an option of pip's, and what follows it")
        if len(self.carried) + len(self.left) == before:
            self.leave(line, text, "names no requirement")

    def requirement(self, line: int, text: str) -> None:
        try:
            asked = Requirement(text)
        except InvalidRequirement:
            self.leave(line, text, "no requirement by name; make a wheel, see `find-links`")
            return
        if asked.url:
            self.leave(line, text, "from an address; make a wheel, see `find-links`")
        elif asked.name.lower() in ("pip", "setuptools", "wheel", "uv", "poetry", "pipenv"):
            self.leave(line, text, "a tool of the build")
        else:
            self.requirements[text] = None
            self.carry(line, text, "python.requirements")

    def index(self, line: int, url: str) -> None:
        if not re.fullmatch(r"https?://[^\s@]+", url):
            self.leave(line, url, "no address, or one with a password: write it to netrc")
        else:
            self.indexes[url] = None
            self.carry(line, url, "python.indexes")

    def listed(self, line: int, text: str, path: str) -> None:
        full = posixpath.normpath(posixpath.join(self.workdir, path))
        found = self.copies.get(full)
        for target, source in self.copies.items():
            if found is None and full.startswith(target.rstrip("/") + "/"):
                found = posixpath.join(source, full[len(target.rstrip("/")) + 1 :])
        found = posixpath.normpath("/" + (found or "")).lstrip("/")
        if found.endswith(".txt") and (self.context / found).is_file():
            self.requirements[found] = None
            self.carry(line, text, f"python.requirements: {found}")
        else:
            self.leave(
                line, f"-r {path}", "no .txt of that name comes from the Dockerfile's folder"
            )

    def project(self, line: int, text: str, name: str) -> None:
        path = self.context / name
        if path.is_file() and path.stat().st_size < 1 << 20 and b"[project]" in path.read_bytes():
            self.requirements[name] = None
            self.carry(line, text, f"python.requirements: {name}")
            self.leave(line, text, "the project itself; copy it with `files`, or make a wheel")
        else:
            self.leave(line, text, "no pyproject.toml with a `[project]` is beside the Dockerfile")

    def finish(self, name: str) -> Imported:
        if not self.entrypoint and self.cmd:
            self.entrypoint, self.cmd = self.cmd, []
        program = self.entrypoint[0] if self.entrypoint else ""
        python = self.python or bool(self.requirements) or program == "python3"
        top: dict[str, object] = {"name": name, "extend": "python" if python else "base"}
        inner: dict[str, object] = {"requirements": list(self.requirements)}
        if self.indexes:
            inner["indexes"] = list(dict.fromkeys([*self.indexes, _PYPI]))
        rest: dict[str, object] = {
            "packages": list(self.packages),
            "python": inner if self.requirements else None,
            "files": self.files,
            "env": self.env,
            "user": self.user,
            "workdir": self.workdir if self.workdir != "/" else "",
            "entrypoint": self.entrypoint,
            "cmd": self.cmd,
            "labels": self.labels,
        }
        lines = ["# Written by `staunch init --from-dockerfile`. Read it, then `staunch lock`."]
        lines += [f"{key}: {_yaml(value)}" for key, value in top.items()]
        lines += ["", f"# {self.reason}", f"foundation: {self.foundation}", ""]
        for key, value in rest.items():
            if isinstance(value, dict) and value:
                lines += [f"{key}:", *(f"  {_yaml(k)}: {_yaml(v)}" for k, v in value.items())]
            elif isinstance(value, list) and value and isinstance(value[0], dict):
                lines += [f"{key}:", *(f"  - {_yaml(each)}" for each in value)]
            elif value:
                lines.append(f"{key}: {_yaml(value)}")
        left = sorted(self.left, key=lambda each: each.line)
        lines += ["", "# Not carried over:"] if left else []
        lines += [f"#   {n.line}: {' '.join(n.text.split())[:200]} ({n.why})" for n in left]
        carried = sorted(self.carried, key=lambda each: each.line)
        return Imported("\n".join(lines) + "\n", tuple(carried), tuple(left))


def _yaml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return []


def _pip(words: list[str]) -> list[str] | None:
    """What follows ``pip install``, in the ways it is called; None for other commands."""
    rest = words[1:] if words[0] == "uv" else words
    if rest[:2] in (["python", "-m"], ["python3", "-m"]):
        rest = rest[2:]
    called = bool(rest) and posixpath.basename(rest[0]) in ("pip", "pip3")
    return rest[2:] if called and rest[1:2] == ["install"] else None
