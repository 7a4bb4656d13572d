FROM python:3.12
RUN pip install poetry==1.8.3
COPY pyproject.toml ./
RUN poetry install --no-root
COPY app app
CMD ["poetry", "run", "serve"]
