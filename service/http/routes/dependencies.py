"""What routes ask for by type."""

from typing import Annotated

from fastapi import Depends, Request

from service.server import Server


def _server(request: Request) -> Server:
    server: Server = request.app.state.server
    return server


ServerDependency = Annotated[Server, Depends(_server)]
