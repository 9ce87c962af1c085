"""What the hints are worth: the raw induction step, handed to solvers, beside the checked proofs.

    python -m experiments.bench_solvers                        # a list of shipped certificates
    python -m experiments.bench_solvers --seconds 30 cruise pendulum_v1

Each goal ``backup/...`` of a shipped certificate becomes one formula of nonlinear real arithmetic:
the premises, and the negation of the conclusion, without proof tree. Z3 (its nonlinear solver) and
cvc5, where it is installed, each get it in a process that is killed at the limit; beside them
stands the time in which the checker verifies the same goal by its hints.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import z3

from nprl.lang.smt import to_z3
from nprl.lang.terms import variables
from nprl.report.tables import text_table
from nprl.shields.certificate import Certificate
from nprl.shields.checker import check_goal
from nprl.shields.cross import NoSolver, Other
from nprl.shields.goals import goals
from nprl.shields.load import load_certificate
from nprl.shields.sequent import Sequent

PROVED = Path(__file__).resolve().parent.parent / "shields" / "proved"
LIST = (
    *("suspension", "linear_cartpole", "lanekeeping", "platoon4", "biology", "selfdriving"),
    *("duffing", "pendulum", "pendulum_v1"),
)
COLUMNS = ["certificate", "n", "family", "rows", "checked, s", "Z3 raw", "cvc5 raw"]
ASK_Z3 = "import sys, z3\ns = z3.Solver()\ns.from_string(sys.stdin.read())\nprint(s.check())\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.bench_solvers", description=__doc__.split("\n")[0]
    )
    parser.add_argument("names", nargs="*", default=LIST, help="shipped certificates, or files")
    parser.add_argument("--seconds", type=float, default=30.0, help="for each solver and goal")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(argv)
    rows = []
    try:
        for name in args.names:
            rows.append(measured(name, args.seconds))
            print(f"{name}: {rows[-1][4:]}", file=sys.stderr, flush=True)
    except ValueError as error:
        print(f"bench_solvers: {error}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in rows], indent=1))
    else:
        print(text_table(COLUMNS, rows))
    return 0


def measured(name: str, seconds: float) -> list[str]:
    """One row: the induction step of a certificate, by its hints and raw."""
    file = Path(name) if name.endswith(".json") else PROVED / f"{name}.json"
    certificate = load_certificate(file)
    built = {g: s for g, s in goals(certificate).items() if g.startswith("backup/")}
    began = time.process_time()
    good = all(check_goal(g, s, certificate.proofs.get(g)).proved for g, s in built.items())
    took = time.process_time() - began
    texts = [raw(s) for s in built.values()]
    by_z3 = [ask_z3(t, seconds) for t in texts]
    by_cvc5 = [ask_cvc5(t, seconds) for t in texts]
    shield = certificate.shield
    return [
        *(file.stem, str(len(certificate.model.state)), shield.family, _rows(certificate)),
        *(f"{took:.2f}" if good else "not proved", worst(by_z3), worst(by_cvc5)),
    ]


def _rows(certificate: Certificate) -> str:
    return str(sum(map(len, certificate.shield.invariant)))


def raw(sequent: Sequent) -> str:
    """The sequent's negation as SMT-LIB 2: unsatisfiable where it holds; functions by their bounds."""
    terms = [*sequent.premises, *(c.term for a in sequent.alternatives for c in a)]
    at = {n: z3.Real(n) for n in sorted({v for t in terms for v in variables(t)})}
    lemmas: list[z3.BoolRef] = []
    solver = z3.Solver()
    for t in sequent.premises:
        solver.add(to_z3(t, at, lemmas) >= 0)
    for alternative in sequent.alternatives:
        values = [(to_z3(c.term, at, lemmas), c.strict) for c in alternative]
        solver.add(z3.Or([v <= 0 if strict else v < 0 for v, strict in values]))
    solver.add(lemmas)
    return f"(set-logic QF_NRA)\n{solver.to_smt2()}"


def ask_z3(text: str, seconds: float) -> str:
    """Z3's answer and time, in a process that is killed at the limit."""
    began = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, "-c", ASK_Z3],
            input=text, capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"> {seconds:g} s"
    return f"{done.stdout.strip() or 'failed'}, {time.perf_counter() - began:.1f} s"


def ask_cvc5(text: str, seconds: float) -> str:
    """The answer of cvc5 and its time; a dash where it is not installed."""
    try:
        with Other(seconds) as other:
            began = time.perf_counter()
            answer = other.ask(text)
            took = time.perf_counter() - began
    except NoSolver:
        return "-"
    if answer not in ("sat", "unsat"):
        return f"> {seconds:g} s" if took >= 0.9 * seconds else answer[:30]
    return f"{answer}, {took:.1f} s"


def worst(answers: Sequence[str]) -> str:
    """The answer of several goals: one that is no proof, if there is one."""
    return next((a for a in answers if not a.startswith("unsat")), answers[-1])


if __name__ == "__main__":
    sys.exit(main())
