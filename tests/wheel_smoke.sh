#!/bin/sh
# The built wheel, in a new environment outside the checkout: imports, an environment, shield-check.
# The dependencies are borrowed from the environment that runs this, so that nothing is downloaded.
set -eu
python=$(cd "$(dirname "${PYTHON:?}")" && pwd)/$(basename "$PYTHON")
here=$(cd "$(dirname "$0")/.." && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
rm -rf "$here/build/lib"
"$python" -m build --wheel --no-isolation --outdir "$place/dist" "$here" > "$place/log" 2>&1 ||
  { cat "$place/log" >&2; exit 1; }
"$python" -m venv --without-pip "$place/env"
site=$("$place/env/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$python" -m pip --python "$place/env/bin/python" install --quiet --disable-pip-version-check \
  --no-deps --no-index "$place"/dist/*.whl
# a list of folders, not a .pth file of this environment: its editable install must not be seen
deps=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$deps" > "$site/borrowed.pth"
cd "$place"
"$place/env/bin/python" -I - <<'END'
from importlib import resources
from pathlib import Path

import nprl
import nprl.shields

assert "env" in Path(nprl.__file__).parts, nprl.__file__
import gymnasium as gym

env = gym.make("nprl.envs:nprl/Pendulum-v0")
env.reset(seed=0)
env.step(env.action_space.sample())
env.close()
proved = Path(str(resources.files("nprl.shields.proved")))
assert (proved / "pendulum.json").is_file(), sorted(p.name for p in proved.iterdir())
assert (Path(nprl.__file__).parent / "py.typed").is_file()
END
"$place/env/bin/shield-check" "$("$place/env/bin/python" -I -c 'from importlib import resources
print(resources.files("nprl.shields.proved") / "pendulum.json")')"
echo "the wheel works outside the checkout"
