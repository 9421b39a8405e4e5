# The gateway as a container: a slim Python, the locked dependencies, our wheel, not root.
FROM python:3.13.7-slim-bookworm AS build
WORKDIR /build
COPY requirements.lock pyproject.toml README.md ./
# The dependencies change seldom, so they are a layer of their own; --require-hashes takes nothing that is not in the lock.
RUN python -m venv /opt/village \
    && /opt/village/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
COPY devices devices
COPY gateway gateway
COPY dashboards dashboards
COPY simulators simulators
RUN python -m pip wheel --no-cache-dir --disable-pip-version-check --no-deps --wheel-dir /build/dist . \
    && /opt/village/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps /build/dist/*.whl

FROM python:3.13.7-slim-bookworm
RUN groupadd --gid 10001 village \
    && useradd --uid 10001 --gid village --home-dir /var/lib/village --no-create-home --shell /usr/sbin/nologin village \
    && install -d -o village -g village -m 0750 /var/lib/village
COPY --from=build /opt/village /opt/village
COPY deploy/mosquitto.conf deploy/compose /usr/share/village/
ENV PATH=/opt/village/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 VILLAGE_CONFIG=/etc/village/village.toml
USER village
WORKDIR /var/lib/village
VOLUME /var/lib/village
EXPOSE 8765
# What the broker was told is on disk anyway; a minute lets the gateway finish its batch and save its state.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=15m CMD ["python", "/usr/share/village/healthy.py"]
ENTRYPOINT ["sh", "/usr/share/village/with-secrets.sh"]
CMD ["village", "run", "--config", "/etc/village/village.toml"]
