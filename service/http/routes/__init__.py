"""HTTP routes: each only translates between HTTP and what stands below."""

from service.http.routes import health, llms, models, open_inference, watch
from service.http.routes.flow import flow_routes
from service.http.routes.flow_openapi import openapi_paths
from service.http.routes.infer_openapi import NATIVE_ERRORS, infer_paths
from service.http.routes.llms import llms_text
from service.http.routes.mcp import McpRoute
from service.http.routes.open_inference import InferRoute
from service.http.routes.pages import page_routes

ROUTERS = (models.router, watch.router, open_inference.router, health.router, llms.router)

__all__ = [
    "NATIVE_ERRORS",
    "ROUTERS",
    "InferRoute",
    "McpRoute",
    "flow_routes",
    "infer_paths",
    "llms_text",
    "openapi_paths",
    "page_routes",
]
