FROM python:3.13
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN curl -sSL https://example.com/install.sh | bash
MAINTAINER someone
