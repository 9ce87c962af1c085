"""The fitters, by name."""

from __future__ import annotations

from nprl.distill.affine import Polynomials
from nprl.distill.constant_tree import ConstantTrees
from nprl.distill.enumerated import Enumerated
from nprl.distill.fitter import Fitter
from nprl.distill.oblique import ObliqueTrees
from nprl.distill.tree import AffineTrees

FITTERS: dict[str, Fitter] = {
    "affine": Polynomials(),
    "polynomials": Polynomials((1, 2, 3)),
    "trees": ConstantTrees(),
    "affine-trees": AffineTrees(),
    "oblique-trees": ObliqueTrees(),
    "enumeration": Enumerated(),
}
SLOW = ("oblique-trees", "enumeration", "symbolic-regression")
"""They fit the data in the end only, and affine forms and small trees are DAgger's students."""
