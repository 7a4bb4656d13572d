FROM python:3.13
RUN pip install fastapi uvicorn
HEALTHCHECK --interval=30s CMD curl -f http://localhost/ || exit 1
USER nobody
CMD ["uvicorn", "a:b"]
