"""How a workflow is drawn: the exact text, and that no graph is too strange or too large for it."""

import re

from hypothesis import given, strategies as st
from rich.cells import cell_len

from boltq.cli.workflows.graph import MOST, SIGNS, DrawnLine, DrawnStep, draw, texts
from boltq.domain.workflow.plan import Group
from boltq.domain.workflow.states import StepState as S


def picture(*steps: DrawnStep, most: int | None = MOST, width: int | None = None, ascii: bool = False) -> str:
    return "\n" + "\n".join(texts(draw(steps, most=most), width=width, ascii=ascii)) + "\n"


def done(id: str, *parents: str) -> DrawnStep:
    return DrawnStep(id, S.COMPLETED, parents)


def test_a_chain() -> None:
    steps = [done("a"), DrawnStep("b", S.RUNNING, ["a"], note="12/20 · 3 s"), DrawnStep("c", S.PENDING, ["b"])]
    assert (
        picture(*steps)
        == """
✓ a  completed
● b  running    12/20 · 3 s
○ c  pending
"""
    )


def test_a_diamond() -> None:
    steps = [
        done("a"),
        DrawnStep("b", S.FAILED, ["a"], note="data: no rows"),
        done("c", "a"),
        DrawnStep("d", S.PENDING, "bc"),
    ]
    assert (
        picture(*steps)
        == """
✓     a  completed
├─✗─╮ b  failed     data: no rows
╰─✓─┤ c  completed
○───╯ d  pending
"""
    )


def test_a_fan_out_and_in() -> None:
    parts = [done(f"part-{n}", "cut") for n in range(30)]
    lines = picture(done("cut"), *parts, done("join", *(part.id for part in parts))).splitlines()[1:]
    assert lines[:3] == [
        "✓     cut      completed",
        "├─✓─╮ part-0   completed",
        "├─✓─┤ part-1   completed",
    ]
    assert lines[-2:] == ["╰─✓─┤ part-29  completed", "✓───╯ join     completed"]
    assert len(lines) == 32


def test_ways_beside_each_other() -> None:
    steps = [done("a"), *(done(f"b{n}", "a") for n in "12"), *(done(f"c{n}", f"b{n}") for n in "12")]
    assert (
        picture(*steps, done("d", "c1", "c2"))
        == """
✓     a   completed
├─✓   b1  completed
│ ✓─╮ c1  completed
╰─✓ │ b2  completed
  ✓─┤ c2  completed
✓───╯ d   completed
"""
    )


def test_two_roots() -> None:
    assert (
        picture(done("a"), done("b", "a"), done("c"), done("d", "c"))
        == """
✓ a  completed
✓ b  completed

✓ c  completed
✓ d  completed
"""
    )
    assert (
        picture(done("a"), done("b"), done("c", "a", "b"))
        == """
✓─╮ a  completed
✓─┤ b  completed
✓─╯ c  completed
"""
    )


def test_a_way_around_a_step() -> None:
    assert (
        picture(done("a"), done("b", "a"), done("c", "a", "b"), done("d", "a"))
        == """
✓     a  completed
├─✓   b  completed
├─┴─✓ c  completed
╰─✓   d  completed
"""
    )


def test_a_skipped_branch_and_a_step_that_waits() -> None:
    steps = [
        DrawnStep("check", S.WAITING, note="waits for a person's answer: Send it?"),
        DrawnStep("send", S.QUEUED, ["check"]),
        DrawnStep("alarm", S.SKIPPED, ["check"], note="one_failed does not hold"),
        DrawnStep("stop", S.CANCELLED, ["alarm"]),
    ]
    assert (
        picture(*steps)
        == """
⏸   check  waiting    waits for a person's answer: Send it?
├─◌ send   queued
╰─⊖ alarm  skipped    one_failed does not hold
  ⊘ stop   cancelled
"""
    )


def test_groups_and_sub_workflows() -> None:
    steps = [
        done("a"),
        DrawnStep("inner", S.RUNNING, ["a"], below="↳ 01M80"),
        DrawnStep("b", S.PENDING, ["inner"]),
        DrawnStep("tell", S.PENDING, ["a"], group=Group.ON_FAILURE),
        DrawnStep("tidy", S.PENDING, group=Group.FINALLY),
        DrawnStep("mop", S.PENDING, ["tidy"], group=Group.FINALLY),
    ]
    assert (
        picture(*steps)
        == """
✓ a      completed
● inner  running
│ ↳ 01M80
○ b      pending

on failure:
○ tell   pending

finally:
○ tidy   pending
○ mop    pending
"""
    )


def test_where_only_ascii_can_be_written() -> None:
    steps = [
        done("a"),
        DrawnStep("b", S.FAILED, ["a"], note="naïve · …"),
        done("c", "a"),
        DrawnStep("d", S.PENDING, "bc"),
    ]
    assert (
        picture(*steps, ascii=True)
        == """
v     a  completed
+-x-. b  failed     na?ve - ...
`-v-+ c  completed
o---' d  pending
"""
    )
    assert len({sign.plain for sign in SIGNS.values()}) == len({sign.symbol for sign in SIGNS.values()}) == len(S)


def test_colours_are_added_and_change_nothing() -> None:
    lines = draw([done("a"), DrawnStep("b", S.FAILED, ["a"])])
    coloured = texts(lines, colour=True)
    assert [re.sub(r"\x1b\[\d+m", "", line).rstrip() for line in coloured] == texts(lines)
    assert "\x1b[31m✗\x1b[0m" in coloured[1]


def test_names_that_a_terminal_would_obey_are_shown_as_text() -> None:
    shown = picture(DrawnStep("a\x1b[2Jb\nc", S.FAILED, note="\x1b]0;t\x07x\r\ny"), DrawnStep("漢字" * 40, S.COMPLETED))
    assert "ab c" in shown
    assert not set(shown) & set("\x1b\x07\r")
    assert len(shown.splitlines()) == 4  # the first is empty; the two are separate
    assert "…" in shown


# Large ones


def test_many_alike_are_folded_and_what_went_wrong_is_not() -> None:
    parts = [DrawnStep(f"p{n}", S.FAILED if n in (7, 500) else S.COMPLETED, ["cut"]) for n in range(980)]
    lines = picture(done("cut"), *parts, DrawnStep("join", S.RUNNING, [part.id for part in parts])).splitlines()[1:]
    assert len(lines) == 11
    assert "├─✗─┤ p7    failed" in lines
    assert "├─✗─┤ p500  failed" in lines
    assert lines[-2:] == ["╰─⋮─┤ … and 972 more (972 completed)", "●───╯ join  running"]
    everything = texts(draw([done("cut"), *parts], most=None))
    assert len(everything) == 981


def test_a_long_chain_is_told_by_its_levels() -> None:
    states = [S.COMPLETED] * 600 + [S.RUNNING] + [S.PENDING] * 399
    steps = [DrawnStep(f"s{n}", state, [f"s{n - 1}"] if n else []) for n, state in enumerate(states)]
    assert (
        picture(*steps)
        == """
levels 1 to 600: 600 steps (600 completed)
level 601: 1 step (1 running)
  ● s600  running    after s599
levels 602 to 1000: 399 steps (399 pending)
"""
    )


def test_a_knot_is_told_by_its_levels() -> None:
    """With more rails than anybody could follow."""
    steps = [DrawnStep(f"s{n}", S.PENDING, [f"s{before}" for before in range(n % 3, n, 3)]) for n in range(90)]
    knot = [DrawnStep("z", S.PENDING, [f"s{n}" for n in range(90)]), *steps]
    for most in (MOST, None):
        shown = picture(*knot, most=most)
        assert "after s0, s3, s6, s9, s12, …" in shown
        assert len(re.findall(r"^  ○ ", shown, re.MULTILINE)) == 91


STATES = st.sampled_from(list(S))
NAMES = st.text(max_size=60)


@st.composite
def workflows(draw: st.DrawFn) -> list[DrawnStep]:
    """Any names, any states, any edges from earlier steps to later ones."""
    names = draw(st.lists(NAMES, unique=True, max_size=40))
    steps: list[DrawnStep] = []
    for number, name in enumerate(names):
        parents = draw(st.sets(st.integers(0, number - 1), max_size=5)) if number else set()
        steps.append(
            DrawnStep(
                name, draw(STATES), [names[parent] for parent in sorted(parents)], group=draw(st.sampled_from(Group))
            )
        )
    return steps


@given(workflows(), st.sampled_from([1, 5, 12, 100]))
def test_every_step_is_drawn_or_counted_once(steps: list[DrawnStep], most: int) -> None:
    for group in Group:
        members = [step for step in steps if step.group is group]
        lines = draw(members, most=most)
        by_level = any(re.match("levels? ", line.note) for line in lines)  # headings count what is drawn below them
        drawn = 0 if by_level else sum(bool(line.state) for line in lines)
        assert drawn + sum(_counted(line) for line in lines) == len(members)


@given(workflows(), st.booleans())
def test_no_line_is_too_long_or_has_what_a_terminal_would_obey(steps: list[DrawnStep], ascii: bool) -> None:
    for text in texts(draw(steps), width=50, ascii=ascii):
        assert cell_len(text) <= 50
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", text)


def _counted(line: DrawnLine) -> int:
    """The sum of what stands in the brackets: (960 completed, 10 failed)."""
    inside = re.search(r"\((.*)\)$", line.note)
    return sum(map(int, re.findall(r"\d+", inside[1]))) if inside and not line.state else 0
