ARG VERSION=3.11
FROM python:${VERSION}-slim
ARG TORCH=2.6.0
ARG TOKEN
ENV APP_HOME=/srv/${NAME:-app} MODE=${TORCH:+fast}
WORKDIR $APP_HOME
RUN pip install torch==${TORCH}
RUN pip install private==$TOKEN
ENV LEVEL $TOKEN
