"""Recognition as a web service: pictures in, expressions out, by `kerasfer.lite` and so without TensorFlow.

    kerasfer serve --api --port 8000          # described at /docs and /openapi.json
    curl -F image=@photo.jpg http://127.0.0.1:8000/recognize

    app = create_app(["edge"])                # for any ASGI server

Pictures come in the request alone: no path is opened, no address fetched, and nothing is kept. Needs fastapi, uvicorn,
prometheus-client and python-multipart (`pip install 'kerasfer[serve]'`).
"""

from __future__ import annotations

try:
    import fastapi  # noqa: F401
    import prometheus_client  # noqa: F401
    import python_multipart  # noqa: F401
except ImportError as error:
    raise ImportError(f"{error.name} is missing, which serving needs; pip install 'kerasfer[serve]'") from error

from kerasfer.api.app import create_app
from kerasfer.api.pictures import ApiLimits

__all__ = ["ApiLimits", "create_app"]
