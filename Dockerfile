# Concord's server in a container; compose.yaml runs it beside PostgreSQL.
#   docker build --tag concord-preferences .
#   docker build --tag concord-preferences:train --build-arg EXTRAS=train .    with torch, several GB
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
ARG EXTRAS=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/concord
# What the wheel is made of (.dockerignore names it), at the versions that are tested together.
COPY . .
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/concord/bin/python -m pip install --constraint constraints.txt ".${EXTRAS:+[${EXTRAS}]}"

FROM python:${PYTHON}-slim
RUN useradd --uid 10001 --create-home concord \
    && install --directory --owner=concord --group=concord --mode=0750 /workspace
COPY --from=build /opt/concord /opt/concord
ENV PATH=/opt/concord/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    CONCORD_WORKSPACE=/workspace
# By number, so that Kubernetes can see it is not root.
USER 10001
# The store, where it is SQLite, and every folder that a command writes.
WORKDIR /workspace
VOLUME /workspace
EXPOSE 7860
# The first check comes after one interval, and whoever starts it waits for that.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 7860, timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
# 0.0.0.0 is the container's own inside; who reaches it is decided where the port is published.
ENTRYPOINT ["concord"]
CMD ["annotate", "serve", "--host", "0.0.0.0", "--port", "7860"]
