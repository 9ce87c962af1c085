"""Fronts: what stays, what is asked of them, and that files which are none are refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from nprl.distill.rollout import blank, with_terms
from nprl.env.task import load_task
from nprl.lang.text import parse
from nprl.report.front import draw_front
from nprl.search.front import Entry, Front, FrontError, load_front

BLANK = blank(load_task("CartPole-v1").unbound())


def entry(text: str, mean: float) -> Entry:
    program = with_terms(BLANK, [parse(text)])
    return Entry(program, "by hand", mean, (mean - 1, mean + 1), 10)


SMALL, MIDDLE, LARGE = (
    entry("omega", 10),
    entry("omega + theta", 20),
    entry("omega + 3 * theta", 30),
)


def test_what_a_smaller_program_equals_is_not_on_the_front() -> None:
    worse = entry("omega - 3 * theta", 20)
    front = Front([LARGE, worse, SMALL, MIDDLE])
    assert list(front) == [SMALL, MIDDLE, LARGE]
    assert len(front.plus(Front([entry("theta", 40)]))) == 1


def test_the_best_program_of_a_size_is_asked_for() -> None:
    front = Front([SMALL, MIDDLE, LARGE])
    assert front.best() is LARGE
    assert front.best(max_size=4) is MIDDLE
    assert front.best(max_constants=0) is MIDDLE
    with pytest.raises(ValueError, match="the smallest has 1 nodes"):
        front.best(max_size=0)
    with pytest.raises(ValueError, match="empty"):
        Front([]).best()


def test_a_front_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    front = Front([SMALL, replace(LARGE, proved=True)])
    again = load_front(front.save(tmp_path / "front.json"))
    assert again.entries == front.entries


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("format"),
        lambda d: d.pop("entries"),
        lambda d: d["entries"][0].pop("mean"),
        lambda d: d["entries"][0].update(proved="perhaps"),
        lambda d: d["entries"][0].update(ci95=[1]),
        lambda d: d["entries"][0]["program"].update(output=["nobody"]),
        lambda d: d.update(entries=3),
    ],
)
def test_what_is_no_front_is_refused_in_one_line(tmp_path: Path, change: object) -> None:
    data = Front([SMALL]).to_json()
    change(data)  # type: ignore[operator]
    path = tmp_path / "front.json"
    path.write_text(json.dumps(data))
    with pytest.raises(FrontError) as caught:
        load_front(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(FrontError, match="No such file"):
        load_front(tmp_path / "nothing.json")


def test_the_picture_names_the_best_programs() -> None:
    drawn = draw_front(Front([SMALL, MIDDLE, LARGE]), "CartPole-v1")
    assert "omega + 3 * theta" in drawn.axes[0].texts[0].get_text()
