"""Where a model comes from: a model itself, its JSON file, a Python file, or ``module:NAME``.

A Python file and a module are code, and are run; a JSON file is data, and is only read.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path

from nprl.lang import serial
from nprl.model import Model, ModelError, model_from_json

NAME = "MODEL"
"""What a user's Python file defines."""


def read_model(source: Model | str | Path) -> Model:
    """The model that ``source`` is or names.

    Raises:
        ValueError: one line, for a file that is not there, is no model, or does not define
            ``MODEL``.
    """
    if isinstance(source, Model):
        return source
    path = Path(source)
    if path.suffix == ".json":
        return _from_json(path)
    if path.suffix == ".py":
        return _from_python(path)
    module, colon, name = str(source).partition(":")
    if not colon:
        raise ValueError(
            f"{source}: a model is a .json file, a .py file that defines {NAME}, or 'module:{NAME}'"
        )
    try:
        model = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{source}: {error}") from None
    return _checked(model, str(source))


def _from_json(path: Path) -> Model:
    try:
        data = serial.loads(path.read_bytes())
    except OSError as error:
        raise ValueError(
            f"{path}: cannot be read ({error.strerror}); give a model's JSON file"
        ) from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    try:
        return model_from_json(data)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def _from_python(path: Path) -> Model:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give a Python file that defines {NAME}")
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"nprl_user_model_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever a user's file raises is its error
        del sys.modules[name]
        problem = " ".join(str(error).split())
        raise ModelError(f"{path}: {type(error).__name__}: {problem}") from error
    if not hasattr(module, NAME):
        raise ModelError(f"{path}: defines no {NAME}; a model file ends with {NAME} = Model(...)")
    return _checked(getattr(module, NAME), str(path))


def _checked(model: object, where: str) -> Model:
    if not isinstance(model, Model):
        raise ModelError(f"{where}: {NAME} is a nprl.model.Model; got {type(model).__name__}")
    return model
