"""Tables, pictures and the page of a run."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nprl.env.task import load_task
from nprl.lang.text import parse
from nprl.program import Program, program_for
from nprl.report.page import Pictures, report_page
from nprl.report.picture import png, svg
from nprl.report.plots import draw_learning, rollout
from nprl.report.shadow import shadow
from nprl.report.tables import html_table, show, text_table
from nprl.report.tree import MOST_NODES, draw_program, layout
from nprl.shields.load import load_certificate
from nprl.shields.shield import Filter


def pendulum(text: str = "-8 * theta - 1.6 * omega") -> Program:
    model = load_task("nprl/Pendulum-v0").model
    assert model is not None
    return program_for(model, [parse(text)])


def summary(verdict: str = "verified", certified: bool | None = True) -> dict[str, Any]:
    row = {"return": -0.1, "ci95": [-0.2, 0.0], "episodes": 10, "violations": 0}
    row |= {"overrides_per_1000": 0.0, "us_per_step": 1.5}
    return {
        "env": "nprl/<b>Pendulum-v0",
        "seed": 0,
        "versions": {"python": "3.11"},
        "model_digest": "ab" * 32,
        "policies": [{"name": n, **row} for n in ("neural", "program", "random")],
        "program": {
            "text": "torque = -8 * theta",
            "nodes": 3,
            "constants": 1,
            "certified": certified,
        },
        "proof": {
            "verdict": verdict,
            "family": "polytope",
            "engines": ["linear"],
            "assumptions": ["sampling instants only"],
            "synthesis_s": 1.0,
            "check_s": 0.5,
            "volume_safe": 0.6,
            "volume_kernel": 0.969,
        },
        "wall_s": 60.0,
    }


def test_a_text_table_is_aligned() -> None:
    table = text_table(["policy", "return"], [["neural", -0.123456], ["program", None]])
    assert table == "policy    return\n-------  -------\nneural   -0.1235\nprogram        -"


def test_large_numbers_are_written_out() -> None:
    assert [show(v) for v in (-10881.6, 0.123456, 1234.5, 2e12)] == [
        "-10882",
        "0.1235",
        "1234",
        "2e+12",
    ]


def test_the_page_says_what_goals_mean_and_what_repeats_the_run() -> None:
    goals = [("safe/0", "proved", "linear", 1, 0.01)]
    command = "python -m experiments.pipeline --env nprl/Pendulum-v0"
    page = report_page(summary(), Pictures(), goals, "safe alone", (), command)
    assert "every state in I is safe" in page
    assert command in page
    assert "96.9 %" in page


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="each row has 2 cells"):
        text_table(["a", "b"], [["1"]])


def test_cells_of_a_page_are_escaped() -> None:
    assert "<td>&lt;i&gt;</td>" in html_table(["a"], [["<i>"]])


def test_a_tree_has_each_node_once_and_leaves_from_left_to_right() -> None:
    places = layout(pendulum().output[0])
    assert len(places) == pendulum().nodes
    assert [p.label for p in places if p.leaf] == ["-8", "theta", "1.6", "omega"]
    assert [p.x for p in places if p.leaf] == [0, 1, 2, 3]
    assert places[0].label == "-"


def test_a_program_that_is_too_large_is_not_drawn() -> None:
    assert draw_program(pendulum(" + ".join(["theta"] * MOST_NODES))) is None


def test_the_same_picture_has_the_same_bytes() -> None:
    first, second = (draw_program(pendulum()) for _ in range(2))
    assert first is not None
    assert second is not None
    assert svg(first, "tree") == svg(second, "tree")
    assert png(first)[:4] == b"\x89PNG"


def test_ids_of_two_pictures_on_a_page_differ() -> None:
    drawn = draw_program(pendulum())
    assert drawn is not None
    one, two = (set(re.findall(r'id="([^"]+)"', svg(drawn, t))) for t in ("one", "two"))
    assert one
    assert not one & two


def test_a_learning_curve_needs_evaluations() -> None:
    assert draw_learning([]) is None
    row = {"time/total_timesteps": "100", "eval/mean_reward": "-1", "safety/violations": "3"}
    assert draw_learning([row]) is not None


def test_trajectories_end_where_they_leave_the_safe_set() -> None:
    model = load_task("nprl/Pendulum-v0").model
    assert model is not None
    path = rollout(model, lambda obs: np.full((len(obs), 1), 2.0), episodes=4, steps=60)
    assert path.shape == (61, 4, 2)
    assert np.isnan(path[-1]).all()
    assert np.isfinite(path[0]).all()


def test_the_page_loads_nothing_and_says_the_theorem() -> None:
    goals = [("safe/0", "proved", "linear", 1, 0.01)]
    drawn = draw_program(pendulum())
    assert drawn is not None
    page = report_page(summary(), Pictures(tree=svg(drawn, "tree")), goals, "safe alone")
    assert "For every initial state" in page
    assert "nprl/&lt;b&gt;Pendulum-v0" in page
    assert "CERTIFIED" in page
    assert not re.findall(r"(?:src|href)=\"(?!#)", page)
    assert "<script" not in page


def test_the_page_says_no_model() -> None:
    page = report_page(summary("no_model", None), Pictures(), [], "")
    assert "NO MODEL" in page
    assert "no_model: the environment has no model" in page
    assert "For every initial state" not in page


def test_an_unproved_shield_promises_nothing() -> None:
    page = report_page(summary("unknown", None), Pictures(), [], "")
    assert "nothing is promised" in page
    assert "For every initial state" not in page


@pytest.mark.parametrize("name", ["cartpole", "lanekeeping"])
def test_no_state_of_an_invariant_lies_outside_its_shadow(name: str) -> None:
    path = Path(str(resources.files("nprl.shields.proved"))) / f"{name}.json"
    certificate = load_certificate(path)
    found = shadow(certificate, 0, 1)
    assert found is not None
    filter_ = Filter(certificate, trusted=True)
    states = certificate.model.state
    size = np.array([float(c.high) for c in states])
    points = np.random.default_rng(0).uniform(-size, size, (20_000, len(size))) * 0.5
    inside = points[filter_.inside_batch(points)][:, :2]
    assert len(inside) > 50
    edges = np.roll(found, -1, axis=0) - found
    for corner, edge in zip(found, edges, strict=True):
        side = edge[0] * (inside[:, 1] - corner[1]) - edge[1] * (inside[:, 0] - corner[0])
        reach = np.abs(found).max() * np.hypot(*edge)
        assert side.min() >= -0.01 * reach  # a polygon of 60 extreme points cuts a curve's bulges
