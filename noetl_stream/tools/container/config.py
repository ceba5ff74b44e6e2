"""What a container task may say. Where it runs, and as whom, is the operator's choice, so nothing here names it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from noetl_stream.tools.config import Config

VARIABLE = r"^[-._a-zA-Z][-._a-zA-Z0-9]*$"
NAME = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"


class Resources(Config):
    requests: dict[str, str | int | float] = Field(
        default_factory=dict, description="what a node must have free, as `{cpu: 500m, memory: 1Gi}`"
    )
    limits: dict[str, str | int | float] = Field(
        default_factory=dict, description="what the container may use at most"
    )


class ContainerConfig(Config):
    image: str = Field(min_length=1, description="the image, best by its digest")
    command: str | list[str | int | float] | None = Field(
        None, description="a list of words in place of the image's entrypoint, or text for `/bin/sh`"
    )
    args: list[str | int | float] = Field(default_factory=list, description="the words it is called with")
    env: dict[Annotated[str, Field(pattern=VARIABLE)], Any] = Field(
        default_factory=dict,
        description="its environment; in a cluster it stands in a Secret that goes with the Job",
    )
    namespace: str | None = Field(
        None,
        pattern=NAME,
        description="in a cluster: one of those the installation uses; by default the first of them",
    )
    resources: Resources = Field(default_factory=Resources, description="`requests` and `limits`")
    restart_policy: Literal["Never", "OnFailure"] = Field(
        "Never", description="in a cluster: `OnFailure` lets its node start it again in the same pod"
    )
    backoff_limit: int = Field(
        0, ge=0, le=100, description="in a cluster: how often Kubernetes itself tries it again"
    )
    service_account: str | None = Field(
        None, pattern=NAME, description="in a cluster: as whom it speaks to it; by default as nobody"
    )
    log_lines: int = Field(100, ge=0, le=10_000, description="so many last lines of its output are kept")
