"""What a certificate says, in words: its theorem, its goals, and what they rest on."""

from __future__ import annotations

import platform
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from importlib import resources

from nprl.flow.words import continuous
from nprl.lang.native import compiler
from nprl.lang.terms import Formula, Pi, Term, Truth, Unary, UnaryOp, subterms
from nprl.lang.text import formula_to_text, number_to_text, to_text
from nprl.model import Coordinate, Model
from nprl.shields.certificate import Certificate
from nprl.shields.records import kernel_modules
from nprl.shields.sequent import conjunctive

GOALS = {
    "domain": "the claimed bounds on rounding cover what the checker derives; no operator meets "
    "the edge of its domain, nothing overflows, for all states in range, actions, disturbances",
    "witness/init": "the initial box is not empty",
    "witness/invariant": "the invariant I is not empty",
    "witness/action": "the set of actions is not empty",
    "witness/disturbance": "the set of disturbances is not empty",
    "witness/test": "some action passes the test in some state of I",
    "init": "every initial state is in I",
    "safe": "every state in I is safe",
    "ranges": "every state in I is within the model's ranges",
    "action": "in I the backup is one of the actions",
    "backup": "from any state in I that is not terminal, under the backup with its rounding, any "
    "disturbance and any rounding of the plant, the next state is in I",
    "test": "an action that passes the float64 test leads into I, whatever the disturbance and the "
    "rounding of the plant",
    "policy": "in the set, the program's action with its rounding passes the shield's float64 test",
}


def plain(text: str, longest: int | None = None) -> str:
    """``text`` on one line, what a terminal would act on escaped; the middle of a long one left out.

    Names, units and notes are free text: without this a file could print a verdict of its own.
    """
    line = " ".join(text.split())
    if longest is not None and len(line) > longest:
        line = f"{line[: longest // 2]} ... {line[-longest // 2 :]}"
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line
    )


def number(value: Fraction) -> str:
    """A number as a person reads it, exact: a short decimal, a fraction, or a float64."""
    text = number_to_text(value)
    if len(text) <= 12:
        return text
    if abs(value) < 10**300 and Fraction(float(value)) == value:
        return f"float64({float(value)!r})"
    return text


def theorem(certificate: Certificate) -> str:
    """What a VERIFIED certificate proves, for the model at hand, and what stands beside it."""
    model, rounding = certificate.model, certificate.rounding
    starts = ", ".join(
        f"{c.name} in [{number(model.init[c.name][0])}, {number(model.init[c.name][1])}]"
        + (f" {plain(c.unit)}" if c.unit else "")
        for c in model.state
    )
    time, open_time = continuous(model)
    lines = [
        f"Theorem for {plain(model.name)} (model {model.digest()[:16]}):",
        f"  for every initial state: {starts};",
        f"  every disturbance: {disturbance_in_words(model)};",
        "  every policy, for ever, with the shield in charge:",
        f"  at each sampling instant{_period(model)} the state is in I, hence in S.",
        *_plans(certificate),
        f"  S, {openness(model)}: {formula_to_text(model.safe)}",
        f"  I, closed: {shape(certificate)}",
        f"  actions: {actions_in_words(model)}",
        f"  plant: {_arithmetic(model)}; the next state is off the model's real value by at most",
        "    " + ", ".join(f"{n}: {float(e):.3g}" for n, e in rounding.plant.items()),
        f"  integrator: {plain(model.integrator)}; "
        f"provenance of the model: {plain(model.provenance)}",
        *(f"  {plain(line)}" for line in time),
        f"Not proved: {open_time}; that the plant is this model; starts",
        "  or disturbances outside the stated sets; hardware, operating system, Python, Z3.",
    ]
    if not isinstance(model.terminal, Truth):
        lines.insert(-2, f"  terminal, absorbing: {formula_to_text(model.terminal)}")
    if model.notes:
        lines.append(f"Notes of the model: {plain(model.notes)}")
    return "\n".join(lines)


def _plans(certificate: Certificate) -> list[str]:
    """What the theorem says of plans, where there are some."""
    plans = certificate.shield.plans
    if plans is None:
        return []
    count = "1 program" if len(plans.policies) == 1 else f"{len(plans.policies)} programs"
    return [
        "  With plans: S is kept by I or by a committed plan. Where the state is not in I it is in",
        f"  the tube of a plan of at most {plans.steps} steps ({count}), which lies in S and ends in I.",
    ]


def openness(model: Model) -> str:
    """Whether the safe set's comparisons are strict: open, closed, or some of both."""
    literals = [strict for clause in conjunctive(model.safe) for _, strict in clause]
    if not literals or not any(literals):
        return "closed as stated"
    return "open as stated" if all(literals) else "partly open as stated"


def shape(certificate: Certificate) -> str:
    """The family of the invariant, its parts and rows."""
    parts = certificate.shield.invariant
    rows = " + ".join(str(len(p)) for p in parts)
    name = plain(certificate.shield.family)
    plural = "row" if rows == "1" else "rows"
    return f"{name}, {rows} {plural}" + (f" in {len(parts)} parts" if len(parts) > 1 else "")


def _coordinate(c: Coordinate) -> str:
    return f"{c.name} in [{number(c.low)}, {number(c.high)}]" + (
        f" {plain(c.unit)}" if c.unit else ""
    )


def disturbance_in_words(model: Model) -> str:
    """The bounds of the disturbance."""
    if not model.disturbance:
        return "there is none"
    ends = ", ".join(_coordinate(c) for c in model.disturbance)
    return f"{ends}, chosen anew at each step, after the action"


def actions_in_words(model: Model) -> str:
    """The bounds of the actions, or the choices."""
    if model.choices is None:
        return ", ".join(_coordinate(c) for c in model.action) or "none"
    names = ", ".join(c.name for c in model.action)
    every = "; ".join(", ".join(number(v) for v in choice) for choice in model.choices)
    return f"one of {len(model.choices)} values of {names}: {every}"


def _period(model: Model) -> str:
    return "" if model.dt is None else f" (every {number(model.dt)} s)"


def _arithmetic(model: Model) -> str:
    scaled = ", actions scaled from [-1, 1]" if model.arithmetic.scaled else ", actions in units"
    return f"next state stored as {model.arithmetic.state}, computed in float64{scaled}"


def goal_in_words(goal: str) -> str:
    """The goal's sentence."""
    return GOALS.get(goal) or GOALS.get(
        goal.split("/")[0], "a goal that this version does not know"
    )


def kernel_lines() -> tuple[int, int]:
    """How many modules the kernel has, and how many lines of source."""
    sizes = kernel_sizes()
    return len(sizes), sum(sizes.values())


def functions_of(model: Model, more: Iterable[Term]) -> list[str]:
    """The functions in the model and the terms beside it that are no polynomials."""
    terms: list[Term | Formula] = [*model.steps, model.safe, model.terminal, *more]
    return sorted({name for t in terms for name in _functions(t)})


def _functions(t: Term | Formula) -> Iterator[str]:
    for s in subterms(t):
        if isinstance(s, Pi):
            yield "pi"
        elif isinstance(s, Unary) and s.op not in (UnaryOp.NEG, UnaryOp.ABS):
            yield s.op.value


AXIOMS = {
    "pi": "3.14159265358979323846 <= pi <= 3.14159265358979323847",
    "sin": "Taylor's polynomial with Lagrange's remainder, for all real numbers; -1 <= sin <= 1",
    "cos": "Taylor's polynomial with Lagrange's remainder, for all real numbers; -1 <= cos <= 1",
    "quotient": "(n / d) d = n, where d > 0 or d < 0 is proved",
    "sqrt": "sqrt(a) >= 0 and sqrt(a)^2 = a, where a >= 0 is proved",
    "exp": "Taylor's polynomials of odd degree are below exp, for all real numbers; exp(a) exp(-a) = 1",
    "tanh": "1 + tanh(a) = exp(2 a) (1 - tanh(a)), with the axioms of exp; -1 <= tanh <= 1",
    "log": "exp(log(a)) = a, where a > 0 is proved, with the axioms of exp",
    "tan": "tan(a) = sin(a) / cos(a), with the axioms of sin and cos",
}


NOT_PROVED = (
    "what happens between sampling instants, but for what the theorem says of it",
    "that the plant is the model in the file, with its parameters and its timing",
    "anything of starts or disturbances outside the stated sets",
    "that the goals imply the theorem: half a page of mathematics, docs/certificate.md",
    "that S says all that matters, that I is the largest such set, that the system reaches any goal",
    "hardware, operating system, Python, Z3, the C compiler and its library",
)
"""What stands beside every theorem."""


def trusted(model: Model, more: Iterable[Term], solver: str, proofs: object, alone: str) -> str:
    """What a verdict rests on, where the claim has these terms beside the model's, and these proofs.

    ``alone`` says which leaves rest on a solver alone in this run.
    """
    modules, lines = kernel_lines()
    used = functions_of(model, more)
    ulps = model.arithmetic.ulps
    functions = [f for f in used if f != "pi"]
    named = f"{', '.join(functions)} within {ulps} * 2^-52 |value|" if functions else "none is used"
    rounds = {1: "to nearest"}.get(sys.float_info.rounds, f"mode {sys.float_info.rounds}")
    return "\n".join(
        [
            "Trusted:",
            f"  the kernel: {modules} modules, {lines} lines (nprl.shields.checker, its imports):",
            *(f"    {line}" for line in _files(kernel_sizes())),
            f"  Python {platform.python_version()} ({platform.python_implementation()}); {solver}, "
            "linear real arithmetic only;",
            f"  leaves that rest on Z3 alone: {alone};",
            f"  floats: IEEE 754 binary64 ({sys.float_info.mant_dig} bits here), rounded {rounds} "
            "here, any order of summation, fused or not;",
            f"  library functions: {named};",
            f"  the run-time test: {_compiled()}.",
            "Axioms used:",
            *(axioms_used(proofs) or ["  none: every leaf is an identity of polynomials"]),
            "Not proved:",
            *(f"  {line};" for line in NOT_PROVED),
        ]
    )


def kernel_sizes() -> dict[str, int]:
    """The lines of source of each module of the kernel."""
    sizes = {}
    for name in kernel_modules():
        package, _, last = name.rpartition(".")
        text = (resources.files(package) / f"{last}.py").read_text("utf-8")
        sizes[name] = len(text.splitlines())
    return sizes


def _files(sizes: Mapping[str, int]) -> list[str]:
    cells = [f"{name} {count}" for name, count in sizes.items()]
    return [", ".join(cells[k : k + 4]) for k in range(0, len(cells), 4)]


def _compiled() -> str:
    command = compiler()
    if command is None:
        return "Python that is generated from the rows (no C compiler is used here)"
    shown = " ".join(c for c in command if not c.startswith(("-I", "-L")))
    return (
        f"C that is generated from the rows, compiled by `{shown}`, compared with Python at points"
    )


RULES = {"divide": "quotient", "root": "sqrt"}


def axioms_used(proofs: object) -> list[str]:
    """The axioms that the rules in some proof trees use, with how often, one line each."""
    counts: Counter[str] = Counter()
    stack: list[object] = list(proofs.values()) if isinstance(proofs, Mapping) else []
    while stack:
        node = stack.pop()
        if not isinstance(node, list) or not node or node[0] in ("leaf", "absurd"):
            continue
        match node:
            case ["function", [str(name), *_], *_]:
                counts[name] += 1
            case ["divide" | "root" as rule, *_]:
                counts[RULES[rule]] += 1
        stack += node[1:]
    return [
        f"  {name}, {count} time{'s' * (count != 1)}: {AXIOMS.get(name, 'unknown to this version')}"
        for name, count in sorted(counts.items())
    ]


ALONE = "all of them in this run; --exact decides them without a solver"
"""Where the exact checker was not asked."""


def explain(certificate: Certificate, solver: str, alone: str = ALONE) -> str:
    """The goals in words with the shield in full, and the trusted base."""
    shield, model = certificate.shield, certificate.model
    lines = ["The shield:"]
    for p, part in enumerate(shield.invariant):
        lines.append(f"  I, part {p}: all of")
        for g, m in zip(part, shield.margins[p], strict=True):
            lines.append(f"    {to_text(g)} >= 0    (test's threshold {float(m):.6g})")
    for c, t in zip(model.action, shield.backup, strict=True):
        lines.append(f"  backup: {c.name} = {to_text(t)}")
    lines.append("Goals:")
    kinds = ("domain", "witness/init", "witness/invariant", "witness/action", "witness/disturbance")
    for kind in (*kinds, "witness/test", "init", "safe", "ranges", "action", "backup", "test"):
        lines.append(f"  {kind}: {GOALS[kind]}")
    return "\n".join([*lines, trusted(model, shield.backup, solver, certificate.proofs, alone)])
