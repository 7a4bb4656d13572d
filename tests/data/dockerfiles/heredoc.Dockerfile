# syntax=docker/dockerfile:1
FROM ubuntu:22.04
RUN <<EOF
apt-get update
apt-get install -y libgomp1
EOF
COPY <<"END" /etc/app.yaml
workers: 2
END
RUN <<EOF bash
if true; then echo yes; fi
EOF
