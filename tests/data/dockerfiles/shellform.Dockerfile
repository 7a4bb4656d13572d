FROM python:3.13
ENTRYPOINT exec gunicorn app:app --bind $HOST:$PORT
CMD gunicorn app:app
