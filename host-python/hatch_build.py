"""Puts the component into the package: `cargo xtask build` has made it in `host/component`."""

from hashlib import sha256
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ComponentHook(BuildHookInterface):  # type: ignore[type-arg]
    """Copies the component where there is a repository around; a source distribution carries it already."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        built = Path(self.root).parent / "host" / "component" / "sessile.wasm"
        inside = Path(self.root) / "src" / "sessile" / "component"
        if built.is_file():
            component = built.read_bytes()
            inside.mkdir(exist_ok=True)
            for old in inside.glob("*.wasm"):
                old.unlink()
            # The name tells one from another, so that no start needs to look at all of it.
            (inside / f"sessile-{sha256(component).hexdigest()}.wasm").write_bytes(component)
        elif not list(inside.glob("sessile-*.wasm")):
            raise FileNotFoundError(f"{built} is not there; run `cargo xtask build` once")
