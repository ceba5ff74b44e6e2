"""Columns of a source in the types of a target: exact, or an error that names the column and its rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from noetl_stream.errors import ToolError
from noetl_stream.tools.transfer.texts import json_texts, uuid_texts, uuids_of

UUID: Final = pa.uuid()
JSON: Final = pa.json_(pa.string())
_NO_VALUE: Final = (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, ValueError, TypeError)
_PLAIN: Final = {"arrow.bool8": pa.bool_(), "arrow.json": JSON, "arrow.uuid": UUID}


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type without what only one library has: views, dictionaries, foreign extensions, wide offsets."""
    if isinstance(kind, pa.BaseExtensionType):
        return _PLAIN.get(kind.extension_name, kind.storage_type)
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    if is_list(kind):
        return pa.list_(plain_type(kind.value_type))
    if pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp(kind.unit, "UTC")
    return kind


def is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def is_nested(kind: pa.DataType) -> bool:
    return bool(is_list(kind) or pa.types.is_struct(kind) or pa.types.is_map(kind))


def mapped(schema: pa.Schema, mapping: Mapping[str, str]) -> pa.Schema:
    """The columns as the target is to call them, in plain types.

    Raises:
        ToolError: a column is mapped that the source does not have, or two have one name.
    """
    missing = [name for name in mapping.values() if name not in schema.names]
    if missing:
        known = ", ".join(schema.names)
        raise _refused(f"the source has no column '{missing[0]}' (`mapping`); it has {known}")
    twice = [name for name in schema.names if schema.names.count(name) > 1]
    if twice:
        raise _refused(f"the source has two columns '{twice[0]}'; rename one in its query")
    chosen = mapping or {name: name for name in schema.names}
    return pa.schema([(name, plain_type(schema.field(of).type)) for name, of in chosen.items()])


def check_columns(schema: pa.Schema, there: Collection[str], keys: Sequence[str], said: str) -> None:
    """Raises ToolError if the target lacks one of these columns, or they lack a key."""
    for name in schema.names:
        if name not in there:
            raise _refused(f"{said} has no column '{name}'; it has {', '.join(there)}: say so in `mapping`")
    for key in keys:
        if key not in schema.names:
            raise _refused(
                f"`keys` names '{key}', which is no column of what goes to {said}: {', '.join(schema.names)}"
            )


def fitted(batch: pa.RecordBatch, sources: list[str], wanted: pa.Schema, first: int) -> pa.RecordBatch:
    """These columns of the batch in the types wanted; `first` is the number of its first row, for errors."""
    columns = []
    for source, field in zip(sources, wanted, strict=True):
        try:
            columns.append(fit(batch.column(source), field.type))
        except _NO_VALUE as error:
            raise _refused(
                f"column '{field.name}', rows {first:,} to {first + batch.num_rows - 1:,}: a value is no {field.type} "
                f"({_first_line(error)}); cast it in the source, or give the target another type"
            ) from error
    return pa.RecordBatch.from_arrays(columns, schema=wanted)


def fit(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Raises one of Arrow's errors or ValueError for a value that the type does not hold."""
    if column.type.equals(kind):
        return column
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if kind in (UUID, JSON):
        return _extended(column, kind)
    if column.type == UUID and pa.types.is_string(kind):
        return uuid_texts(column.storage)
    if isinstance(column, pa.ExtensionArray):
        return fit(column.storage, kind)
    if is_list(kind) and is_list(column.type):
        return _list(column, kind)
    if is_nested(column.type) and pa.types.is_string(kind):
        return json_texts(column)
    if pa.types.is_integer(column.type) and pa.types.is_decimal(kind):
        # Straight on, Arrow asks for the digits of the widest integer, whatever the values are.
        return column.cast(pa.decimal128(20, 0)).cast(kind)
    if pa.types.is_decimal(column.type) and pa.types.is_floating(kind):
        # Arrow multiplies by a power of ten, which is not always the float nearest to the number; its text is.
        made = column.cast(pa.string()).cast(kind)
    else:
        made = column.cast(kind)
    _check_kept(column, made)
    return made


def _check_kept(column: pa.Array, made: pa.Array) -> None:
    """Raises ValueError where Arrow rounded a number or cut a moment: all else it refuses."""
    given, kind = column.type, made.type
    if pa.types.is_timestamp(given) and pa.types.is_time(kind):
        raise ValueError("its day would be cut")
    if _may_round(given, kind):
        # Only by way of text does a number become the float nearest to it.
        made = made.cast(pa.string())
    elif not (pa.types.is_timestamp(given) and pa.types.is_date(kind)):
        return
    if not _same(made.cast(given), column):
        raise ValueError("it would be rounded or cut")


def _may_round(given: pa.DataType, kind: pa.DataType) -> bool:
    floats = pa.types.is_floating(given), pa.types.is_floating(kind)
    if all(floats):
        return bool(kind.bit_width < given.bit_width)
    return any(floats) and (pa.types.is_decimal(given) or pa.types.is_decimal(kind))


def _same(one: pa.Array, other: pa.Array) -> bool:
    """NaN is itself here."""
    if one.equals(other) or not pa.types.is_floating(one.type):
        return bool(one.equals(other))
    alike = pc.or_(pc.equal(one, other), pc.and_(pc.is_nan(one), pc.is_nan(other)))
    return bool(pc.all(alike, min_count=0).as_py())


def _extended(column: pa.Array, kind: pa.DataType) -> pa.Array:
    storage = column.storage if isinstance(column, pa.ExtensionArray) else column
    if kind == UUID:
        texts = pa.types.is_string(storage.type) or pa.types.is_large_string(storage.type)
        inner = uuids_of(storage) if texts else storage.cast(pa.binary(16))
    else:
        inner = (
            storage.cast(pa.string()) if pa.types.is_string(plain_type(storage.type)) else json_texts(column)
        )
    return pa.ExtensionArray.from_storage(kind, inner)


def _list(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_fixed_size_list(column.type) or pa.types.is_large_list(column.type):
        column = column.cast(pa.list_(column.type.value_type))
    values = fit(column.flatten(), kind.value_type)
    lengths = pc.fill_null(pc.list_value_length(column), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths).cast(pa.int32())])
    return pa.ListArray.from_arrays(offsets, values, type=kind, mask=column.is_null())


def _refused(message: str) -> ToolError:
    return ToolError(message, kind="validation")


def _first_line(error: Any) -> str:
    return str(error).partition("\n")[0]
