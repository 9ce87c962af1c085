"""Measure a model of a simulator: ``python -m experiments.measure --env InvertedPendulum-v5``.

    python -m experiments.measure --env InvertedPendulum-v5 --out envs/inverted_pendulum_v5.json
    python -m experiments.measure --env Pendulum-v1 --known my.json

``--known`` is a model (a .json file, or ``module:NAME``) that states coordinates, box of analysis,
starts, safe set, and what is known of the step without data. Left out, it is `STATED` beside the
binding of the environment. The simulator is sampled over that box, a sparse polynomial correction
is fitted, its residual is bounded on held-out data, and the model with that disturbance is written.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import gymnasium as gym

from nprl.discover.fit import monomials
from nprl.discover.measure import Measured, Settings, measure
from nprl.discover.sampling import Simulator
from nprl.env.binding import BINDINGS
from nprl.env.source import read_model
from nprl.env.state import read_state, write_state
from nprl.env.task import load_task
from nprl.files import write_atomic
from nprl.model import Model
from nprl.report.tables import text_table

DEGREE = 3
SIMULATORS = ("gymnasium", "mujoco")


def measured(env_id: str, known: Model, settings: Settings, degree: int) -> Measured:
    """The model of ``env_id`` that is measured over the box of ``known``.

    Raises:
        ValueError: for an unknown id, an environment whose state cannot be read, or a model that
            does not fit it.
    """
    task = load_task(env_id)
    env = gym.make(task.env_id, **task.kwargs)
    env.reset(seed=settings.seed)
    if len(read_state(env)) != len(known.state):
        raise ValueError(
            f"{known.name} has {len(known.state)} state coordinates, {env_id} has "
            f"{len(read_state(env))}"
        )
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in SIMULATORS)
    dictionary = monomials([*known.state_names, *known.action_names], degree)
    simulator = Simulator(env, read_state, write_state)
    return measure(simulator, known, dictionary, settings, f"{env_id} ({versions})")


def report(found: Measured, seconds: float) -> str:
    """What was fitted and how far it is off, in a table and a sentence."""
    r, model = found.residual, found.model
    rows = [
        [c.name, str(terms), f"{seen:.3g}", f"{sought:.3g}", f"{float(bound):.3g}", c.unit]
        for c, terms, seen, sought, bound in zip(
            model.state, found.terms, r.seen, r.sought, r.bound, strict=True
        )
    ]
    head = ["coordinate", "terms", "held-out error", "error sought", "bound", "unit"]
    return (
        f"{text_table(head, rows)}\n{model.provenance}\n"
        f"N = {r.held_out}, eps = {r.eps:.3g}, beta = {r.beta:.3g}, inflation "
        f"{r.inflation:g}; {seconds:.0f} s of processor time"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write, report; 0, or 2 for bad input."""
    default = Settings()
    parser = argparse.ArgumentParser(
        prog="python -m experiments.measure", description=__doc__.split("\n")[0], allow_abbrev=False
    )
    parser.add_argument("--env", required=True, help="the environment's id")
    parser.add_argument("--known", help="the model without data: a .json file or module:NAME")
    parser.add_argument(
        "--out", type=Path, help="the measured model's file (default: measured.json)"
    )
    parser.add_argument("--degree", type=int, default=DEGREE, help="of the dictionary's monomials")
    parser.add_argument(
        "--tolerance", type=float, default=default.tolerance, help="of half a range"
    )
    parser.add_argument("--train", type=int, default=default.train)
    parser.add_argument("--held-out", type=int, default=default.held_out)
    parser.add_argument("--beta", type=float, default=default.beta)
    parser.add_argument("--inflation", type=float, default=default.inflation)
    parser.add_argument("--seed", type=int, default=default.seed)
    args = parser.parse_args(argv)
    settings = Settings(
        args.train, args.held_out, args.tolerance, args.beta, args.inflation, args.seed
    )
    began = time.process_time()
    try:
        known = args.known
        if known is None:
            if args.env not in BINDINGS:
                raise ValueError(f"{args.env} has no binding: say --known, the model without data")
            known = BINDINGS[args.env].partition(":")[0] + ":STATED"
        found = measured(args.env, read_model(known), settings, args.degree)
        out = args.out or Path("measured.json")
        write_atomic(out, json.dumps(found.model.to_json(), indent=1) + "\n")
    except (ValueError, OSError) as error:
        print(f"measure: {error}", file=sys.stderr)
        return 2
    print(report(found, time.process_time() - began))
    print(f"written: {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
