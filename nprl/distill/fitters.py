"""The fitters, by name."""

from __future__ import annotations

from nprl.distill.affine import Polynomials
from nprl.distill.constant_tree import ConstantTrees
from nprl.distill.enumerated import Enumerated
from nprl.distill.fitter import Fitter
from nprl.distill.oblique import ObliqueTrees
from nprl.distill.symbolic import SymbolicRegression
from nprl.distill.tree import AffineTrees

FITTERS: dict[str, Fitter] = {
    "affine": Polynomials(),
    "polynomials": Polynomials((1, 2, 3)),
    "trees": ConstantTrees(),
    "affine-trees": AffineTrees(),
    "oblique-trees": ObliqueTrees(),
    "enumeration": Enumerated(),
    "symbolic-regression": SymbolicRegression(),
}
STUDENTS: dict[str, Fitter] = {
    "affine": Polynomials(),
    "polynomials": Polynomials((1, 2, 3)),
    "trees": ConstantTrees(),
    "affine-trees": AffineTrees(least=4),
}
"""What fits DAgger's students; for the others, which take longer, affine forms and small trees do."""
