"""The training log: one row per stage in progress.csv, and to TensorBoard where it is installed."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stable_baselines3.common import logger as sb3_logger
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

from nprl.files import write_atomic

Row = dict[str, float]
STEPS = "time/total_timesteps"
"""The column that counts environment steps."""


class Log:
    """Rows named as TensorBoard names them (``section/name``), in a file that is always whole."""

    def __init__(self, folder: Path, rows: list[Row]) -> None:
        """A log that goes on after ``rows``, those of the stages that are done."""
        self.rows = rows
        self._path = folder / "progress.csv"
        self._board: sb3_logger.TensorBoardOutputFormat | None = None
        if getattr(sb3_logger, "SummaryWriter", None) is not None:
            self._board = sb3_logger.TensorBoardOutputFormat(str(folder / "tensorboard"))
        if rows:
            self._write()

    def add(self, row: Row) -> None:
        """Append a row; a key that is new becomes a column."""
        self.rows.append(row)
        self._write()
        if self._board is not None:
            self._board.write(dict(row), {key: () for key in row}, int(row[STEPS]))

    def close(self) -> None:
        """Close TensorBoard's file."""
        if self._board is not None:
            self._board.close()

    def _write(self) -> None:
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _short(value) for key, value in row.items()} for row in self.rows)
        write_atomic(self._path, text.getvalue())


class Bar(BaseCallback):
    """A progress bar on a terminal; nothing elsewhere, or where ``NO_COLOR`` is set."""

    def __init__(self, total: int, done: int, shown: bool) -> None:
        """A bar from ``done`` to ``total`` environment steps."""
        super().__init__()
        hidden = not shown or bool(os.environ.get("NO_COLOR")) or not sys.stderr.isatty()
        self.bar: Any = tqdm(
            total=total, initial=done, unit="step", unit_scale=True, disable=hidden, file=sys.stderr
        )

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.bar.update(self.num_timesteps - self.bar.n)

    def tell(self, row: Mapping[str, float]) -> None:
        """Show the last evaluation."""
        self.bar.set_postfix_str(f"return {row['eval/mean_reward']:.4g}")

    def close(self) -> None:
        """Leave the bar as it is."""
        self.bar.close()


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.8g}"
