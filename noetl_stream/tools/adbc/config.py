"""What tasks on databases with an ADBC driver take, beside their credential."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from noetl_stream.tools.sql_config import StatementsConfig


class AdbcConfig(StatementsConfig):
    driver: Literal["flightsql", "postgresql", "snowflake"] = Field(
        description="whose ADBC driver: of any server that speaks Arrow Flight SQL, of PostgreSQL, or of Snowflake"
    )
