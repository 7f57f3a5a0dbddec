"""Formats rendered Python as the rest of the repository is formatted."""

from __future__ import annotations

import functools
import subprocess
import sys

from codegen.prose import WIDTH


@functools.lru_cache(maxsize=32)
def format_python(text: str, name: str) -> str:
    """The text as `ruff format` writes it; `name` is the file's, for messages.

    Raises:
        SyntaxError: A renderer wrote what is not Python.
    """
    # Isolated, so that the output depends on nothing but the text and the formatter's version.
    options = ["--isolated", f"--line-length={WIDTH}", "--target-version=py310"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", *options, f"--stdin-filename={name}", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SyntaxError(f"{name}: {done.stderr.strip()}")
    return done.stdout
