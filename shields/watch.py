"""The watch on the plant: is what was observed what the model allows?

A digest binds a model's text, not the object that runs: another gravity, a frame skip, a sticky
action leave it as it is. So every observed next state is compared with the model's own, within the
proved bound of its
rounding and what the disturbance can do. A difference ends the guarantee. The watch is no part of
the proof: it can only find that its assumption broke. Next to a guard of a ``where`` it may find
that falsely.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from nprl.lang.exact import enclose
from nprl.lang.floats import compile_scalar
from nprl.lang.interval import above
from nprl.lang.ranges import Interval
from nprl.shields.certificate import Certificate
from nprl.shields.nearest import degree


class Watch:
    """The watch for one certificate's model."""

    def __init__(self, certificate: Certificate) -> None:
        """Compile the model's step."""
        model = certificate.model
        self.model = model
        self._plant = [certificate.rounding.plant[n] for n in model.state_names]
        self._step = compile_scalar(
            model.steps, (model.state_names, model.action_names, model.disturbance_names)
        )
        self._centre = [float((c.low + c.high) / 2) for c in model.disturbance]
        self._highs = [float(c.high) for c in model.disturbance]
        names = frozenset(model.disturbance_names)
        self._affine = all(degree(t, names) <= 1 for t in model.steps)
        # both sides round, and so does each evaluation that the spread is made of
        slack = 2 + 4 * len(self._centre)
        self._slack = [above(slack * e) for e in self._plant]

    def explains(self, x: Sequence[float], u: Sequence[float], after: Sequence[float]) -> bool:
        """Whether the model can step from ``x`` under ``u`` to ``after``, up to rounding.

        The action is in units. With a disturbance each coordinate is judged by itself.
        """
        if not self._affine:
            return self._encloses(x, u, after)
        nominal = self._step(x, u, self._centre)
        spread = list(self._slack)
        for k, high in enumerate(self._highs):
            w = [*self._centre[:k], high, *self._centre[k + 1 :]]
            moved = self._step(x, u, w)
            spread = [s + abs(m - n) for s, m, n in zip(spread, moved, nominal, strict=True)]
        return all(
            abs(a - n) <= s * (1 + 2**-40) for a, n, s in zip(after, nominal, spread, strict=True)
        )

    def _encloses(self, x: Sequence[float], u: Sequence[float], after: Sequence[float]) -> bool:
        model = self.model
        at: dict[str, Interval | Fraction] = {
            c.name: Interval(c.low, c.high) for c in model.disturbance
        }
        for c, v in zip((*model.state, *model.action), (*x, *u), strict=True):
            at[c.name] = Fraction(v)
        for t, e, a in zip(model.steps, self._plant, after, strict=True):
            found = enclose(t, at)
            if not found.lo - e <= a <= found.hi + e:
                return False
        return True
