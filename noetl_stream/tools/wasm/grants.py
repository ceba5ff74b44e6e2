"""What a module may import: its input and output always, clock, randomness and files where they are granted, nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from noetl_stream.errors import ToolError
from noetl_stream.tools.wasm.config import Capabilities

if TYPE_CHECKING:
    from wasmtime import ImportType

WASI: Final = "wasi_snapshot_preview1"
# On descriptors that are open already: the input, the outputs, and what `path_open` brought.
_FREE: Final = frozenset((
    "args_get", "args_sizes_get", "environ_get", "environ_sizes_get", "proc_exit", "sched_yield",
    "fd_advise", "fd_allocate", "fd_close", "fd_datasync", "fd_fdstat_get", "fd_fdstat_set_flags", "fd_fdstat_set_rights",
    "fd_filestat_get", "fd_filestat_set_size", "fd_filestat_set_times", "fd_pread", "fd_prestat_dir_name",
    "fd_prestat_get", "fd_pwrite", "fd_read", "fd_renumber", "fd_seek", "fd_sync", "fd_tell", "fd_write",
))  # fmt: skip
_FILES: Final = (
    "fd_readdir", "path_create_directory", "path_filestat_get", "path_filestat_set_times", "path_link", "path_open",
    "path_readlink", "path_remove_directory", "path_rename", "path_symlink", "path_unlink_file",
)  # fmt: skip
# Not `poll_oneoff`: nothing could end its sleep.
_GRANTED_BY: Final = {
    "clock_time_get": "clock",
    "clock_res_get": "clock",
    "random_get": "random",
    **dict.fromkeys(_FILES, "files"),
}


def check_granted(imports: Iterable[ImportType], granted: Capabilities) -> None:
    """Whether all that the module imports is there for it.

    Raises:
        ToolError: it is not; it names what is asked for, and what would grant it.
    """
    asked = [(each.module, each.name or "") for each in imports]
    missing = {f"{module}.{name}": _missing(module, name, granted) for module, name in asked}
    refused = {name: capability for name, capability in missing.items() if capability is not None}
    if not refused:
        return
    lacking = sorted({capability for capability in refused.values() if capability})
    closed = [name for name, capability in refused.items() if not capability]
    nobody = f"no task grants {', '.join(closed)}, build the module without" if closed else ""
    grant = f"grant `capabilities: {{{', '.join(map(_spelled, lacking))}}}`" if lacking else ""
    raise ToolError(
        f"the wasm module asks for {', '.join(refused)}, not granted; {'; '.join(filter(None, (grant, nobody)))}",
        kind="client_error",
        code="not_granted",
    )


def _missing(module: str, name: str, granted: Capabilities) -> str | None:
    """The capability that an import lacks; empty if none would do, None if nothing is lacking."""
    if module != WASI:
        return ""
    if name in _FREE:
        return None
    capability = _GRANTED_BY.get(name, "")
    return None if capability and getattr(granted, capability) else capability


def _spelled(capability: str) -> str:
    return "files: {/name: folder}" if capability == "files" else f"{capability}: true"
