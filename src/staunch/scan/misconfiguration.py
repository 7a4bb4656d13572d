"""An image's configuration against two benchmarks, as far as an image alone can show it.

CIS Docker Benchmark 1.7, section 4 (container images and build file), and the restricted profile of
Kubernetes' Pod Security Standards. What depends on how a container is started (capabilities,
privilege escalation, seccomp) is no property of an image and is not judged; what the image must not
stand in the way of is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from staunch.model.answer import Misconfiguration
from staunch.model.finding import Level

__all__ = ["Facts", "judge_configuration"]

_NUMBER = re.compile(r"[0-9]{1,10}")
_PORT = re.compile(r"([0-9]{1,5})(?:/(?:tcp|udp|sctp))?")
_UPDATE = re.compile(
    r"(?:apt-get|apt|yum|dnf|apk)\s+(?:-[A-Za-z-]+\s+)*(?:update|upgrade|dist-upgrade)\b"
)
_INSTALL = re.compile(
    r"(?:(?:apt-get|apt|yum|dnf|microdnf)\s+(?:-\S+\s+)*(?:install|upgrade)|apk\s+(?:-\S+\s+)*(?:add|upgrade))\b"
)
_ADD_REMOTE = re.compile(
    r"^(?:#\(nop\)\s+)?ADD\s+(?:--\S+\s+)*[\"']?(?:https?|ftp)://", re.IGNORECASE
)
_PIPED = re.compile(r"(?:curl|wget)\b[^|;&]*\|\s*(?:sudo\s+)?(?:ba|da|z|k)?sh\b")
_UNVERIFIED = re.compile(
    r"--allow-unauthenticated|--nogpgcheck|--allow-untrusted|--no-check-certificate|curl\b[^;&|]*\s(?:-k|--insecure)\b|trusted-host"
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is judged: the image's configuration, and what its files say.

    ``setuid`` are paths with a setuid or setgid bit, ``writable`` folders that anyone may write to
    without the sticky bit; both None where files were not looked at. ``uids`` are the accounts of
    the image's own ``/etc/passwd``.
    """

    user: str = ""
    healthcheck: bool = False
    exposed: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    history: tuple[str, ...] = ()
    secrets: int = 0
    setuid: tuple[str, ...] | None = None
    writable: tuple[str, ...] | None = None
    uids: tuple[tuple[str, int], ...] = field(default_factory=tuple)


Rule = Callable[[Facts], Iterator[Misconfiguration]]


def judge_configuration(facts: Facts) -> tuple[Misconfiguration, ...]:
    """All that is against the benchmarks, sorted."""
    return tuple(sorted(found for rule in _RULES for found in rule(facts)))


def _user(facts: Facts) -> Iterator[Misconfiguration]:
    name = facts.user.partition(":")[0]
    uid = int(name) if _NUMBER.fullmatch(name) else dict(facts.uids).get(name)
    if name in ("", "root") or uid == 0:
        yield Misconfiguration(
            "CIS-Docker-4.1",
            "The image runs as root",
            f"its user is {facts.user or 'not set, which means root'}: whoever breaks out of the "
            "program has root in the container, and on a kernel fault outside it",
            "set a numeric user other than 0: `USER 65532`, in a spec `user: 65532`",
            Level.HIGH,
            "config:User",
        )
    elif not _NUMBER.fullmatch(name):
        yield Misconfiguration(
            "PSS-restricted-runAsNonRoot",
            "Kubernetes cannot see that the user is not root",
            f"the user is the name {name!r}; the kubelet compares numbers, and refuses to start a "
            "pod with `runAsNonRoot: true` whose image names a user",
            "write the user's number: `USER 65532`",
            Level.MEDIUM,
            "config:User",
        )


def _health(facts: Facts) -> Iterator[Misconfiguration]:
    if not facts.healthcheck:
        yield Misconfiguration(
            "CIS-Docker-4.6",
            "The image has no health check",
            "docker cannot tell a program that hangs from one that works; Kubernetes does not read "
            "this setting and has probes of its own",
            "add a HEALTHCHECK where docker runs it, or probes in the pod's specification",
            Level.LOW,
            "config:Healthcheck",
        )


def _ports(facts: Facts) -> Iterator[Misconfiguration]:
    for port in facts.exposed:
        match = _PORT.fullmatch(port)
        if match and 0 < int(match[1]) < 1024:
            yield Misconfiguration(
                "PSS-restricted-capabilities",
                f"The image wants the privileged port {match[1]}",
                "the restricted profile drops all capabilities; a user other than root then binds "
                "such a port only with NET_BIND_SERVICE or a changed sysctl",
                "listen on a port of 1024 or more and let the service map it",
                Level.LOW,
                f"config:ExposedPorts.{port}",
            )


def _setuid(facts: Facts) -> Iterator[Misconfiguration]:
    if facts.setuid:
        yield Misconfiguration(
            "CIS-Docker-4.8",
            f"{len(facts.setuid)} files have a setuid or setgid bit",
            f"they give whoever runs them another's rights: {_listed(facts.setuid)}",
            "take the bits off in the build (`chmod a-s`); with `allowPrivilegeEscalation: false`, "
            "which the restricted profile wants, they have no effect",
            Level.MEDIUM,
            facts.setuid[0],
        )


def _writable(facts: Facts) -> Iterator[Misconfiguration]:
    if facts.writable:
        yield Misconfiguration(
            "Staunch-writable-folders",
            f"{len(facts.writable)} folders can be written by anyone",
            f"a program that is taken over can put code there: {_listed(facts.writable)}",
            "take the bit off (`chmod o-w`), or set the sticky bit as /tmp has it",
            Level.MEDIUM,
            facts.writable[0],
        )


def _secrets(facts: Facts) -> Iterator[Misconfiguration]:
    if facts.secrets:
        yield Misconfiguration(
            "CIS-Docker-4.10",
            f"{facts.secrets} secrets are stored in the image",
            "whoever can pull the image can read them, in every layer, for ever",
            "revoke them, and mount them when the container runs",
            Level.HIGH,
        )


def _history(facts: Facts) -> Iterator[Misconfiguration]:
    for number, text in enumerate(facts.history):
        where = f"config:history[{number}]"
        if _UPDATE.search(text) and not _INSTALL.search(text):
            yield Misconfiguration(
                "CIS-Docker-4.7",
                "Package lists are updated in a layer of their own",
                "the layer is cached, so later builds install from old lists and miss fixes",
                "update and install in one instruction, or pin a snapshot of the archive",
                Level.LOW,
                where,
            )
        if _ADD_REMOTE.search(text):
            yield Misconfiguration(
                "CIS-Docker-4.9",
                "A remote file was added without a check",
                "ADD fetches and unpacks whatever stands at the address on that day",
                "fetch it with a checksum (`ADD --checksum=…`), or COPY a file that was checked",
                Level.MEDIUM,
                where,
            )
        if _PIPED.search(text) or _UNVERIFIED.search(text):
            yield Misconfiguration(
                "CIS-Docker-4.11",
                "Something was installed without verification",
                "what came over the network was run or installed without a signature or hash",
                "install signed packages, or compare a hash before running a download",
                Level.MEDIUM,
                where,
            )


def _volumes(facts: Facts) -> Iterator[Misconfiguration]:
    for path in facts.volumes:
        if path.rstrip("/") in (
            "",
            "/etc",
            "/usr",
            "/bin",
            "/sbin",
            "/lib",
            "/proc",
            "/sys",
            "/dev",
        ):
            yield Misconfiguration(
                "PSS-restricted-volumeTypes",
                f"The image declares {path} as a volume",
                "a system folder becomes writable and outlives the container",
                "declare folders of data alone",
                Level.MEDIUM,
                f"config:Volumes.{path}",
            )


def _listed(paths: Sequence[str]) -> str:
    shown = ", ".join(f"/{path}" for path in paths[:5])
    return f"{shown} and {len(paths) - 5} more" if len(paths) > 5 else shown


_RULES: tuple[Rule, ...] = (
    _user,
    _health,
    _ports,
    _setuid,
    _writable,
    _secrets,
    _history,
    _volumes,
)
