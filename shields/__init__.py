"""Shields: proved sets of safe states, and what keeps a plant inside them.

Nothing heavy is imported before it is used.

- `Shield`: the Gymnasium wrapper; `ShieldVector`: around a Gymnasium vector environment;
  `ShieldedVecEnv`: around a Stable-Baselines3 one; `ShieldedPolicy`: around a policy;
- `Filter`: the shield alone, ``filter(state, action)``;
- `load_certificate`, `check`, `Verdict`: certificates and their proof.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "certificate": "Certificate CertificateError",
    "checker": "Report Verdict check",
    "gymnasium_vector": "ShieldVector",
    "load": "load_certificate",
    "policy": "ShieldedPolicy",
    "shield": "Decision Filter ShieldError",
    "synthesis.synthesize": "synthesize",
    "vector": "ShieldedVecEnv",
    "wrapper": "Shield ShieldWarning",
}
_MODULE = {name: module for module, names in _HOME.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE})
