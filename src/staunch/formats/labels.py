"""What Staunch writes into an image's labels, so that ``test`` and ``run`` need the image alone.

``dev.staunch.tests`` holds the spec's tests as a JSON list of ``{"run": […], "expect": …,
"timeout_s": …}``, with ``"script": true`` where ``run`` is one text for a shell, and ``"any_user": false`` where the
image's own user alone need pass; ``dev.staunch.profile`` the profile's name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from staunch.errors import UntrustedError
from staunch.model import limits
from staunch.model.spec import ImageSpec, Place, Profile, TestSpec

TESTS = "dev.staunch.tests"
PROFILE = "dev.staunch.profile"
TITLE = "org.opencontainers.image.title"
DESCRIPTION = "org.opencontainers.image.description"

_MAX_TESTS = 1000
_MAX_TIMEOUT_S = 86400.0


def image_labels(
    spec: ImageSpec, more: Iterable[tuple[str, str]] = ()
) -> tuple[tuple[str, str], ...]:
    """The labels of an image made from ``spec``, and ``more``, sorted; the spec's own win."""
    labels = {PROFILE: spec.profile.value, TITLE: spec.name, **dict(more)}
    if spec.summary:
        labels[DESCRIPTION] = spec.summary
    if spec.tests:
        labels[TESTS] = write_tests(spec.tests)
    return tuple(sorted({**labels, **dict(spec.labels)}.items()))


def write_tests(tests: Sequence[TestSpec]) -> str:
    """Tests as the label's text; ``place`` is left out, it is the builder's own."""
    items: list[dict[str, object]] = []
    for test in tests:
        item: dict[str, object] = {"run": list(test.run), "timeout_s": test.timeout_s}
        if test.expect is not None:
            item["expect"] = test.expect
        if test.script:
            item["script"] = True
        if not test.any_user:
            item["any_user"] = False
        items.append(item)
    return json.dumps(items, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def read_tests(labels: Mapping[str, str]) -> tuple[TestSpec, ...]:
    """The tests that an image carries; none when it has no such label.

    Raises:
        UntrustedError: the label is not what ``write_tests`` gives; names the place.
    """
    text = labels.get(TESTS)
    if text is None:
        return ()
    if len(text) > limits.SPEC_BYTES:
        raise _broken(f"it has {len(text)} characters, more than {limits.SPEC_BYTES}")
    try:
        items = json.loads(text)
        json.dumps(items, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise _broken(f"it is not JSON: {str(error)[:100]}") from error
    if not isinstance(items, list) or len(items) > _MAX_TESTS:
        raise _broken(f"it is not a list of at most {_MAX_TESTS} tests")
    return tuple(_test(item, index) for index, item in enumerate(items))


def read_profile(labels: Mapping[str, str]) -> Profile | None:
    """The profile that an image was built for; None when it does not say, or says another word."""
    return next((each for each in Profile if each.value == labels.get(PROFILE)), None)


def _test(item: object, index: int) -> TestSpec:
    if not isinstance(item, dict):
        raise _broken(f"[{index}] is not an object")
    run, expect, timeout_s = item.get("run"), item.get("expect"), item.get("timeout_s", 120.0)
    if not isinstance(run, list) or not run or not _all_text(run):
        raise _broken(f"[{index}].run is not a list of words")
    script = item.get("script", False)
    if not isinstance(script, bool) or (script and len(run) != 1):
        raise _broken(f"[{index}].script is not true for one text")
    any_user = item.get("any_user", True)
    if not isinstance(any_user, bool):
        raise _broken(f"[{index}].any_user is not true or false")
    if expect is not None and not isinstance(expect, str):
        raise _broken(f"[{index}].expect is not a text")
    if (
        isinstance(timeout_s, bool)
        or not isinstance(timeout_s, int | float)
        or not 0 < timeout_s <= _MAX_TIMEOUT_S
    ):
        raise _broken(f"[{index}].timeout_s is not a number of seconds up to {_MAX_TIMEOUT_S:g}")
    return TestSpec(
        tuple(run), expect, float(timeout_s), Place(f"label {TESTS}[{index}]"), script, any_user
    )


def _all_text(items: Iterable[object]) -> bool:
    return all(isinstance(each, str) and "\0" not in each for each in items)


def _broken(why: str) -> UntrustedError:
    return UntrustedError(
        f"the image's label {TESTS} cannot be read",
        why=why,
        mend="build the image again, or name a test on the command line",
    )
