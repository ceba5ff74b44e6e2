# One image for every role: `docker run noetl-stream worker --pool default`.
# Kinds whose libraries are extras: `docker build --build-arg EXTRAS=nats,snowflake .`
FROM python:3.12-slim AS build
WORKDIR /src
COPY . .
RUN pip wheel --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
RUN useradd --create-home noetl && mkdir /data /cache && chown noetl /data /cache
ARG EXTRAS=mcp,nats,wasm
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir "$(echo /wheels/*.whl)[$EXTRAS]" && rm -r /wheels
USER noetl
ENTRYPOINT ["noetl-stream"]
