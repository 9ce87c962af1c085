"""Shields: proved sets of safe states, and what keeps a plant inside them.

Nothing heavy is imported before it is used.

- `Shield`: the Gymnasium wrapper; `ShieldedPolicy`: around a policy; `ShieldedVecEnv`: around a
  batch;
- `Filter`: the shield alone, ``filter(state, action)``;
- `load_certificate`, `check`, `Verdict`: certificates and their proof.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nprl.shields.certificate import Certificate, CertificateError, load_certificate
    from nprl.shields.checker import Report, Verdict, check
    from nprl.shields.policy import ShieldedPolicy
    from nprl.shields.shield import Decision, Filter, ShieldError
    from nprl.shields.synthesis.synthesize import synthesize
    from nprl.shields.vector import ShieldedVecEnv
    from nprl.shields.wrapper import Shield, ShieldWarning

__all__ = [
    "Certificate",
    "CertificateError",
    "Decision",
    "Filter",
    "Report",
    "Shield",
    "ShieldError",
    "ShieldWarning",
    "ShieldedPolicy",
    "ShieldedVecEnv",
    "Verdict",
    "check",
    "load_certificate",
    "synthesize",
]

_HOME = {
    "certificate": ("Certificate", "CertificateError", "load_certificate"),
    "checker": ("Report", "Verdict", "check"),
    "policy": ("ShieldedPolicy",),
    "synthesis.synthesize": ("synthesize",),
    "shield": ("Decision", "Filter", "ShieldError"),
    "vector": ("ShieldedVecEnv",),
    "wrapper": ("Shield", "ShieldWarning"),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
