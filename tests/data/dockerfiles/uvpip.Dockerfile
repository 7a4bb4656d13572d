FROM python:3.13-slim
COPY --from=ghcr.io/astral-sh/uv:latest /uv /bin/uv
RUN --mount=type=bind,source=requirements.txt,target=/tmp/r.txt uv pip install --system -r /tmp/r.txt
COPY --chown=1000:1000 --chmod=755 main.py /srv/
CMD ["python", "/srv/main.py"]
