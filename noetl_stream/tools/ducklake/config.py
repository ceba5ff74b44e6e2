"""What a ducklake task takes: the keys of every SQL kind, and where the lake is."""

from __future__ import annotations

from pydantic import Field

from noetl_stream.tools.sql_config import SqlConfig


class DucklakeConfig(SqlConfig):
    catalog_connection: str | None = Field(
        None,
        description="where the catalog is: a DuckDB file, `sqlite:FILE`, or a `postgresql://…`; by default the server that `auth` names",
    )
    catalog_name: str = Field("lake", min_length=1, description="what the lake is called in SQL")
    data_path: str | None = Field(
        None, description="the folder of its Parquet files; need be told only when the lake is made"
    )
    database: str = Field(
        ":memory:", description="a DuckDB file beside the lake; by default a fresh one in memory"
    )
