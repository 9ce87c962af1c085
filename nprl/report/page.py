"""The report of a run: one HTML file that holds its tables and pictures, and loads nothing."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nprl.report.proofs import THEOREM
from nprl.report.tables import Cell, html_table, show
from nprl.shields.words import goal_in_words

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #262a33; background: #fff; margin: 0 auto;
  max-width: 1000px; padding: 24px 20px 60px }
h1 { font-size: 26px; margin: 0 } h2 { font-size: 18px; margin: 34px 0 8px }
.sub { color: #6a707d; margin: 2px 0 18px } .cards { display: flex; flex-wrap: wrap; gap: 12px }
.card { border: 1px solid #e4e7ed; border-radius: 8px; padding: 10px 16px; min-width: 150px }
.card b { display: block; font-size: 20px } .card span { color: #6a707d; font-size: 13px }
.good b { color: #1f7a48 } .bad b { color: #b32d2d } .open b { color: #9a5b00 }
table { border-collapse: collapse; font-size: 14px; margin: 0 0 18px }
.words td:last-child { text-align: left; color: #4a505d; font-size: 13px; max-width: 420px }
.words th:last-child { text-align: left }
.facts thead { display: none } .wide { overflow-x: auto }
th, td { text-align: right; padding: 4px 12px; border-bottom: 1px solid #e4e7ed }
th:first-child, td:first-child { text-align: left; padding-left: 0 } th { color: #6a707d }
pre { background: #f5f6f8; padding: 12px 14px; border-radius: 8px; overflow-x: auto }
svg { max-width: 100%; height: auto } p.note, li { color: #4a505d; font-size: 14px }
"""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures as SVG elements; empty where there is nothing to draw."""

    learning: str = ""
    tree: str = ""
    invariant: str = ""


def report_page(
    summary: Mapping[str, Any],
    pictures: Pictures,
    goals: Sequence[tuple[str, str, str, int, float]],
    policy: str,
    notes: Sequence[str] = (),
    command: str = "",
) -> str:
    """The page of a run.

    ``goals`` are rows (goal, verdict, engines, leaves, seconds) of the proof; ``policy`` is the
    sentence on the program without its shield; ``notes`` stand above the pictures; ``command`` is
    what repeats the run.
    """
    program, proof = summary["program"], summary["proof"]
    e = html.escape
    parts = [
        "<!doctype html>",
        '<html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{e(summary['env'])}</title><style>{STYLE}</style>",
        f"<h1>{e(summary['env'])}</h1>",
        f'<p class="sub">seed {summary["seed"]}, {summary["wall_s"]:.0f} s</p>',
        '<div class="cards">',
        *_cards(summary),
        "</div>",
        *(f'<p class="note">{e(note)}</p>' for note in notes),
        f"<h2>{_how_many(summary)} policies, on the same fresh episodes</h2>",
        f'<div class="wide">{evaluation_table(summary["policies"])}</div>',
        '<p class="note">Return is the environment\'s own, penalties included, with the 95 % '
        "confidence interval of its mean. Violations are steps that ended outside the safe set. "
        "Overrides are actions that the shield replaced, of 1000 steps; the time is for one "
        "decision, for a shielded policy with the shield.</p>",
        "<h2>The program</h2>",
        f"<pre>{e(program['text'])}</pre>",
        f'<p class="note">{program["nodes"]} nodes, {program["constants"]} constants. ',
        f"{e(policy)}</p>",
        pictures.tree,
        "<h2>The invariant</h2>",
        pictures.invariant or f'<p class="note">{e(_no_picture(proof["verdict"]))}</p>',
        "<h2>The proof</h2>",
        *_proof(proof, goals),
        "<h2>Training</h2>",
        pictures.learning or '<p class="note">The teacher was given; nothing was trained.</p>',
        "<h2>What repeats it</h2>",
        f"<pre>{e(command)}</pre>" if command else "",
        f"<pre>{e(_versions(summary))}</pre>",
        "</html>",
    ]
    return "\n".join(p for p in parts if p) + "\n"


def evaluation_table(policies: Sequence[Mapping[str, Any]]) -> str:
    """The six policies in a table."""
    columns = ["policy", "return", "95 % interval", "episodes", "violations"]
    columns += ["overrides / 1000", "us per step"]
    rows: list[list[Cell]] = []
    for p in policies:
        low, high = p["ci95"]
        rows.append([p["name"], p["return"], f"{show(low)} .. {show(high)}", p["episodes"]])
        rows[-1] += [p["violations"], p["overrides_per_1000"], p["us_per_step"] or None]
    return html_table(columns, rows)


def _cards(summary: Mapping[str, Any]) -> list[str]:
    proof, program = summary["proof"], summary["program"]
    by_name = {p["name"]: p for p in summary["policies"]}
    kind = {"verified": "good", "falsified": "bad"}.get(proof["verdict"], "open")
    cards = [(proof["verdict"].replace("_", " ").upper(), "the shield", kind)]
    if proof["verdict"] == "verified":
        said = {
            True: ("CERTIFIED", "good"),
            False: ("NEEDS SHIELD", "bad"),
            None: ("UNKNOWN", "open"),
        }
        word, kind = said[program["certified"]]
        cards.append((word, "the program alone", kind))
    for name in ("neural", "program"):
        cards.append((show(by_name[name]["return"]), f"return, {name}", ""))
    cards.append((f"{by_name['program']['us_per_step']:.3g} us", "a step of the program", ""))
    if proof["volume_kernel"] is not None:
        cards.append(
            (f"{100 * proof['volume_kernel']:.1f} %", "of the viability kernel, at least", "")
        )
    return [
        f'<div class="card {kind}"><b>{html.escape(value)}</b>'
        f"<span>{html.escape(what)}</span></div>"
        for value, what, kind in cards
    ]


def _proof(
    proof: Mapping[str, Any], goals: Sequence[tuple[str, str, str, int, float]]
) -> list[str]:
    if proof["verdict"] == "no_model":
        return ['<p class="note">no_model: the environment has no model, so nothing is proved.</p>']
    if not goals:
        return [
            '<p class="note">No shield was found that could be proved: nothing is promised.</p>'
        ]
    facts: list[list[Cell]] = [
        ["family", proof["family"]],
        ["synthesis, s", proof["synthesis_s"]],
        ["check, s", proof["check_s"]],
        ["share of the safe set", _percent(proof["volume_safe"])],
        ["share of the viability kernel, at least", _percent(proof["volume_kernel"])],
    ]
    rows: list[list[Cell]] = [[*goal, goal_in_words(goal[0])] for goal in goals]
    columns = ["goal", "verdict", "by", "leaves", "s", "what it says"]
    return [
        f"<p>{html.escape(THEOREM)}</p>" if proof["verdict"] == "verified" else "",
        f'<div class="facts">{html_table(["", ""], [f for f in facts if f[1] is not None])}</div>',
        f'<div class="wide words">{html_table(columns, rows)}</div>',
        "<p>Taken for granted:</p><ul>",
        *(f"<li>{html.escape(a)}</li>" for a in proof["assumptions"]),
        "</ul>",
    ]


def _how_many(summary: Mapping[str, Any]) -> str:
    return "The six" if len(summary["policies"]) == 6 else "The"


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{100 * share:.1f} %"


def _no_picture(verdict: str) -> str:
    return "no_model: there is nothing to draw." if verdict == "no_model" else "None was proved."


def _versions(summary: Mapping[str, Any]) -> str:
    lines = [f"{name} {version}" for name, version in summary["versions"].items()]
    if summary["model_digest"]:
        lines.append(f"model {summary['model_digest']}")
    return "\n".join(lines)
