"""The main job: train, distil, search, tune, synthesise, prove, evaluate, report.

    python -m experiments.pipeline --env nprl/Pendulum-v0
    python -m experiments.pipeline --model my_model.json --seed 1 --out runs/mine
    python -m experiments.pipeline --env Pendulum-v1 --quick

It leaves the folder ``runs/<env>/<name>/``: ``summary.json`` has the numbers, ``report.html`` the
pictures, ``program.json`` and ``certificate.json`` are what is deployed. ``--resume`` goes on after
an interruption. The shield is proved first, since it depends on the model alone: with
``--shielded-training`` the network already learns behind it.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import itertools
import json
import platform
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import z3

from experiments.certified import shipped_certificate
from experiments.options import Parser
from experiments.run_folder import RunError, RunFolder
from nprl.distill.budget import Budget
from nprl.distill.learn import learn_program
from nprl.env.actions import Actions
from nprl.env.plant import Plant
from nprl.env.sampling import Uniform
from nprl.env.task import Task, load_task
from nprl.evaluate import Evaluation, Policy, evaluate
from nprl.files import write_atomic
from nprl.lang import exact
from nprl.model import Model
from nprl.program import Program, load_program
from nprl.report.page import Pictures, report_page
from nprl.report.picture import png, svg
from nprl.report.plots import draw_invariant, draw_learning, rollout
from nprl.report.proofs import assumptions, volumes
from nprl.report.tables import show, text_table
from nprl.report.tree import draw_program
from nprl.shields.certify_policy import PolicyOutcome, check_policy
from nprl.shields.checker import Verdict, check
from nprl.shields.load import load_certificate
from nprl.shields.records import record_of
from nprl.shields.shield import Filter
from nprl.shields.synthesis.synthesize import synthesize
from nprl.train import TrainConfig, load_teacher, train

FIRST_SEED = 1_000_000
"""Of the fresh episodes that are reported: nothing was trained, tuned or chosen on them."""
PACKAGES = ("nprl", "torch", "stable-baselines3", "gymnasium", "numpy", "scipy", "z3-solver")
POLICIES = ("neural", "program", "random")
NOT_SYNTHESISED = (
    "the certificate is the one shipped with the package: this run checked it and did not "
    "synthesise (--quick)"
)


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done: of a whole run, or of a quick one, with a model of ours or without."""

    episodes: int
    learn: Budget
    synthesis_s: float
    policy_s: float
    cells: int

    @classmethod
    def of(cls, task: Task, quick: bool) -> Effort:
        """The effort for a task; a foreign environment is stepped one by one, so gets less."""
        some = min(200, max(20, 40_000 // task.horizon))
        learn = Budget.of(task.model is not None, quick)
        if quick:
            return cls(some if task.is_own else 10, learn, 15.0, 4.0, 20_000)
        return cls(1000 if task.is_own else 200, learn, 60.0, 60.0, 1_500_000)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the main job; 0 when it is done, 1 for a failure, 2 for bad input, 130 for Ctrl-C."""
    parser = Parser(
        prog="python -m experiments.pipeline",
        description=__doc__.split("\n")[0],
        allow_abbrev=False,
    )
    named = parser.add_mutually_exclusive_group(required=True)
    named.add_argument("--env", help="an environment's id, such as nprl/Pendulum-v0")
    named.add_argument("--model", help="your own system: a model's .json, or a .py with MODEL")
    parser.add_argument(
        "--teacher", metavar="ZIP", help="a trained SB3 policy, instead of training"
    )
    parser.add_argument("--shielded-training", action="store_true", help="train behind the shield")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="the folder (default: runs/<env>/seed<N>)")
    parser.add_argument("--resume", action="store_true", help="go on after the last stage done")
    parser.add_argument("--quick", action="store_true", help="a minute: shows that all works")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    given = [a for a in (sys.argv[1:] if argv is None else argv) if a != "--resume"]
    command = ["python", "-m", "experiments.pipeline", *given]
    z3.set_param("ctrl_c", False)  # else Z3 takes Ctrl-C for itself, and the answer is "unknown"
    try:
        Pipeline(args, shlex.join(command)).run()
    except KeyboardInterrupt:
        print("pipeline: interrupted; the same command with --resume goes on", file=sys.stderr)
        return 130
    except Exception as error:  # whatever an environment, a solver or a learner raises: one line
        if args.debug:
            raise
        known = isinstance(error, ValueError | OSError | ImportError | gym.error.Error)
        kind = "" if known else f"{type(error).__name__}: "
        remedy = "" if known else "; --debug shows where, --resume goes on after the last stage"
        print(f"pipeline: {kind}{' '.join(str(error).split())}{remedy}", file=sys.stderr)
        return 2 if known else 1
    return 0


class Pipeline:
    """One run: its task, its folder, and what its stages have made so far."""

    def __init__(self, args: argparse.Namespace, command: str) -> None:
        """Find the task and open the folder.

        Raises:
            ValueError: one line, for an unknown id, a seed below 0, a folder of no use.
        """
        if not 0 <= args.seed < 2**32:
            raise ValueError(f"--seed is an integer from 0 to 2**32 - 1; got {args.seed}")
        self.args, self.command = args, command
        self.task = load_task(args.env, args.model)
        self.effort = Effort.of(self.task, args.quick)
        name = f"seed{args.seed}" + ("-quick" if args.quick else "")
        plain = re.sub(r"[^A-Za-z0-9_-]+", "-", self.task.name).strip("-") or "model"
        out: Path = args.out or Path("runs") / plain / name
        model = self.task.model
        self.digest = None if model is None else model.digest()
        teacher = None
        if args.teacher is not None:
            teacher = _digest_of(Path(args.teacher))
            load_teacher(args.teacher, self.task)  # what cannot be used is told before the work
        config = {
            "env": self.task.name,
            "model_digest": self.digest,
            "seed": args.seed,
            "quick": args.quick,
            "shielded_training": args.shielded_training,
            "teacher": teacher,
        }
        self.folder = RunFolder(out, config, args.resume)
        self.path = self.folder.path
        write_atomic(self.path / "command.txt", command + "\n")
        self.folder.write_json(
            "system.json", {"env": self.task.name, "model": model and model.to_json()}
        )

    def run(self) -> None:
        """Every stage, then the report."""
        stage = self.folder.stage
        said("1/5 the shield: synthesis and proof")
        proof = stage("prove", self.prove, ["certificate.json"])
        self.filter = self._filter(proof)
        said("2/5 the teacher")
        taught = stage("train", self.train, ["policy.zip", "normaliser.json", "progress.csv"])
        self.teacher = load_teacher(self.path / "policy.zip", self.task, trusted=True)
        said("3/5 the program: distil, search, tune")
        learned = stage("learn", self.learn, ["program.json", "program.txt"])
        self.program = load_program(self.path / "program.json")
        said("4/5 the program without its shield")
        policy = stage("policy", self.check_program, ["program_certificate.json"])
        said(f"5/5 evaluation on {self.effort.episodes} fresh episodes each")
        evaluated = stage("evaluate", self.evaluate)
        walls = [r["wall_s"] for r in (proof, taught, learned, policy, evaluated)]
        summary = {
            "env": self.task.name,
            "seed": self.args.seed,
            "versions": {"python": platform.python_version()}
            | {name: metadata.version(name) for name in PACKAGES},
            "model_digest": self.digest,
            "policies": evaluated["policies"],
            "program": {
                "text": str(self.program),
                "nodes": self.program.nodes,
                "constants": self.program.constants,
                "certified": policy["certified"],
            },
            "proof": proof["proof"],
            "wall_s": round(sum(walls), 3),
        }
        notes = proof["notes"] + learned["notes"]
        if self.task.is_own and self.task.model is not None and not self.task.model.unsafe_reward:
            notes.append(
                "The model has no unsafe_reward: leaving the safe set costs nothing, so nothing "
                "taught the policies to stay inside."
            )
        page = report_page(
            summary, self.pictures(), proof["goals"], policy["sense"], notes, self.command
        )
        write_atomic(self.path / "report.html", page)
        self.folder.write_json("summary.json", summary)
        self.tell(summary, policy["sense"], notes)

    def prove(self) -> dict[str, Any]:
        """Synthesise a shield (quick: take the shipped one), and have the checker read its file."""
        model, nothing = self.task.model, dict.fromkeys(_PROOF)
        nothing |= {"engines": [], "assumptions": []}
        if model is None:
            note = f"no_model: {self.task.name} has no model, so there is no shield and no proof."
            said(note)
            return {"proof": {**nothing, "verdict": "no_model"}, "goals": [], "notes": [note]}
        path, taken = self.path / "certificate.json", assumptions(model)
        shipped = shipped_certificate(model) if self.args.quick else None
        if shipped is not None:
            write_atomic(path, shipped.read_bytes())
            taken, synthesis_s = [*taken, NOT_SYNTHESISED], None
        else:
            outcome = synthesize(model, self.effort.synthesis_s, self.args.seed, said)
            synthesis_s = round(outcome.synthesis_s, 3)
            if outcome.certificate is None:
                proof = {**nothing, "verdict": "unknown", "synthesis_s": synthesis_s}
                note = f"No shield was proved: {unsafe_start(model) or outcome.reason}."
                said(note)
                return {"proof": proof, "goals": [], "notes": [note]}
            outcome.certificate.save(path)
        certificate = load_certificate(path)
        began = time.perf_counter()
        report = check(certificate, timeout=120)
        check_s = round(time.perf_counter() - began, 3)
        if report.verdict is Verdict.VERIFIED:  # so that running it does not prove it once more
            record, content = record_of(path.read_bytes())
            with contextlib.suppress(OSError):
                write_atomic(record, json.dumps(content) + "\n")
        shares = volumes(certificate, self.effort.cells)
        proof = {
            "verdict": report.verdict.value,
            "family": certificate.shield.family,
            "engines": list(report.engines),
            "assumptions": taken,
            "synthesis_s": synthesis_s,
            "check_s": check_s,
            "volume_safe": shares.of_safe,
            "volume_kernel": shares.of_kernel,
        }
        goals = [
            [r.goal, "proved" if r.proved else r.reason, ", ".join(r.engines), r.leaves, r.seconds]
            for r in report.results
        ]
        return {"proof": proof, "goals": goals, "notes": []}

    def train(self) -> dict[str, Any]:
        """The teacher: trained, or read from the file that was given."""
        if self.args.teacher is not None:
            given = load_teacher(self.args.teacher, self.task, trusted=True)
            given.save(self.path / "policy.zip")
            return {}
        shield = self.filter if self.args.shielded_training else None
        if self.args.shielded_training and shield is None:
            raise RunError(
                f"{self.task.name}: no proved shield to train behind; leave --shielded-training out"
            )
        config = TrainConfig.for_task(self.task, self.args.quick, self.args.seed)
        train(self.task, self.path, config, shield, resume=self.args.resume)
        return {}

    def learn(self) -> dict[str, Any]:
        """The program: what DAgger, the fits, the enumeration and CMA-ES find best."""
        found = learn_program(
            self.task, self.teacher, self.effort.learn, self.args.seed, progress=said
        )
        found.program.save(self.path / "program.json")
        best = found.best
        notes = [
            f"The program is the best of {found.tried} that were fitted or enumerated; it comes "
            f"from {_ORIGINS.get(best.origin, f'a {best.origin}')}. On the episodes that chose it "
            f"(others than those below) it returned {best.selection_return:.4g}."
        ]
        if found.cut:
            notes.append(
                f"The clock cut {', '.join(found.cut)} short (the machine was far slower than "
                "expected): the same seed may give another program elsewhere."
            )
        return {"notes": notes}

    def check_program(self) -> dict[str, Any]:
        """Whether the program is safe alone: proved, refuted by a run, or neither."""
        if self.filter is None:
            return {"certified": None, "sense": "Without a proved shield nothing is said of it."}
        report = check_policy(self.filter.certificate, self.program, self.effort.policy_s)
        if report.own is not None:
            report.own.save(self.path / "program_certificate.json")
        known = {PolicyOutcome.CERTIFIED: True, PolicyOutcome.NEEDS_SHIELD: False}
        sense = f"Without its shield: {report.outcome.value}: {report.sense.rstrip('.')}."
        return {"certified": known.get(report.outcome), "sense": sense}

    def evaluate(self) -> dict[str, Any]:
        """Six policies (three where nothing is proved) on the same seeds."""
        seeds = range(FIRST_SEED, FIRST_SEED + self.effort.episodes)
        policies: dict[str, Any] = dict(
            zip(POLICIES, (self.teacher, self.program, "random"), strict=True)
        )
        rows = []
        for shield in (None, self.filter) if self.filter is not None else (None,):
            for name, policy in policies.items():
                result = evaluate(self.task, policy, seeds, shield)
                extra = 0.0 if shield is None else shield_us(shield, policy)
                rows.append(_row(name, result, shield is not None, extra))
                said(f"{rows[-1]['name']}: {rows[-1]['return']:.4g}")
        return {"policies": rows}

    def pictures(self) -> Pictures:
        """The pictures, also saved as PNG files; the same run draws the same ones."""
        found = {"tree": draw_program(self.program), "learning": None, "invariant": None}
        log = self.path / "progress.csv"
        if log.exists() and self.args.teacher is None:
            with log.open(newline="", encoding="utf-8") as file:
                found["learning"] = draw_learning(list(csv.DictReader(file)))
        if self.filter is not None:
            model, shield = self.filter.model, self.filter
            act = self._program_units(model)
            steps = min(self.task.horizon, 200)
            paths = {
                "the program, bare": rollout(model, act, None, steps=steps),
                "random actions, shielded": rollout(
                    model, _random(model), lambda x, u: shield.filter_batch(x, u)[0], 8, steps
                ),
            }
            found["invariant"] = draw_invariant(shield.certificate, paths)
        texts = {}
        for name, drawn in found.items():
            if drawn is not None:
                texts[name] = svg(drawn, f"{self.task.name} {name}")
                write_atomic(self.path / f"{name}.png", png(drawn))
        return Pictures(**texts)

    def tell(self, summary: dict[str, Any], sense: str, notes: Sequence[str]) -> None:
        """The results on stdout: tables, then where the files are and what repeats the run."""
        columns = ["policy", "return", "ci95", "violations", "overrides/1000", "us/step"]
        rows = []
        for p in summary["policies"]:
            interval = " .. ".join(show(end) for end in p["ci95"])
            rows.append([p["name"], p["return"], interval, p["violations"]])
            rows[-1] += [p["overrides_per_1000"], p["us_per_step"]]
        proof = summary["proof"]
        print(text_table(columns, rows))
        print("\n" + summary["program"]["text"])
        print(f"shield: {proof['verdict']}" + (f" ({proof['family']})" if proof["family"] else ""))
        if proof["volume_kernel"] is not None:
            print(
                f"invariant: {100 * proof['volume_kernel']:.1f} % of the viability kernel or more"
            )
        print(f"program: {sense}", *notes, sep="\n")
        print(f"\nfiles:  {self.path}/ (summary.json, report.html)\nrepeat: {self.command}")

    def _filter(self, proof: dict[str, Any]) -> Filter | None:
        if proof["proof"]["verdict"] != "verified":
            return None
        return Filter.from_file(self.path / "certificate.json")

    def _program_units(self, model: Model) -> Callable[[Any], Any]:
        actions, program = Plant(model).actions, self.program
        return lambda obs: actions.to_units_batch(program.predict(obs)[0])


_ORIGINS = {
    "dagger": "imitation (DAgger)",
    "affine": "an affine fit",
    "cubic": "a cubic fit",
    "search": "the enumeration",
}
_PROOF = (
    *("verdict", "family", "engines", "assumptions", "synthesis_s", "check_s"),
    *("volume_safe", "volume_kernel"),
)


def unsafe_start(model: Model) -> str:
    """A corner of the initial box that is not safe, in words, or "": then nothing can be proved."""
    for corner in itertools.product(*(model.init[n] for n in model.state_names)):
        at = dict(zip(model.state_names, corner, strict=True))
        if exact.holds(model.safe, at) is False:
            where = ", ".join(f"{name} = {value}" for name, value in at.items())
            return f"the initial state {where} is not safe: narrow init, or widen safe"
    return ""


def shield_us(shield: Filter, policy: Policy | str, count: int = 200) -> float:
    """Microseconds of one call of the shield, on what ``policy`` proposes at initial states."""
    model, plant, draw = shield.model, Plant(shield.model), np.random.default_rng(0)
    start = Uniform([model.init[n] for n in model.state_names], model.arithmetic.state)
    x = start.place(draw.random((count, start.dim)))
    if isinstance(policy, str):
        units = _random(model)(x)
    else:
        seen = plant.observe_batch(x)
        if not isinstance(policy, Program):
            seen = seen.astype(np.float32)
        units = plant.actions.to_units_batch(policy.predict(seen, deterministic=True)[0])
    pairs = list(zip(x.tolist(), units.tolist(), strict=True))
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for state, action in pairs:
            shield.filter(state, action)
        best = min(best, time.perf_counter() - began)
    return 1e6 * best / count


def _random(model: Model) -> Callable[[Any], Any]:
    draw = np.random.default_rng(1)
    actions = Actions(model)  # its float64 bounds lie inside the exact ones
    low, high = actions.low, actions.high
    table = None if model.choices is None else np.array(model.choices, dtype=np.float64)

    def act(x: Any) -> Any:
        if table is not None:
            return table[draw.integers(len(table), size=len(x))]
        return low + (high - low) * draw.random((len(x), len(low)))

    return act


def _row(name: str, result: Evaluation, shielded: bool, extra_us: float) -> dict[str, Any]:
    return {
        "name": f"{name}, shielded" if shielded else name,
        "return": result.mean,
        "ci95": list(result.ci95),
        "episodes": result.episodes,
        "violations": result.violations,
        "overrides_per_1000": result.overrides_per_1000,
        "us_per_step": round(result.us_per_step + extra_us, 3),
    }


def _digest_of(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; give a zip of Stable-Baselines3") from None


def said(text: str) -> None:
    """Progress, on stderr."""
    print(f"  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
