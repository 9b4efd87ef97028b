# syntax=docker/dockerfile:1
# The live engine with its pages (target `runtime`, the default), the same with the compiled kernel (`research`), and
# with everything for studies, on one machine or on a cluster (`study`).
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-trixie
ARG NODE_IMAGE=docker.io/library/node:24-trixie-slim
# Digests (@sha256:...) pin both to the same bytes for good; without them a build takes the tags' newest images.
ARG PYTHON_DIGEST=
ARG NODE_DIGEST=

# ---------------------------------------------------------------- what the pages load, pinned by ui/package-lock.json
# These files are the same on every architecture, so fetch them on the build platform.
FROM --platform=${BUILDPLATFORM:-linux/amd64} ${NODE_IMAGE}${NODE_DIGEST} AS modules
WORKDIR /modules
COPY ui/package.json ui/package-lock.json ui/.npmrc ./
RUN npm ci --silent

# ---------------------------------------------------------------- the locked dependencies and the package, by uv
FROM ${PYTHON_IMAGE}${PYTHON_DIGEST} AS build
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
# Under emulation a download can wait longer for the processor than the defaults allow.
ENV PIP_DEFAULT_TIMEOUT=300 PIP_RETRIES=10 UV_HTTP_TIMEOUT=300 UV_HTTP_RETRIES=10
RUN pip install --no-cache-dir --disable-pip-version-check uv==0.13.9
RUN uv venv /opt/papertape
WORKDIR /build
COPY requirements requirements
COPY pyproject.toml README.md LICENSE ./
# The dependencies first: they change less often than the code, and their layer is kept.
# EXTRAS=exchanges adds ccxt, for every exchange but Bitget; its dependencies have a lock of their own.
ARG EXTRAS=
RUN uv pip install --python /opt/papertape/bin/python --require-hashes -r "requirements/notify${EXTRAS:+-$EXTRAS}.lock"
COPY events events
COPY engine engine
COPY projections projections
COPY api api
COPY ui ui
COPY cli cli
COPY sandbox sandbox
COPY studies studies
COPY examples examples
COPY papertape papertape
COPY papertape.toml demo.toml ./
COPY tools/assets.py tools/build_pages.py tools/
COPY --from=modules /modules/node_modules /modules
RUN python tools/assets.py /modules
# What uv leaves behind may be written by everybody.
RUN uv pip install --python /opt/papertape/bin/python --no-deps . && rm -f /opt/papertape/.lock

FROM build AS build-research
RUN uv pip install --python /opt/papertape/bin/python --require-hashes -r requirements/research.lock \
    && rm -f /opt/papertape/.lock

FROM build AS build-study
RUN uv pip install --python /opt/papertape/bin/python --require-hashes -r requirements/study.lock \
    && rm -f /opt/papertape/.lock

# ---------------------------------------------------------------- what runs
FROM ${PYTHON_IMAGE}${PYTHON_DIGEST} AS base
ARG VERSION=0.1.0
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="papertape" \
      org.opencontainers.image.description="An event-sourced paper-trading engine for crypto perpetual futures" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"
ENV PATH=/opt/papertape/bin:$PATH \
    PAPERTAPE_COMMIT=${COMMIT} \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin papertape \
    && mkdir -p /data /logs /archive /config/strategies \
    && chown 10001:10001 /data /logs /archive
WORKDIR /config
COPY papertape.toml /config/papertape.toml
USER 10001:10001
VOLUME ["/data", "/logs"]
EXPOSE 8700
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s --retries=4 \
    CMD ["python", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:8700/ready', timeout=4)"]
ENTRYPOINT ["papertape"]
CMD ["up", "--feed", "live", "--host", "0.0.0.0", "--db", "/data/papertape.db", \
     "--set", "logs.folder=/logs", "--set", "logs.format=json", "--json"]

FROM base AS research
COPY --from=build-research /opt/papertape /opt/papertape

FROM base AS study
COPY --from=build-study /opt/papertape /opt/papertape

FROM base AS runtime
COPY --from=build /opt/papertape /opt/papertape
