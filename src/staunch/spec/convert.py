"""From the models to ``ImageSpec``: files are read, paths made absolute, keys compared."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from staunch.ecosystems import foundations
from staunch.ecosystems.jit import NONE, Jit, jit
from staunch.errors import SpecError
from staunch.model import limits
from staunch.model.platform import Platform
from staunch.model.spec import Accelerator as AcceleratorSpec
from staunch.model.spec import (
    Bytecode,
    FilesSpec,
    Foundation,
    ImageSpec,
    Place,
    Profile,
    PythonSpec,
    RepositorySpec,
    Request,
    TestSpec,
)
from staunch.spec.document import Items, Mapping, Node, Scalar
from staunch.spec.faults import FaultError, nearest
from staunch.spec.models import Accelerator, Python, Repository, Spec, is_requirements_file
from staunch.spec.sources import Joined, key_place, node_at, place_of, read_limited

__all__ = ["to_image"]


def to_image(
    model: Spec,
    joined: Joined,
    *,
    context: Path | None,
    known_rules: Collection[str] | None,
    foundation_place: Place,
) -> tuple[ImageSpec, list[FaultError]]:
    """The spec, and the faults that only files or several keys together show.

    The first is meant for use only where there are none of the second (nor any before).
    """
    work = _Conversion(joined, context)
    foundation = work.foundation(model.foundation, foundation_place)
    platforms = tuple(Platform.parse(each) for each in dict.fromkeys(model.platforms))
    added = work.jit(model.accelerator, foundation, platforms)
    image = ImageSpec(
        name=model.name or work.stem(),
        foundation=foundation,
        profile=Profile(model.profile),
        platforms=platforms,
        source=joined.path.resolve() if joined.path else None,
        base_dir=(context or joined.folder).resolve(),
        summary=model.summary,
        packages=(*work.requests(model.packages, "packages"), *work.requested(added)),
        recommends=model.recommends,
        repositories=tuple(
            work.repository(number, each) for number, each in enumerate(model.repositories)
        ),
        snapshot=model.snapshot,
        certificates=tuple(
            work.certificate(number, each) for number, each in enumerate(model.certificates)
        ),
        python=work.python(model.python, foundation, foundation_place) if model.python else None,
        files=work.files(model),
        accelerator=work.accelerator(model.accelerator, added),
        env=tuple(sorted({**dict(added.env), **model.env}.items())),
        user=model.user,
        workdir=model.workdir,
        entrypoint=tuple(model.entrypoint),
        cmd=tuple(model.cmd),
        labels=tuple(sorted(model.labels.items())),
        rules=tuple(sorted(model.rules.items())),
        keep=(*model.keep, *added.keep),
        tests=tuple(
            TestSpec(
                tuple(each.run or (each.shell or "",)),
                each.expect,
                each.timeout.total_seconds(),
                work.place("tests", number),
                script=each.run is None,
                any_user=each.any_user,
            )
            for number, each in enumerate(model.tests)
        ),
        places=_places(joined.top),
    )
    work.check_user(image)
    work.check_rules(image, known_rules)
    work.check_nul(image)
    return image, work.faults


class _Conversion:
    """Gathers faults while values are made; each method gives its value or a stand-in."""

    def __init__(self, joined: Joined, context: Path | None) -> None:
        self.top = joined.top
        self.joined = joined
        self.context = context
        self.faults: list[FaultError] = []

    def place(self, *location: str | int) -> Place:
        return place_of(self.top, location)

    def fault(self, place: Place, what: str, *, why: str, mend: str) -> None:
        self.faults.append(FaultError(place, what, why=why, mend=mend))

    def path(self, text: str, *location: str | int) -> Path:
        """Absolute; relative paths start at the folder of the file that wrote them."""
        node = node_at(self.top, location)
        return (node.folder if node else self.joined.folder) / text

    def stem(self) -> str:
        kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in self.joined.stem.lower())
        return "-".join(part for part in kept.split("-") if part) or "image"

    def requests(self, texts: list[str], *location: str | int) -> tuple[Request, ...]:
        found = dict[str, Request]()
        for number, text in enumerate(texts):
            found.setdefault(text, Request(text, self.place(*location, number)))
        return tuple(found.values())

    def foundation(self, text: str, place: Place) -> Foundation:
        distribution, _, release = text.partition(":")
        foundation = Foundation(distribution, release)
        try:
            foundations.release(foundation)
        except SpecError as e:
            self.fault(place, e.what, why=e.why, mend=e.mend)
        return foundation

    def read(self, text: str, max_bytes: int, what: str, *location: str | int) -> bytes | None:
        path = self.path(text, *location)
        try:
            return read_limited(path, max_bytes, what)
        except SpecError as e:
            self.fault(self.place(*location), e.what, why=e.why, mend=e.mend)
            return None

    def repository(self, number: int, model: Repository) -> RepositorySpec:
        where = ("repositories", number, "signed-by")
        key = self.read(model.signed_by, limits.MIB, "`signed-by`", *where)
        if key is not None:
            self.check_key(key, self.place(*where))
        return RepositorySpec(
            id=f"repository-{number + 1}",
            uris=tuple(model.uris),
            suites=tuple(model.suites),
            components=tuple(model.components),
            key=key or b"",
            place=self.place("repositories", number),
        )

    def check_key(self, key: bytes, place: Place) -> None:
        """RFC 9580: armour says what it holds, and every binary packet has bit 7 set."""
        if b"PRIVATE KEY BLOCK" in key[:4096]:
            self.fault(
                place,
                "`signed-by` holds a private key",
                why="a spec needs the certificate only, and private keys must stay private",
                mend="export it with `gpg --armor --export`",
            )
        elif b"-----BEGIN PGP PUBLIC KEY BLOCK-----" not in key and not (key and key[0] & 0x80):
            self.fault(
                place,
                "`signed-by` holds no OpenPGP certificate",
                why="it is neither armoured nor binary OpenPGP data",
                mend="export it with `gpg --armor --export`",
            )

    def certificate(self, number: int, text: str) -> bytes:
        from cryptography import x509

        where = ("certificates", number)
        data = self.read(text, limits.MIB, "`certificates`", *where)
        if data is None:
            return b""
        if b"PRIVATE KEY-----" in data:
            self.fault(
                self.place(*where),
                f"{text} holds a private key",
                why="what an image trusts is public; a private key would be published with it",
                mend="leave only the `BEGIN CERTIFICATE` blocks in the file",
            )
            return b""
        try:
            x509.load_pem_x509_certificates(data)
        except ValueError as e:
            self.fault(
                self.place(*where),
                f"{text} holds no certificate",
                why=f"it must be PEM with `BEGIN CERTIFICATE` blocks ({str(e)[:200]})",
                mend="convert it: `openssl x509 -inform der -in FILE -out FILE.pem`",
            )
        return data

    def python(self, model: Python, foundation: Foundation, place: Place) -> PythonSpec:
        self.check_version(model.version, foundation)
        lines, files = self.requirements(model.requirements, "requirements")
        constraints, constraint_files = self.requirements(model.constraints, "constraints")
        for path in constraint_files:
            constraints.extend(self.constraint_file(path))
        return PythonSpec(
            version=model.version,
            requirements=tuple(lines),
            requirements_files=tuple(files),
            constraints=tuple(constraints),
            indexes=tuple(dict.fromkeys(model.indexes)),
            find_links=self.find_links(model),
            cooldown=model.cooldown,
            bytecode=Bytecode(model.bytecode),
            allow_held_back=tuple(sorted({canonicalize_name(n) for n in model.allow_held_back})),
        )

    def check_version(self, version: str | None, foundation: Foundation) -> None:
        has = dict[str, str]()
        for name in foundations.known():
            distribution, _, release = name.partition(":")
            has[name] = foundations.release(Foundation(distribution, release)).python
        own = has.get(str(foundation))
        if version is None or own is None or version == own:
            return
        other = [name for name, python in has.items() if python == version]
        self.fault(
            self.place("python", "version"),
            f"{foundation} has no Python {version}",
            why="; ".join(f"{name} has {python}" for name, python in has.items()),
            mend=f'write `foundation: {other[-1]}` or `version: "{own}"`'
            if other
            else f'write `version: "{own}"`, or leave the key out',
        )

    def requirements(self, texts: list[str], key: str) -> tuple[list[Request], list[Path]]:
        lines, files = dict[str, Request](), dict[Path, None]()
        for number, text in enumerate(texts):
            where = ("python", key, number)
            if not is_requirements_file(text):
                lines.setdefault(text, Request(text, self.place(*where)))
                continue
            path = Path(self.path(text, *where)).resolve()
            if path.is_file():
                files[path] = None
            else:
                self.fault(
                    self.place(*where),
                    f"no such file: {path}",
                    why=f"`python.{key}` names it",
                    mend="correct the path; relative ones start at the spec's folder",
                )
        return list(lines.values()), list(files)

    def constraint_file(self, path: Path) -> list[Request]:
        data = read_limited(path, limits.SPEC_BYTES, "`python.constraints`")
        found = []
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            text = line.partition(" #")[0].strip()
            if not text or text.startswith("#"):
                continue
            place = Place(str(path), number, 1)
            try:
                Requirement(text)
            except ValueError as e:
                self.fault(
                    place,
                    f"{text[:80]!r} is no constraint",
                    why=str(e).splitlines()[0],
                    mend="write a name and a version, as in `numpy<3`",
                )
                continue
            found.append(Request(text, place))
        return found

    def find_links(self, model: Python) -> tuple[str, ...]:
        found = dict[str, None]()
        for number, text in enumerate(model.find_links):
            where = ("python", "find-links", number)
            if text.startswith(("https://", "file://")):
                found[text] = None
                continue
            path = self.path(text, *where).resolve()
            if path.is_dir():
                found[str(path)] = None
            else:
                self.fault(
                    self.place(*where),
                    f"no such folder: {path}"
                    if "://" not in text
                    else f"{text[:80]!r} is no folder",
                    why="`find-links` names a folder with wheels, or an https page that lists some",
                    mend="correct the path; relative ones start at the spec's folder",
                )
        return tuple(found)

    def jit(
        self, model: Accelerator | None, foundation: Foundation, platforms: tuple[Platform, ...]
    ) -> Jit:
        """What compiling at run time adds to the spec."""
        if model is None or model.jit == NONE:
            return Jit()
        try:
            python = foundations.release(foundation).python
        except SpecError:  # told already
            return Jit()
        return jit(model.jit, python=python, triplets=tuple(each.triplet for each in platforms))

    def requested(self, added: Jit) -> tuple[Request, ...]:
        return tuple(Request(name, self.place("accelerator", "jit")) for name in added.packages)

    def accelerator(self, model: Accelerator | None, added: Jit) -> AcceleratorSpec | None:
        if model is None:
            return None
        capabilities = tuple(int(each.removeprefix("sm_")) for each in model.archs)
        return AcceleratorSpec(model.cuda or "", capabilities, model.jit, added.keep)

    def files(self, model: Spec) -> tuple[FilesSpec, ...]:
        found = []
        for number, each in enumerate(model.files):
            uid, _, gid = each.owner.partition(":")
            item = FilesSpec(
                source=None,
                target="/" + "/".join(part for part in each.to.split("/") if part),
                exclude=tuple(each.exclude),
                place=self.place("files", number),
                content=None if each.content is None else each.content.encode(),
                owner=(int(uid), int(gid or uid)),
                mode=None if each.mode is None else int(each.mode, 8),
            )
            found.append(item if each.from_ is None else self.copied(item, each.from_, number))
        return tuple(found)

    def copied(self, item: FilesSpec, text: str, number: int) -> FilesSpec:
        """An item with its place on this machine, and what its context's ``.dockerignore`` says."""
        where = ("files", number, "from")
        base = self.context.resolve() if self.context else None
        source = base / text if base else self.path(text, *where)
        if not source.exists():
            self.fault(
                self.place(*where),
                f"no such file or folder: {source}",
                why="`files` is to copy it",
                mend="correct the path; relative ones start at the spec's folder, or at `--context`",
            )
        source, top = source.resolve(), (base or self.path(".", *where)).resolve()
        if not source.is_relative_to(top):
            return replace(item, source=source)
        inner = source.relative_to(top).as_posix()
        return replace(
            item, source=source, ignore=self.ignored(top), inner="" if inner == "." else inner
        )

    def ignored(self, folder: Path) -> tuple[str, ...]:
        """The lines of a folder's ``.dockerignore``; none where there is no such file."""
        path = folder / ".dockerignore"
        if not path.is_file():
            return ()
        data = read_limited(path, what=".dockerignore", max_bytes=limits.MIB)
        return tuple(data.decode("utf-8", "replace").removeprefix("\ufeff").splitlines())

    def check_user(self, image: ImageSpec) -> None:
        """Kubernetes' ``runAsNonRoot`` can only judge a number."""
        if image.profile is not Profile.INFERENCE or dict(image.rules).get("non-root") is False:
            return
        user = image.user.partition(":")[0]
        if not user.isdigit() or int(user) == 0:
            self.fault(
                self.place("user"),
                f"`user: {image.user}` in an inference image",
                why="it must be a number other than 0, so that a cluster can see it is not root",
                mend="write `user: 65532`, or switch the rule off: `rules: {non-root: false}`",
            )

    def check_rules(self, image: ImageSpec, known: Collection[str] | None) -> None:
        for name, _ in image.rules:
            if known is None or name in known:
                continue
            meant = nearest(name, sorted(known))
            self.fault(
                key_place(self.top, ("rules", name)),
                f"unknown rule `{name[:80]}`",
                why=f"the rules are {', '.join(sorted(known))}",
                mend=f"did you mean `{meant}`?" if meant else "remove it",
            )

    def check_nul(self, image: ImageSpec) -> None:
        """No process can be given a NUL, but YAML can write one by an escape."""
        tests = [("tests", number, each.run) for number, each in enumerate(image.tests)]
        values = [
            *((("env", key), value) for key, value in image.env),
            *((("entrypoint",), value) for value in image.entrypoint),
            *((("cmd",), value) for value in image.cmd),
            *(((key, number), value) for key, number, run in tests for value in run),
        ]
        for where, value in values:
            if "\0" in value:
                self.fault(
                    self.place(*where),
                    "a NUL character",
                    why="arguments and variables of processes end at it",
                    mend="remove it",
                )


def _places(top: Mapping) -> tuple[tuple[str, Place], ...]:
    found: list[tuple[str, Place]] = []

    def walk(node: Node, path: str) -> None:
        match node:
            case Mapping():
                for key, place, value in node.pairs:
                    inner = f"{path}.{key}" if path else key
                    found.append((inner, place if isinstance(value, Mapping) else value.place))
                    walk(value, inner)
            case Items():
                for number, value in enumerate(node.items):
                    found.append((f"{path}[{number}]", value.place))
                    walk(value, f"{path}[{number}]")
            case Scalar():
                pass

    walk(top, "")
    return tuple(found)
