"""Whatever a script says, it ends in a note; no other exception leaves."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from staunch.assemble.scripts import classify
from staunch.assemble.scripts.registry import COMMANDS
from tests.support.scripts import MASTERS, image

WORDS = r"""/ /etc /etc/f /etc/l /no/such .. - -- -f -r -p -n -e -m -R -s -d --add --system --install --slave
--reference=/etc/f --remove --list configure $1 "$2" $@ ${x:-y} ${x#*} * 'a\ b' '' [ ] ! = -lt 0 7 99999 x:y
u+x,g= s/a/b/ /a/d %s\n root user ~ \\ -name -delete --compare-versions lt 1.0 --divert passwd"""
words = st.sampled_from(WORDS.split())
SHAPES = """@
if @; then :; fi
x=$(@); echo $x > /etc/x
while @; do break; done
for i in a; do @; done
f() { @; }; f a
( @ ) || true
@ > /etc/y
@ < /etc/f"""
commands = st.builds(
    lambda name, arguments: " ".join((name, *arguments)),
    st.sampled_from(sorted(COMMANDS)),
    st.lists(words, max_size=5),
)
joined = st.builds(
    lambda one, sign, two: f"{one} {sign} {two}",
    commands,
    st.sampled_from(("&&", "||", "|", ";", "\n")),
    commands,
)
shaped = st.builds(
    lambda form, body: form.replace("@", body),
    st.sampled_from(SHAPES.splitlines()),
    joined,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(shaped, min_size=1, max_size=4))
def test_every_script_ends_in_a_note(lines: list[str]) -> None:
    files = {**MASTERS, "etc/f": "a line\nb\n", "etc/d/": "", "usr/bin/prog": "x"}
    made = image("\n".join(lines), files)
    note = made.note("thing")
    assert note.status in (classify.REPRODUCED, classify.IGNORED, classify.UNREPRODUCED)
    assert note.why
    assert all(entry.path and ".." not in entry.path.split("/") for entry in made.tree)
