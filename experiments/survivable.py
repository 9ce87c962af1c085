"""What share of the states that CartPole-v1 can survive does a shield hold, alone and with rollouts?

    python -m experiments.survivable shields/proved/cartpole_v1.json

States are sampled uniformly in ``|x| <= 2.4, |theta| <= 0.2094, |v| <= 2, |omega| <= 2``. One is
survivable if one of many random switching gains keeps it safe for 500 steps (a lower bound on what
can be survived). It is held if it lies in the proved set, or if one of a few plans leads there
within some steps, safe and in the model's ranges all the way. Float64, through the model's own
batch step.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nprl.env.plant import Plant
from nprl.model import Model
from nprl.shields.certificate import CertificateError
from nprl.shields.load import load_certificate
from nprl.shields.synthesis.plans import Rollouts, propose_plans

HALF = {"x": 2.4, "v": 2.0, "theta": 0.20943951023931953, "omega": 2.0}
"""Of the box in which states are sampled."""
WEIGHTS = {"x": (-3.0, 1.0), "v": (-2.0, 1.0), "theta": (1.0, 3.0), "omega": (-1.0, 1.5)}
"""The logarithms of a switching gain's coefficients are uniform in these intervals."""
Floats = NDArray[np.float64]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the shares; 0, or 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.survivable",
        description=__doc__.split("\n")[0],
        allow_abbrev=False,
    )
    parser.add_argument("certificate", type=Path, help="a shield of CartPole-v1")
    parser.add_argument("--states", type=int, default=20_000)
    parser.add_argument("--gains", type=int, default=200, help="switching gains for the reference")
    parser.add_argument("--horizon", type=int, default=500, help="steps that count as survival")
    parser.add_argument("--plans", type=int, default=6)
    parser.add_argument("--plan-steps", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    try:
        certificate = load_certificate(args.certificate)
        model = certificate.model
        if set(model.state_names) != set(HALF) or model.choices is None:
            raise ValueError(
                f"a shield of CartPole-v1 with its two actions is needed; got {model.name}"
            )
    except (ValueError, OSError, CertificateError) as error:
        print(f"survivable: {error}", file=sys.stderr)
        return 2
    rng = np.random.default_rng(args.seed)
    half = np.array([HALF[n] for n in model.state_names])
    x = rng.uniform(-half, half, (args.states, len(half)))
    began = time.process_time()
    alive = survivable(model, x, args.gains, args.horizon, rng)
    print(
        f"survivable: {alive.mean():.4f} of {len(x)} states, by {args.gains} gains, "
        f"{args.horizon} steps ({time.process_time() - began:.0f} s)"
    )
    x = x[alive]
    rollouts = Rollouts(certificate)
    held = rollouts.inside(x)
    print(f"in the proved set alone: {held.mean():.4f} of the survivable states")
    began = time.process_time()
    plans = propose_plans(certificate, args.plans, args.plan_steps, args.seed)
    print(f"{len(plans)} plans proposed ({time.process_time() - began:.0f} s)")
    for k, plan in enumerate(plans, 1):
        held[~held] = rollouts.led(plan, x[~held], args.plan_steps)
        print(f"with {k} plans of at most {args.plan_steps} steps: {held.mean():.4f}")
    return 0


def survivable(
    model: Model, x: Floats, gains: int, horizon: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Which states (N, 4) one of the random switching gains keeps safe for the horizon; shape (N,)."""
    plant = Plant(model)
    assert model.choices is not None
    left, right = (np.array([float(v) for v in c]) for c in model.choices)
    alive = np.zeros(len(x), dtype=bool)
    for _ in range(gains):
        gain = np.exp([rng.uniform(*WEIGHTS[n]) for n in model.state_names])
        index = np.flatnonzero(~alive)
        now = x[index]
        for _ in range(horizon):
            u = np.where((now @ gain >= 0)[:, None], right, left)
            now = plant.step_batch(now, u, np.empty((len(now), 0)))
            safe = plant.verdict_batch(now)[0]
            now, index = now[safe], index[safe]
            if not len(index):
                break
        alive[index] = True
    return alive


if __name__ == "__main__":
    sys.exit(main())
