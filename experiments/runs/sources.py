"""Digest of the source code that a result depends on: some modules and what they import, as far as it is ours."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path

OURS = ("preprocessing", "dynamic_images", "fusion_net", "experiments")


def source_digest(modules: Iterable[str]) -> str:
    """Hash of the source files of these modules and of all that they import, directly or not.

    Followed are the toolkit's packages and the packages of the modules themselves; other libraries count by their
    versions. The ``__init__`` of a package counts only if something is imported from it by name.
    """
    state = hashlib.blake2b(digest_size=12)
    for name, path in sorted(source_files(modules).items()):
        state.update(name.encode() + path.read_bytes())
    return state.hexdigest()


def source_files(modules: Iterable[str]) -> dict[str, Path]:
    """Module → file of these modules and of what they import; a module without a file (a notebook) is left out."""
    roots = list(modules)
    packages = {*OURS, *(name.partition(".")[0] for name in roots)}
    found: dict[str, Path] = {}
    todo = roots
    while todo:
        name = todo.pop()
        path = _file(name)
        if name in found or path is None:
            continue
        found[name] = path
        todo += [module for module in _imported(path, name) if module.partition(".")[0] in packages]
    return found


@cache
def _spec(module: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(module)
    except (ImportError, ValueError):  # ValueError: __main__ of a notebook
        return None


def _file(module: str) -> Path | None:
    spec = _spec(module)
    return Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None


def _imported(path: Path, module: str) -> tuple[str, ...]:
    """Every module that a file imports, also inside functions; ``from a.b import c`` is ``a.b.c`` if that is one."""
    return _parsed(path, module, path.read_bytes())


@cache
def _parsed(path: Path, module: str, source: bytes) -> tuple[str, ...]:
    return tuple(_imports(path, module, source))


def _imports(path: Path, module: str, source: bytes) -> Iterator[str]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
            base = ".".join(filter(None, [above if node.level else "", node.module or ""]))
            parts = {alias.name: f"{base}.{alias.name}" for alias in node.names}
            modules = {name: full for name, full in parts.items() if _is_module(base, name)}
            yield from modules.values()
            if len(modules) < len(parts):
                yield base


def _is_module(package: str, name: str) -> bool:
    spec = _spec(package)
    folders = [] if spec is None else [Path(folder) for folder in spec.submodule_search_locations or ()]
    return any((folder / f"{name}.py").is_file() or (folder / name).is_dir() for folder in folders)
