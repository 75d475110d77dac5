"""HEAD wherever there is GET. Starlette's own routes have it; FastAPI's do not."""

from fastapi import APIRouter
from fastapi.routing import APIRoute


def answer_head(router: APIRouter) -> APIRouter:
    """Answer HEAD by the function that answers GET, unless the path has one already; the server drops the body."""
    routes = [route for route in router.routes if isinstance(route, APIRoute)]
    answered = {route.path for route in routes if "HEAD" in (route.methods or ())}
    for route in routes:
        if "GET" in (route.methods or ()) and route.path not in answered:
            router.add_api_route(
                route.path,
                route.endpoint,
                methods=["HEAD"],
                response_model=route.response_model,
                dependencies=route.dependencies,
                include_in_schema=False,
            )
    return router
