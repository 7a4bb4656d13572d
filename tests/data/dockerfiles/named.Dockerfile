FROM python:3.11 AS base
ENV A=1
FROM base AS dev
RUN pip install pytest
FROM base AS final
COPY app /app
RUN ["pip", "install", "numpy"]
CMD ["python", "/app/main.py"]
