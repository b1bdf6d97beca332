# The web service on a CPU, without TensorFlow: kerasfer.lite, FastAPI and the bundled recognizers. Nothing but Python's
# base image and the package index is asked for.
#
#     docker build -t kerasfer .
#     docker run --rm -p 8000:8000 kerasfer                            # http://127.0.0.1:8000/docs
#     docker run --rm -p 8000:8000 kerasfer --model edge --workers 4   # options of `kerasfer serve --api`
FROM python:3.12-slim
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
WORKDIR /opt/kerasfer
COPY LICENSE README.md pyproject.toml setup.cfg ./
COPY kerasfer kerasfer
COPY saved_models saved_models
RUN python -m pip install ".[serve]"
# From anywhere but the checkout's folder the installed package is what is found.
WORKDIR /
USER 65534:65534
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["kerasfer", "serve", "--api", "--host", "0.0.0.0", "--port", "8000", "--allow-host", "*"]
