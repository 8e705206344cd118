"""The strict external delegate of data/strict_delegate.c, built and read out."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder

from fer_edge.vision.delegate import Delegate
from tests.support.paths import DATA

SOURCE = DATA / "strict_delegate.c"


@dataclass(frozen=True)
class Strict:
    """The library, and the file in which it writes what happens to it."""

    library: Path
    log: Path

    def delegate(self, **options: str | float) -> Delegate:
        return Delegate(str(self.library), {"log": str(self.log), **options})

    def lines(self, *words: str) -> list[str]:
        """Those of the log that begin with one of these words; none: all."""
        text = self.log.read_text() if self.log.exists() else ""
        return [line for line in text.splitlines() if not words or line.split()[0] in words]

    def assert_clean(self, created: int) -> None:
        """So many delegates came, each was given one graph and has gone once, after its kernels; no rule was broken."""
        assert self.lines("VIOLATION") == []
        begun, ended = self.lines("create"), self.lines("destroy")
        assert len(begun) == created
        assert sorted(line.split()[1] for line in begun) == sorted(line.split()[1] for line in ended)
        assert len(self.lines("prepare")) == created


def build(folder: Path) -> Path:
    """The shared library; skips where there is no compiler."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    library = folder / "libstrict_delegate.so"
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, "-o", str(library), str(SOURCE)], check=True)
    return library


def compiled_for_strict(models: Path, name: str, folder: Path) -> None:
    """Put a model and its card into `folder`, its RESHAPE turned into the custom operator strict-copy: what the
    compilers of accelerators do to whole models."""
    table = schema.ModelT.InitFromPackedBuf((models / f"{name}.tflite").read_bytes())
    (code,) = (each for each in table.operatorCodes if each.builtinCode == schema.BuiltinOperator.RESHAPE)
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = b"strict-copy"
    index = table.operatorCodes.index(code)
    for operator in table.subgraphs[0].operators:
        if operator.opcodeIndex == index:
            operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.NONE, None
    builder = Builder(0)
    builder.Finish(table.Pack(builder), b"TFL3")
    content = bytes(builder.Output())
    card = json.loads((models / f"{name}.json").read_text())
    card |= {"name": f"{name}_strict", "file": f"{name}_strict.tflite", "bytes": len(content)}
    card["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / f"{name}_strict.tflite").write_bytes(content)
    (folder / f"{name}_strict.json").write_text(json.dumps(card))
