"""The build of a wheel, as hatchling calls it: with the compiled parts of a step, where possible.

Without a C compiler, or with `RLMESH_COMPILED=0` in its environment, the wheel is of pure Python.
"""

from __future__ import annotations

import importlib.util
import os
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledStep(BuildHookInterface[Any]):
    """Compiles the extension in place, and puts it into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See hatchling; `version` is `editable` where the checkout itself is installed."""
        building = _building(Path(self.root))
        if os.environ.get("RLMESH_COMPILED") == "0":
            return
        if missing := building.build():
            self.app.display_warning(f"rlmesh is built of pure Python: {missing}")
            return
        name = f"rlmesh/compiled/{building.BINARY.name}"
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"cp310-abi3-{platform}"
        if version != "editable":
            build_data["force_include"][str(building.BINARY)] = name


def _building(root: Path) -> ModuleType:
    """The module that compiles; `rlmesh` itself cannot be imported yet."""
    path = root / "rlmesh/compiled/building.py"
    spec = importlib.util.spec_from_file_location("building", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
