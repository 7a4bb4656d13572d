FROM pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime
RUN pip install "transformers>=4.40" accelerate
COPY . /workspace
WORKDIR /workspace
CMD python main.py
