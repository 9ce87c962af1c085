"""Sets beside a face that one coordinate drives, and the unicycle around a disc that they are made for."""

from __future__ import annotations

import copy
import json
from fractions import Fraction
from importlib import resources
from typing import Any

import numpy as np
import pytest

from nprl.envs.unicycle import MODEL
from nprl.lang.floats import compile_batch
from nprl.lang.text import parse, parse_formula
from nprl.model import Coordinate, Model
from nprl.shields.certificate import Certificate, certificate_from_json
from nprl.shields.exact import check as check_exactly
from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.sets.driven import driven
from nprl.shields.synthesis.views.numeric import values
from nprl.shields.synthesis.views.pieces import pieces
from nprl.shields.synthesis.views.problem import problem_of

F = Fraction
NAMES = MODEL.state_names


@pytest.fixture(scope="module")
def shipped() -> dict[str, Any]:
    text = resources.files("nprl.shields").joinpath("proved/unicycle.json").read_text()
    data: dict[str, Any] = json.loads(text)
    return data


def _inside(certificate: Certificate, x: np.ndarray) -> np.ndarray:
    parts = [(values(p, NAMES, x) >= 0).all(axis=1) for p in certificate.shield.invariant]
    return np.asarray(np.any(parts, axis=0))


def test_beside_each_tangent_the_backup_keeps_its_set() -> None:
    rng = np.random.default_rng(0)
    step = compile_batch(MODEL.steps, [[*NAMES, *MODEL.action_names, *MODEL.disturbance_names]])
    for piece in pieces(MODEL)[:2]:
        for found in driven(problem_of(piece), 0, Budget()):
            (rows,) = found.invariant
            x = rng.uniform(-4, 4, (20_000, 3))
            x = x[(values(rows, NAMES, x) >= 0).all(axis=1)]
            u = values(found.backup, NAMES, x)
            w = rng.choice([-0.05, 0.05], (len(x), 2))
            after = np.stack(step(np.hstack([x, u, w])), axis=1)
            assert len(x) > 1000
            assert (values(rows, NAMES, after) >= 0).all()


def test_a_face_that_two_coordinates_drive_is_left_to_others() -> None:
    model = Model(
        name="mass",
        state=tuple(Coordinate(n, "m", F(-4), F(4)) for n in ("x", "v", "a")),
        action=(Coordinate("j", "m/s^3", F(-1), F(1)),),
        step={"x": parse("x + 0.1 * v"), "v": parse("v + 0.1 * a"), "a": parse("a + 0.1 * j")},
        init={n: (F(0), F(0)) for n in ("x", "v", "a")},
        safe=parse_formula("x <= 1"),
    )
    assert not list(driven(problem_of(model), 0, Budget()))


@pytest.mark.slow
def test_the_exact_checker_accepts_the_shipped_union(shipped: dict[str, Any]) -> None:
    assert not {k: v for k, v in check_exactly(json.dumps(shipped).encode()).items() if v}


@pytest.mark.slow
def test_a_shipped_union_with_a_backup_that_turns_the_other_way_is_refused(
    shipped: dict[str, Any],
) -> None:
    data = copy.deepcopy(shipped)
    data["shield"]["backup"] = [["neg", b] for b in data["shield"]["backup"]]
    assert any(check_exactly(json.dumps(data).encode()).values())


def test_the_shipped_union_holds_most_of_what_is_free(shipped: dict[str, Any]) -> None:
    certificate = certificate_from_json(shipped)
    x = np.random.default_rng(0).uniform([-2.5, -2.5, -np.pi], [2.5, 2.5, np.pi], (20_000, 3))
    free = np.hypot(x[:, 0], x[:, 1]) >= 1
    inside = _inside(certificate, x)
    assert not (inside & ~free).any()
    assert inside.sum() > 0.8 * free.sum()


def _survives(x: np.ndarray) -> np.ndarray:
    """Whether, in floats, one of many headings to turn to and keep is safe in a wind towards the disc."""
    kept = np.zeros(len(x), dtype=bool)
    for heading in np.linspace(-3.9, 3.9, 40):
        at, good, live = x.copy(), np.ones(len(x), dtype=bool), np.ones(len(x), dtype=bool)
        for _ in range(60):
            wind = -0.05 * np.sign(at[:, :2])
            turn = np.clip(-10 * (at[:, 2] - heading), -2, 2)
            ahead = np.stack([np.cos(at[:, 2]), np.sin(at[:, 2])], axis=1)
            at += 0.1 * np.column_stack([ahead + wind, turn])
            live &= (np.abs(at[:, :2]) < 4).all(axis=1)
            safe = (np.hypot(at[:, 0], at[:, 1]) >= 1) & (np.abs(at[:, 2]) <= 4)
            good &= ~live | safe
        kept |= good
    return kept


def test_the_shipped_union_holds_most_of_what_some_heading_survives(
    shipped: dict[str, Any],
) -> None:
    x = np.random.default_rng(0).uniform([-2.5, -2.5, -np.pi], [2.5, 2.5, np.pi], (2_500, 3))
    x = x[np.hypot(x[:, 0], x[:, 1]) >= 1]
    inside, survives = _inside(certificate_from_json(shipped), x), _survives(x)
    assert not (inside & ~survives).any()
    assert inside.sum() > 0.85 * survives.sum()
