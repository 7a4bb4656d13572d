FROM python:3.11-slim AS build
RUN apt-get update && apt-get install -y gcc
RUN python -m venv /venv
COPY requirements.txt /tmp/requirements.txt
RUN /venv/bin/pip install -r /tmp/requirements.txt
FROM python:3.11-slim
COPY --from=build /venv /venv
COPY app /app
USER 1000:1000
ENTRYPOINT ["/venv/bin/python", "/app/main.py"]
