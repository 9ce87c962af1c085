"""Systems on which synthesis was not made: models from text, of many kinds.

Up to six dimensions nonlinear and 24 linear; several inputs, none, finitely many; asymmetric sets,
equilibria away from the origin, coordinates that nothing bounds, disturbances. Some may not be
keepable at all.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

from nprl.envs.published import benchmark
from nprl.model import Model


def _chain(count: int, gap: int, damping: str, start: str, step: str, wind: str) -> dict[str, Any]:
    """Masses on springs, each tied to its neighbours; an input at every ``gap``-th, one disturbance for all."""
    rate: dict[str, str] = {}
    for i in range(count):
        left = f" + p{i - 1}" if i else ""
        right = f" + p{i + 1}" if i < count - 1 else ""
        push = f" + u{i // gap}" if i % gap == 0 else ""
        rate |= {f"p{i}": f"v{i}", f"v{i}": f"-2 * p{i} - {damping} * v{i}{left}{right}{push} + w"}
    return dict(
        state={n: "1" if n[0] == "p" else "1.5" for n in rate},
        action={f"u{k}": "3" for k in range(-(-count // gap))},
        step=rate,
        init=dict.fromkeys(rate, start),
        euler=step,
        disturbance={"w": wind},
    )


def _arm() -> dict[str, Any]:
    """Two links that hang, with a motor at each joint."""
    whole = "(0.48 - 0.09 * cos(q2) ** 2)"
    first = "(t1 + 0.3 * sin(q2) * (2 * w1 * w2 + w2 ** 2) - 3 * sin(q1))"
    second = "(t2 - 0.3 * sin(q2) * w1 ** 2 - sin(q1 + q2))"
    cross, own = "(0.4 + 0.3 * cos(q2))", "(1.6 + 0.6 * cos(q2))"
    return dict(
        state={"q1": "1", "q2": "1", "w1": "2", "w2": "2"},
        action={"t1": "12", "t2": "6"},
        step={
            "q1": "w1",
            "q2": "w2",
            "w1": f"(0.4 * {first} - {cross} * {second}) / {whole}",
            "w2": f"({own} * {second} - {cross} * {first}) / {whole}",
        },
        init=dict.fromkeys(("q1", "q2", "w1", "w2"), "0.1"),
        euler="0.02",
    )


SYSTEMS: dict[str, dict[str, Any]] = {
    "quad6": dict(
        state={"x": "2", "z": "2", "th": "0.6", "vx": "2", "vz": "2", "q": "3"},
        action={"f1": ("0", "10"), "f2": ("0", "10")},
        step={
            "x": "vx",
            "z": "vz",
            "th": "q",
            "vx": "-(f1+f2)*sin(th)",
            "vz": "(f1+f2)*cos(th) - 9.81",
            "q": "4*(f1-f2)",
        },
        init={"x": "0.05", "z": "0.05", "th": "0.02", "vx": "0.05", "vz": "0.05", "q": "0.05"},
        euler="0.02",
    ),
    "arm2": _arm(),
    "chain24": _chain(12, 4, "0.6", "0.02", "0.05", "0.02"),
    "chain12": _chain(6, 2, "0.3", "0.05", "0.02", "0.05"),
    "lotka2": dict(
        state={"x": ("0.2", "4"), "y": ("0.2", "4")},
        action={"u": "0.5", "v": "0.3"},
        step={"x": "x*(1-y) + u*x", "y": "y*(x-1) + v*y"},
        init={"x": ("0.9", "1.1"), "y": ("0.9", "1.1")},
        euler="0.02",
    ),
    "react5": dict(
        state={
            "c0": ("0", "2"),
            "c1": ("0", "2"),
            "c2": ("0", "2"),
            "c3": ("0", "2"),
            "c4": ("0", "2"),
        },
        action={"u": ("0", "1")},
        step={
            "c0": "u - c0*c1",
            "c1": "0.5 - c0*c1",
            "c2": "c0*c1 - 0.6*c2",
            "c3": "0.6*c2 - 0.5*c3",
            "c4": "0.5*c3 - 0.7*c4",
        },
        init={
            "c0": ("0.65", "0.75"),
            "c1": ("0.65", "0.75"),
            "c2": ("0.65", "0.75"),
            "c3": ("0.65", "0.75"),
            "c4": ("0.65", "0.75"),
        },
        euler="0.05",
    ),
    "react5b": dict(
        state={
            "c0": ("0", "3"),
            "c1": ("0", "3"),
            "c2": ("0", "3"),
            "c3": ("0", "3"),
            "c4": ("0", "3"),
        },
        action={"u": ("0", "1"), "v": ("0", "1")},
        step={
            "c0": "u - c0*c1 - 0.1*c0",
            "c1": "v - c0*c1 - 0.1*c1",
            "c2": "c0*c1 - 0.6*c2*c1",
            "c3": "0.6*c2*c1 - 0.5*c3",
            "c4": "0.5*c3 - 0.7*c4",
        },
        init={
            "c0": ("0.65", "0.75"),
            "c1": ("0.65", "0.75"),
            "c2": ("0.65", "0.75"),
            "c3": ("0.65", "0.75"),
            "c4": ("0.65", "0.75"),
        },
        euler="0.05",
    ),
    "vdp": dict(
        state={"x": "3", "y": "3"},
        action={"u": "1"},
        step={"x": "y", "y": "(1 - x**2)*y - x + u"},
        init={"x": "0.3", "y": "0.3"},
        euler="0.02",
    ),
    "vdp_rev": dict(
        state={"x": "3", "y": "3"},
        action={},
        step={"x": "-y", "y": "x - (1 - x**2)*y"},
        init={"x": "0.3", "y": "0.3"},
        euler="0.02",
    ),
    "lorenz": dict(
        state={"x": "20", "y": "20", "z": ("0", "40")},
        action={"u": "100"},
        step={"x": "10*(y-x)", "y": "x*(28-z)-y+u", "z": "x*y - 8/3*z"},
        init={"x": ("-1", "1"), "y": ("-1", "1"), "z": ("5", "7")},
        euler="0.005",
    ),
    "bicycle4": dict(
        state={"y": "2", "th": "0.6", "v": ("1", "5"), "d": "0.5"},
        action={"a": "2", "r": "1"},
        step={"y": "v*sin(th)", "th": "v*d", "v": "a", "d": "r"},
        init={"y": "0.3", "th": "0.1", "v": ("2.5", "3.5"), "d": "0.05"},
        euler="0.05",
    ),
    "cart_asym": dict(
        state={"x": ("-1", "2"), "v": "3", "th": ("-0.3", "0.4"), "om": "3"},
        action={"F": ("-8", "12")},
        step={
            "x": "v",
            "v": "(F + 0.1*sin(th)*(0.5*om**2 - 9.8*cos(th))) / (1 + 0.1*sin(th)**2)",
            "th": "om",
            "om": "(9.8*1.1*sin(th) - cos(th)*(F + 0.05*om**2*sin(th))) / (0.5*(1 + 0.1*sin(th)**2)) + w",
        },
        init={"x": "0.05", "v": "0.05", "th": "0.05", "om": "0.05"},
        euler="0.02",
        disturbance={"w": "0.1"},
    ),
    "ballbeam": dict(
        state={"r": "0.5", "v": "0.6", "al": "0.4", "om": "1.5"},
        action={"u": "5"},
        step={"r": "v", "v": "5/7*(r*om**2 - 9.81*sin(al))", "al": "om", "om": "u"},
        init={"r": "0.05", "v": "0.02", "al": "0.02", "om": "0.02"},
        euler="0.02",
    ),
    "tora": dict(
        state={"x1": "2", "x2": "2", "x3": "2", "x4": "2"},
        action={"u": "3"},
        step={"x1": "x2", "x2": "-x1 + 0.1*sin(x3)", "x3": "x4", "x4": "u"},
        init={"x1": "0.3", "x2": "0.3", "x3": "0.3", "x4": "0.3"},
        euler="0.05",
    ),
    "dubins3": dict(
        state={"d": "1", "t": "0.8", "k": "1"},
        action={"u": ("-2", "3")},
        step={"d": "sin(t)", "t": "k", "k": "u - k"},
        init={"d": "0.2", "t": "0.1", "k": "0.1"},
        euler="0.05",
    ),
    "dcdc": dict(
        state={"i": ("0", "4"), "v": ("0", "10")},
        action={"d": ("0.1", "0.9")},
        step={"i": "5 - (1-d)*v", "v": "(1-d)*i*4 - 0.4*4*v/2"},
        init={"i": ("0.9", "1.1"), "v": ("4.8", "5.2")},
        euler="0.02",
    ),
    "dcdc2": dict(
        state={"i": ("0", "6"), "v": ("0", "14")},
        action={"d": ("0.1", "0.9")},
        step={"i": "5 - (1-d)*v - 0.1*i", "v": "(1-d)*i*4 - 0.8*v"},
        init={"i": ("2.5", "3.5"), "v": ("6.5", "7.5")},
        euler="0.02",
    ),
    "huge": dict(
        state={"x": "1000000", "v": "1000"},
        action={"u": "1"},
        step={"x": "v", "v": "u"},
        init={"x": "1", "v": "1"},
        euler="0.1",
        safe="x <= 5",
    ),
    "free4": dict(
        state={"s": "1000000", "d": "2", "v": "3", "a": "5"},
        action={"u": "4"},
        step={"s": "d", "d": "v", "v": "a", "a": "u - a"},
        init={"s": "1", "d": "0.1", "v": "0.1", "a": "0.1"},
        euler="0.05",
        safe="d < 2 and d > -2",
    ),
    "stable": dict(
        state={"x": "1", "y": "1", "z": "1"},
        action={},
        step={"x": "0.9*x+0.2*y", "y": "-0.2*x+0.9*y", "z": "0.8*z+0.1*x"},
        init={"x": "0.2", "y": "0.2", "z": "0.2"},
    ),
    "unstable": dict(
        state={"x": "1", "y": "1"},
        action={},
        step={"x": "1.02*x+0.1*y", "y": "0.9*y"},
        init={"x": "0.2", "y": "0.2"},
    ),
    "tanks": dict(
        state={"a": ("0.2", "2"), "b": ("0.2", "1.5")},
        action={"u": ("0", "1")},
        step={"a": "a + 0.1*(u - 0.5*sqrt(a))", "b": "b + 0.1*(0.5*sqrt(a) - 0.5*sqrt(b))"},
        init={"a": ("0.9", "1.1"), "b": ("0.8", "1")},
    ),
    "sat6": dict(
        state={"a": "1", "b": "1", "c": "1", "p": "1", "q": "1", "r": "1"},
        action={"u": "1", "v": "1", "w": "1"},
        step={
            "a": "p",
            "b": "q",
            "c": "r",
            "p": "u - 0.5*q*r",
            "q": "v + 0.4*p*r",
            "r": "w + 0.1*p*q",
        },
        init={"a": "0.1", "b": "0.1", "c": "0.1", "p": "0.1", "q": "0.1", "r": "0.1"},
        euler="0.05",
    ),
    "hole3": dict(
        state={"x": "4", "y": "4", "z": "2"},
        action={"u": "1", "v": "1", "w": "1"},
        step={"x": "u", "y": "v", "z": "w + 0.1*x"},
        init={"x": ("2", "3"), "y": ("0", "1"), "z": ("-0.5", "0.5")},
        euler="0.1",
        safe="x**2 + y**2 + z**2 >= 1",
    ),
    "pendulum_tanh": dict(
        state={"th": "1", "om": "4"},
        action={"u": "3"},
        step={"th": "om", "om": "9.8 * sin(th) + 12 * tanh(u)"},
        init={"th": "0.1", "om": "0.1"},
        euler="0.02",
    ),
    "pendulum3": dict(
        state={"th": "0.8", "om": "3"},
        action={"u": "2"},
        choices=("-2", "0", "2"),
        step={"th": "om", "om": "4 * sin(th) + 3 * u"},
        init={"th": "0.1", "om": "0.1"},
        euler="0.02",
    ),
    "acrobot_down": dict(
        state={"a": "1", "b": "1", "p": "3", "q": "3"},
        action={"t": "4"},
        step={
            "a": "p",
            "b": "q",
            "p": "-9 * sin(a) + 3 * sin(b - a) - 0.4 * p - t",
            "q": "-6 * sin(b) + 3 * sin(a - b) - 0.3 * q + t",
        },
        init={"a": "0.1", "b": "0.1", "p": "0.1", "q": "0.1"},
        euler="0.02",
    ),
    "rigid_wheel5": dict(
        state={"p": "1", "q": "1", "r": "1", "s": "3", "t": "3"},
        action={"u": "2", "v": "2"},
        step={
            "p": "u - 0.3 * q * r",
            "q": "v + 0.5 * p * r",
            "r": "-0.4 * r - 0.2 * p * q + w",
            "s": "-u - 0.05 * s",
            "t": "-v - 0.05 * t",
        },
        init={"p": "0.1", "q": "0.1", "r": "0.1", "s": "0.2", "t": "0.2"},
        euler="0.05",
        disturbance={"w": "0.02"},
    ),
    "glider4": dict(
        state={"v": ("10", "40"), "g": ("-0.6", "0.6"), "h": ("0", "1000"), "th": ("0", "6")},
        action={"a": ("-2", "4"), "l": ("-0.2", "0.2")},
        step={
            "v": "th - 0.01 * v * v / 4 - 9.8 * sin(g)",
            "g": "l + 0.002 * (v - 25)",
            "h": "v * sin(g)",
            "th": "a - 0.5 * th",
        },
        init={"v": ("23", "26"), "g": ("-0.05", "0.05"), "h": ("450", "550"), "th": ("1", "2")},
        euler="0.05",
    ),
    "masses18": dict(
        state={
            "p0": ("-1", "1.5"),
            "p1": ("-1", "1.5"),
            "p2": ("-1", "1.5"),
            "p3": ("-1", "1.5"),
            "p4": ("-1", "1.5"),
            "p5": ("-1", "1.5"),
            "p6": ("-1", "1.5"),
            "p7": ("-1", "1.5"),
            "p8": ("-1", "1.5"),
            "v0": "2",
            "v1": "2",
            "v2": "2",
            "v3": "2",
            "v4": "2",
            "v5": "2",
            "v6": "2",
            "v7": "2",
            "v8": "2",
        },
        action={"u0": ("-2", "3"), "u1": ("-2", "3"), "u2": ("-2", "3")},
        step={
            "p0": "v0",
            "p1": "v1",
            "p2": "v2",
            "p3": "v3",
            "p4": "v4",
            "p5": "v5",
            "p6": "v6",
            "p7": "v7",
            "p8": "v8",
            "v0": "-3 * p0 - 0.5 * v0 + p1 + w",
            "v1": "-3 * p1 - 0.5 * v1 + p0 + p2 + u0 + w",
            "v2": "-3 * p2 - 0.5 * v2 + p1 + p3 + w",
            "v3": "-3 * p3 - 0.5 * v3 + p2 + p4 + w",
            "v4": "-3 * p4 - 0.5 * v4 + p3 + p5 + u1 + w",
            "v5": "-3 * p5 - 0.5 * v5 + p4 + p6 + w",
            "v6": "-3 * p6 - 0.5 * v6 + p5 + p7 + w",
            "v7": "-3 * p7 - 0.5 * v7 + p6 + p8 + u2 + w",
            "v8": "-3 * p8 - 0.5 * v8 + p7 + w",
        },
        init={
            "p0": "0.03",
            "p1": "0.03",
            "p2": "0.03",
            "p3": "0.03",
            "p4": "0.03",
            "p5": "0.03",
            "p6": "0.03",
            "p7": "0.03",
            "p8": "0.03",
            "v0": "0.03",
            "v1": "0.03",
            "v2": "0.03",
            "v3": "0.03",
            "v4": "0.03",
            "v5": "0.03",
            "v6": "0.03",
            "v7": "0.03",
            "v8": "0.03",
        },
        euler="0.04",
        disturbance={"w": ("-0.02", "0.03")},
    ),
    "fitzhugh": dict(
        state={"v": ("-2.5", "2.5"), "w": ("-1.5", "2")},
        action={"i": ("-1", "1")},
        step={"v": "v - v ** 3 / 3 - w + 0.5 + i", "w": "0.08 * (v + 0.7 - 0.8 * w)"},
        init={"v": ("-1", "-0.6"), "w": ("-0.4", "0")},
        euler="0.1",
    ),
    "levitation3": dict(
        state={"y": ("0.5", "1.5"), "v": "2", "c": ("0.2", "3")},
        action={"e": ("-10", "20")},
        step={"y": "v", "v": "9.8 - 9.8 * c ** 2 / y ** 2", "c": "e - 5 * c"},
        init={"y": ("0.97", "1.03"), "v": "0.03", "c": ("0.97", "1.03")},
        euler="0.005",
    ),
    "boiler3": dict(
        state={"t": ("280", "420"), "c": ("0", "1"), "j": ("260", "400")},
        action={"u": ("-4", "4"), "f": ("0", "0.4")},
        step={
            "t": "0.5 * (300 - t) + 60 * c * exp((t - 350) / 80) + 0.6 * (j - t)",
            "c": "f * (1 - c) - 0.3 * c * exp((t - 350) / 80)",
            "j": "2 * (t - j) / 3 + 10 * u",
        },
        init={"t": ("318", "322"), "c": ("0.33", "0.36"), "j": ("315", "320")},
        euler="0.05",
    ),
    "drift6": dict(
        state={"x": "100000", "y": "100000", "th": "0.7", "v": ("2", "8"), "r": "1.5", "d": "0.4"},
        action={"a": "2", "s": "1"},
        step={
            "x": "v * cos(th)",
            "y": "v * sin(th)",
            "th": "r",
            "v": "a - 0.05 * v",
            "r": "3 * (v * d / 3 - r)",
            "d": "s",
        },
        init={"x": "1", "y": "1", "th": "0.1", "v": ("4.8", "5.2"), "r": "0.05", "d": "0.02"},
        euler="0.05",
        safe="y < 20 and y > -20 and th < 0.7 and th > -0.7 and v > 2 and v < 8",
    ),
    "cart_drag4": dict(
        state={"x": ("-1.5", "1"), "v": "3", "th": "0.35", "om": "3"},
        action={"F": ("-15", "15")},
        step={
            "x": "v",
            "v": "(F - 0.4*v*abs(v) + 0.2*sin(th)*(0.4*om**2 - 9.81*cos(th)))/(1 + 0.2*sin(th)**2)",
            "th": "om",
            "om": "(1.2*9.81*sin(th) - cos(th)*(F - 0.4*v*abs(v) + 0.08*om**2*sin(th)))"
            "/(0.4*(1 + 0.2*sin(th)**2))",
        },
        init={"x": "0.1", "v": "0.05", "th": "0.03", "om": "0.05"},
        euler="0.02",
    ),
    "pumps2": dict(
        state={"h": ("0.05", "0.6"), "k": ("0.05", "0.5")},
        action={"p": ("0", "0.03"), "q": ("0", "0.02")},
        step={
            "h": "0.7*(p + d - 0.03*sqrt(h))",
            "k": "0.9*(q + 0.03*sqrt(h) - 0.05*sqrt(k))",
        },
        init={"h": ("0.25", "0.35"), "k": ("0.2", "0.3")},
        euler="0.5",
        disturbance={"d": ("-0.002", "0.003")},
    ),
    "buck_switch": dict(
        state={"i": ("-1", "6"), "v": ("3", "7")},
        action={"s": ("0", "1")},
        choices=("0", "1"),
        step={"i": "(12*s - v - 0.05*i)/100", "v": "(i - v/2.5)/50"},
        init={"i": ("1.8", "2.2"), "v": ("4.9", "5.1")},
        euler="1",
    ),
    "rocket6": dict(
        state={"x": "10", "z": ("0", "60"), "th": "0.4", "vx": "6", "vz": ("-8", "6"), "q": "1"},
        action={"T": ("6", "16"), "d": "0.2"},
        step={
            "x": "vx",
            "z": "vz",
            "th": "q",
            "vx": "T*sin(th + d)",
            "vz": "T*cos(th + d) - 9.81",
            "q": "-0.3*T*sin(d)",
        },
        init={
            "x": "0.5",
            "z": ("28", "32"),
            "th": "0.03",
            "vx": "0.2",
            "vz": ("-0.3", "0.3"),
            "q": "0.03",
        },
        euler="0.05",
    ),
    "hvac10": dict(
        state={f"t{k}": ("15", "26") for k in range(10)},
        action={"a": ("0", "3"), "b": ("0", "3"), "c": ("0", "3")},
        step={
            f"t{k}": " + ".join(
                [
                    f"0.05*(o - t{k})",
                    *(f"0.2*(t{j} - t{k})" for j in (k - 1, k + 1) if 0 <= j < 10),
                    *([{1: "a", 5: "b", 8: "c"}[k]] if k in (1, 5, 8) else []),
                ]
            )
            for k in range(10)
        },
        init={f"t{k}": ("19.5", "20.5") for k in range(10)},
        euler="0.25",
        disturbance={"o": ("4", "10")},
    ),
    "wheel3": dict(
        state={"th": "0.3", "om": "2", "r": "100"},
        action={"u": "0.5"},
        step={
            "th": "om",
            "om": "30*sin(th) - 10*u + w",
            "r": "200*u - 0.1*r",
        },
        init={"th": "0.01", "om": "0.02", "r": "1"},
        euler="0.01",
        disturbance={"w": "0.05"},
    ),
    "harvest2": dict(
        state={"x": ("0.2", "4"), "y": ("0.1", "3")},
        action={},
        step={
            "x": "x*(1.5 - 0.4*x - 0.8*y/(1 + 0.3*x)) - 0.1",
            "y": "y*(0.6*x/(1 + 0.3*x) - 0.5 - 0.1*y)",
        },
        init={"x": ("1.1", "1.3"), "y": ("1.4", "1.6")},
        euler="0.05",
    ),
    "dubins_hole": dict(
        state={"x": "5", "y": "5", "th": "1000"},
        action={"u": "1"},
        step={"x": "cos(th)", "y": "sin(th)", "th": "u"},
        init={"x": ("-3", "-2.5"), "y": ("-0.3", "0.3"), "th": ("1.4", "1.7")},
        euler="0.1",
        safe="x**2 + y**2 >= 1 and x > -5 and x < 5 and y > -5 and y < 5",
    ),
}
"""Each system's parts, as `nprl.envs.published.benchmark` takes them; ``choices`` are values of the only input."""


def model_of(name: str) -> Model:
    """One of the systems.

    Raises:
        KeyError: for a name that is none.
    """
    given = dict(SYSTEMS[name])
    choices = given.pop("choices", None)
    model = benchmark(f"unseen/{name}", reward="0", horizon=100, **given)
    if choices is None:
        return model
    return replace(model, choices=tuple((Fraction(c),) for c in choices))
