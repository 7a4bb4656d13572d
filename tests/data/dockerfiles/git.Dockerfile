FROM python:3.11
RUN pip install git+https://example.com/x.git ./local -e .
RUN pip install --extra-index-url https://me:hunter2@pypi.example.com/simple wanted
