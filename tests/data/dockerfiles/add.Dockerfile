FROM python:3.13
ADD https://example.com/model.bin /models/
ADD model.tar.gz /models/
ADD main.py /app/
COPY *.py /app/
COPY absent.txt /app/
