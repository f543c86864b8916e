"""Puts the component into the package: `cargo xtask build` has made it in `host/component`."""

from pathlib import Path
from shutil import copyfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ComponentHook(BuildHookInterface):  # type: ignore[type-arg]
    """Copies the component where there is a repository around; a source distribution carries it already."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        built = root.parent / "host" / "component" / "sessile.wasm"
        inside = root / "src" / "sessile" / "component" / "sessile.wasm"
        if built.is_file():
            inside.parent.mkdir(exist_ok=True)
            copyfile(built, inside)
        elif not inside.is_file():
            raise FileNotFoundError(f"{built} is not there; run `cargo xtask build` once")
