FROM nvcr.io/nvidia/pytorch:24.05-py3
RUN pip install flash-attn --no-build-isolation; make -C /src || true
RUN groupadd app && useradd -g app app
USER app
