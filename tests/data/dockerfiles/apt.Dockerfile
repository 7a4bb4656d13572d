FROM debian:bookworm-slim
RUN set -eux; apt-get update; apt-get install -y ffmpeg=7:5.1.6-0+deb12u1 libgl1 git; apt-get clean
LABEL org.opencontainers.image.title="sound" version=1
STOPSIGNAL SIGINT
