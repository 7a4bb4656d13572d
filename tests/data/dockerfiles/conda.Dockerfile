FROM continuumio/miniconda3:24.1.2-0
RUN conda install -y -c conda-forge faiss-cpu && conda clean -afy
COPY requirements.txt .
RUN pip install -r requirements.txt
CMD ["python", "app.py"]
