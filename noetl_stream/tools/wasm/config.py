"""What a wasm task takes: the module, what it is given beyond its input, and how much it may use."""

from __future__ import annotations

from typing import Any

from pydantic import AliasChoices, Field, field_validator, model_validator

from noetl_stream.tools.config import Config


class Module(Config):
    """Which module, and where in it to begin."""

    path: str | None = Field(None, description="a file under the configured folder")
    module: Any = Field(
        None,
        description="the module itself: WAT text, base64 text, or what an `object` task got as `bytes`",
    )
    version: str | None = Field(
        None, description="what its section `version` must say, or `sha256:…` of its bytes"
    )
    entry: str | None = Field(None, description="the exported function; `_start`, or else `run`")

    @field_validator("version", mode="before")
    @classmethod
    def _text(cls, version: Any) -> Any:
        return str(version) if isinstance(version, int | float) else version

    @model_validator(mode="after")
    def _one(self) -> Module:
        if (self.path is None) == (self.module is None):
            raise ValueError("a plugin has either a `path` or a `module`")
        return self


class Folder(Config):
    """A folder that the module sees."""

    path: str = Field(description="the folder, under the configured one")
    write: bool = Field(False, description="whether it may change what is in it")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, folder: Any) -> Any:
        return {"path": folder} if isinstance(folder, str) else folder


class Capabilities(Config):
    """What the module is given beyond its input. Nothing is given that does not stand here."""

    clock: bool = Field(False, description="what time it is")
    random: bool = Field(False, description="randomness")
    env: dict[str, Any] = Field(default_factory=dict, description="its environment")
    files: dict[str, Folder] = Field(
        default_factory=dict, description="folders, by their names in the module"
    )

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, granted: Any) -> Any:
        return dict.fromkeys(granted, True) if isinstance(granted, list) else granted


class Limits(Config):
    """How much the module may use."""

    fuel: int = Field(10_000_000_000, gt=0, description="instructions, about")
    memory_bytes: int = Field(
        256 << 20, gt=0, le=4 << 30, validation_alias=AliasChoices("memory_bytes", "memory")
    )
    output_bytes: int = Field(16 << 20, gt=0, description="of the result")


class WasmConfig(Config):
    plugin: Module = Field(
        description="`path`, a file under the configured folder, or `module`, the module itself (WAT, base64, or what an "
        "`object` task got as `bytes`); `version`, which must be the module's; `entry`, by default `_start` or `run`"
    )
    capabilities: Capabilities = Field(
        default_factory=Capabilities,
        description="what it is given beyond its input: `clock`, `random`, `env` (a mapping), `files` (folders by their "
        "names in the module: a path under the configured folder, or `{path, write}`)",
    )
    limits: Limits = Field(
        default_factory=Limits,
        description="instructions (10,000,000,000 by default), memory (256 MiB), and size of the result (16 MiB)",
    )

    @field_validator("plugin", mode="before")
    @classmethod
    def _short(cls, plugin: Any) -> Any:
        return {"path": plugin} if isinstance(plugin, str) else plugin
