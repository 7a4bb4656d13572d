FROM nvidia/cuda:12.4.1-cudnn-runtime-ubuntu22.04
ENV DEBIAN_FRONTEND=noninteractive HF_HOME=/tmp/hf
RUN apt-get update && apt-get install -y --no-install-recommends \
    python3 python3-pip \
    # sound
    libsndfile1 \
    && rm -rf /var/lib/apt/lists/*
RUN pip3 install --no-cache-dir torch==2.6.0 --index-url https://download.pytorch.org/whl/cu124
WORKDIR /app
COPY app ./
ENTRYPOINT ["python3", "main.py"]
