"""How many of a teacher's answers a program needs, and a network: ``python -m experiments.data_efficiency``.

Both are fitted to the same answers of the same public teacher, in states that it met itself (behaviour
cloning), without any return. Which program, and when a network stops, is decided by the loss on a fifth
of these answers that is held out. The networks: one of the teacher's own shape, and a small one, so
that having few parameters is not mistaken for being a program. All play the seeds of the report.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from experiments.options import Parser
from experiments.targets import REPORT
from experiments.teachers import oracles, teacher_of
from nprl.distill.dagger import label
from nprl.distill.dataset import Dataset, imitation_loss
from nprl.distill.fitters import FITTERS
from nprl.distill.rollout import Floats, Rollouts, act_of, blank
from nprl.env.policy import Policy
from nprl.env.task import Task, load_task
from nprl.evaluate import ci95, evaluate
from nprl.files import write_atomic
from nprl.report.picture import BLUE, GREEN, INK, ORANGE, PALE, figure, png
from nprl.report.tables import markdown_table, text_table
from nprl.search.grammar import Grammar

ENVS = ("LunarLander-v3", "LunarLanderContinuous-v3", "Hopper-v5", "HalfCheetah-v5")
STATES = (30, 100, 300, 1000, 3000, 10_000)
KINDS = ("affine", "affine-trees")
"""The fitters of programs that compete."""
WHOLE, SMALL = (64, 64), (8,)
"""Hidden units of the networks; they are of tanh."""
HELD_OUT, UPDATES, PATIENCE, BATCH, RATE = 5, 4000, 10, 64, 1e-3
EPISODES, FIRST = 50, 2_500_000
"""Episodes of each policy on the report's seeds; where the seeds of the teacher's own begin."""
COLUMNS = ("environment", "states", "student", "parameters", "return", "95 %", "teacher")


@dataclass(frozen=True, slots=True)
class Row:
    """Mean return over all draws of so many states; the interval is of the draws' means."""

    env: str
    states: int
    student: str
    parameters: float
    mean: float
    ci95: tuple[float, float]
    teacher: float


class Cloned:
    """A network as a policy: the mean action, or the likeliest choice."""

    def __init__(self, net: torch.nn.Module, mean: Floats, scale: Floats, discrete: bool) -> None:
        """``mean`` and ``scale`` (d,) normalise the observations."""
        self._net, self._mean, self._scale, self._discrete = net, mean, scale, discrete

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], Any]:
        """As Stable-Baselines3's."""
        x = (np.asarray(observation, dtype=np.float64) - self._mean) / self._scale
        with torch.no_grad():
            y = self._net(torch.as_tensor(x, dtype=torch.float32)).numpy()
        return (y.argmax(axis=-1) if self._discrete else np.clip(y, -1.0, 1.0)), state


def network(x: Floats, actions: NDArray[Any], hidden: Sequence[int], seed: int) -> Policy:
    """A network fitted to these actions, (n, m) or choices (n,); the last fifth tells when to stop."""
    torch.manual_seed(seed)
    discrete = actions.ndim == 1
    mean, scale = x.mean(axis=0), np.where(x.std(axis=0) < 1e-6, 1.0, x.std(axis=0))
    outputs = int(actions.max()) + 1 if discrete else actions.shape[1]
    layers: list[torch.nn.Module] = []
    last = x.shape[1]
    for width in hidden:
        layers += [torch.nn.Linear(last, width), torch.nn.Tanh()]
        last = width
    net = torch.nn.Sequential(*layers, torch.nn.Linear(last, outputs))
    loss: Callable[..., torch.Tensor] = torch.nn.MSELoss()
    goal = torch.as_tensor(actions, dtype=torch.float32)
    if discrete:
        loss, goal = torch.nn.CrossEntropyLoss(), torch.as_tensor(actions, dtype=torch.long)
    seen = torch.as_tensor((x - mean) / scale, dtype=torch.float32)
    kept = len(x) - max(1, len(x) // HELD_OUT)
    adam = torch.optim.Adam(net.parameters(), RATE)
    best, least, since = copy.deepcopy(net), np.inf, 0
    for update in range(UPDATES):
        rows = torch.randint(kept, (min(BATCH, kept),))
        adam.zero_grad()
        loss(net(seen[rows]), goal[rows]).backward()
        adam.step()
        if update % 50 == 49:
            with torch.no_grad():
                held = float(loss(net(seen[kept:]), goal[kept:]))
            since += 1
            if held < least:
                best, least, since = copy.deepcopy(net), held, 0
            if since > PATIENCE:
                break
    return Cloned(best, mean, scale, discrete)


def parameters(policy: Policy) -> int:
    """The numbers of a program or of a network, the normaliser's included."""
    if isinstance(policy, Cloned):
        return sum(p.numel() for p in policy._net.parameters()) + 2 * len(policy._mean)
    return int(getattr(policy, "constants", 0))


def students(task: Task, teacher: Policy, states: int, seed: int) -> dict[str, Policy]:
    """What is fitted to so many of the teacher's answers."""
    rng = np.random.default_rng(seed)
    first = FIRST + 1000 * seed
    drawn: list[Floats] = []
    while sum(map(len, drawn)) < 4 * states:  # more than are answered: states far apart
        rollouts = Rollouts(task, range(first, first + 5))
        seen = rollouts.run(act_of(teacher), record=True).observations
        rollouts.close()
        assert seen is not None
        drawn.append(seen)
        first += 5
    every = np.concatenate(drawn)
    x = every[rng.choice(len(every), states, replace=False)]
    discrete = task.make().action_space.__class__.__name__ == "Discrete"
    actions = np.asarray(teacher.predict(x, deterministic=True)[0])
    template = blank(task, scores=discrete)
    data = label(template, teacher, x)
    kept = len(x) - max(1, len(x) // HELD_OUT)
    fitted, held = _part(data, slice(kept)), _part(data, slice(kept, None))
    names = tuple(i.name for i in template.inputs)
    grammar = Grammar(names, max_nodes=10_000, scores=discrete)
    kinds = KINDS[:1] if discrete else KINDS  # scores are no trees
    programs = [p for kind in kinds for p in FITTERS[kind](template, fitted, grammar, seed)]
    return {
        "program": min(programs, key=lambda p: (imitation_loss(p, held), p.nodes)),
        "network": network(x, actions, WHOLE, seed),
        "small network": network(x, actions, SMALL, seed),
    }


def _part(data: Dataset, rows: slice) -> Dataset:
    weights = None if data.weights is None else data.weights[rows]
    return Dataset(data.observations[rows], data.actions[rows], weights)


def measured(env: str, states: int, seeds: int) -> list[Row]:
    """A row for each student."""
    torch.set_num_threads(1)
    task = load_task(env).unbound()
    named = teacher_of(f"ppo-{env}", task)
    assert named is not None
    report = range(REPORT, REPORT + EPISODES)
    best = evaluate(task, named.policy, report, timed=False).mean
    returns: dict[str, list[Floats]] = {}
    sizes: dict[str, list[int]] = {}
    for seed in range(seeds):
        for name, policy in students(task, named.policy, states, seed).items():
            returns.setdefault(name, []).append(evaluate(task, policy, report, timed=False).returns)
            sizes.setdefault(name, []).append(parameters(policy))
    return [
        Row(
            *(env, states, name, float(np.mean(sizes[name]))),
            *(float(np.mean(some)), ci95(np.asarray([r.mean() for r in some])), best),
        )
        for name, some in returns.items()
    ]


def draw(rows: Sequence[Row]) -> Figure:
    """Return against the number of states, a panel for each environment."""
    envs = list(dict.fromkeys(r.env for r in rows))
    drawn, axes = figure(4.2 * len(envs), 3.6, len(envs))
    colours = {"program": BLUE, "network": ORANGE, "small network": GREEN}
    for ax, env in zip(axes, envs, strict=True):
        for name, colour in colours.items():
            some = [r for r in rows if r.env == env and r.student == name]
            x, y = [r.states for r in some], [r.mean for r in some]
            ax.fill_between(
                x, [r.ci95[0] for r in some], [r.ci95[1] for r in some], color=colour, alpha=0.15
            )
            ax.plot(x, y, "o-", color=colour, ms=4, lw=1.4, label=name)
        seen = [v for r in rows if r.env == env for v in (r.mean, r.teacher)]
        spare = 0.15 * (max(seen) - min(seen))  # intervals of few draws may be far wider
        ax.set_ylim(min(seen) - spare, max(seen) + spare)
        ax.axhline(next(r.teacher for r in rows if r.env == env), color=INK, lw=0.9, ls="--")
        ax.set_xscale("log")
        ax.set_title(env, fontsize=10)
        ax.set_xlabel("states that the teacher answered", fontsize=9)
        ax.grid(color=PALE, lw=0.8)
    axes[0].set_ylabel("mean return (dashed: the teacher)", fontsize=9)
    axes[0].legend(fontsize=9)
    return drawn


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 2 for bad input."""
    parser = Parser(prog="python -m experiments.data_efficiency", allow_abbrev=False)
    known = [e for e in ENVS if f"ppo-{e}" in oracles()]
    parser.add_argument("--env", nargs="+", choices=known, default=known, metavar="ID")
    parser.add_argument("--states", type=int, nargs="+", default=list(STATES))
    parser.add_argument("--seeds", type=int, default=5, help="draws of states")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/data_efficiency"))
    parser.add_argument("--markdown", action="store_true", help="print the table of the docs")
    args = parser.parse_args(argv)
    if min(args.states) < 10 or args.seeds < 3:
        parser.error("--states: 10 or more each; --seeds: 3 or more")
    work = (joblib.delayed(measured)(e, n, args.seeds) for e in args.env for n in args.states)
    rows: list[Row] = []
    for some in joblib.Parallel(args.jobs, return_as="generator")(work):
        rows += some
        print(f"{some[0].env}, {some[0].states} states: done", file=sys.stderr, flush=True)
        write_atomic(args.out / "rows.json", json.dumps([asdict(r) for r in rows], indent=1))
    table = markdown_table if args.markdown else text_table
    print(table(COLUMNS, [_cells(r) for r in rows]))
    (args.out / "data_efficiency.png").write_bytes(png(draw(rows)))
    return 0


def _cells(r: Row) -> list[str | int | float | None]:
    low, high = r.ci95
    return [
        *(r.env, r.states, r.student, f"{r.parameters:.0f}", r.mean),
        *(f"[{low:.4g}, {high:.4g}]", r.teacher),
    ]


if __name__ == "__main__":
    sys.exit(main())
