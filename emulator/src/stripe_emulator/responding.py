"""What goes back over the connection: an answer of the API, or nothing at all."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from stripe_emulator.protocol.api import Answer
from stripe_emulator.serving import CUT

JSON_TYPE = "application/json"


def respond(answer: Answer) -> Response:
    """The answer over HTTP."""
    return Response(answer.body, status_code=answer.status, headers=answer.headers, media_type=JSON_TYPE)


class CutOff(Response):
    """No answer: the connection is cut off."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Cut it off, and wait until it is, lest the server answers for us."""
        scope["extensions"][CUT]["now"]()
        while (await receive())["type"] != "http.disconnect":
            pass
