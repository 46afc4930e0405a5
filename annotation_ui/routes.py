"""Plain HTTP beside the pages, in the same process: the outbox, the next texts, images, the browser's seat, health."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from annotation_ui import delivery
from annotation_ui.opened import opened
from harness.errors import NotYours, SeatUnknown
from harness.study.rating.views import Seat

LONGEST_BODY = 1_000_000
"""Bytes of one delivery."""
SEAT_SECONDS = 60 * 24 * 3600
"""How long a browser remembers its seat."""
_PRIVATE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Refused(Exception):
    """A request that is not served; `status` is HTTP's."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


async def outbox(request: Request) -> Response:
    """Keep finished forms; any number of times, with the same effect as once. Answers receipts and the next texts."""
    body = await _body(request)
    seat = await _seat(request)

    def keep() -> dict[str, Any]:
        service = opened().service
        receipts = delivery.deliver(service, seat, body)
        return {"receipts": receipts} | delivery.next_work(service, seat)

    return JSONResponse(await run_in_threadpool(keep), headers=_PRIVATE)


async def next_texts(request: Request) -> Response:
    """The texts to rate now and next."""
    await _body(request)
    seat = await _seat(request)
    return JSONResponse(await run_in_threadpool(delivery.next_work, opened().service, seat), headers=_PRIVATE)


async def image(request: Request) -> Response:
    """One of the study's own images, for somebody who has a seat."""
    seat = await _seat(request)
    try:
        content, mime = await run_in_threadpool(opened().service.image, seat, request.path_params["media"])
    except NotYours as error:
        raise Refused(404, "no such image") from error
    headers = {
        "Cache-Control": "private, max-age=86400, immutable",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(content, media_type=mime, headers=headers)


async def keep_seat(request: Request) -> Response:
    """Have the browser remember its seat in a cookie that no script can read."""
    body = await _body(request)
    key = body.get("key") if isinstance(body, dict) else None
    if not isinstance(key, str):
        raise Refused(400, "a seat has a key")
    await _seat_of(key)
    answer = JSONResponse({"seated": True}, headers=_PRIVATE)
    secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
    answer.set_cookie(opened().cookie, key, max_age=SEAT_SECONDS, httponly=True, samesite="lax", secure=secure)
    return answer


async def give_up_seat(request: Request) -> Response:
    """Give the seat of this browser up."""
    await _body(request)
    key = request.cookies.get(opened().cookie)
    if key:
        await run_in_threadpool(opened().service.sign_out, key)
    answer = JSONResponse({"seated": False}, headers=_PRIVATE)
    answer.delete_cookie(opened().cookie, httponly=True, samesite="lax")
    return answer


async def health(request: Request) -> Response:
    """Whether the process runs and its database answers."""
    await run_in_threadpool(opened().service.protocol)
    return JSONResponse({"status": "ok"}, headers=_PRIVATE)


async def refuse(request: Request, error: Refused) -> Response:
    """The answer to a refused request: a few words, nothing about the study."""
    return JSONResponse({"error": str(error)}, status_code=error.status, headers=_PRIVATE)


ROUTES = (
    Route("/api/outbox", outbox, methods=["POST"]),
    Route("/api/next", next_texts, methods=["POST"]),
    Route("/api/image/{media:str}", image, methods=["GET"]),
    Route("/api/seat", keep_seat, methods=["POST"]),
    Route("/api/leave", give_up_seat, methods=["POST"]),
    Route("/api/health", health, methods=["GET"]),
)


async def _seat(request: Request) -> Seat:
    key = request.cookies.get(opened().cookie)
    if not key:
        raise Refused(401, "no seat")
    return await _seat_of(key)


async def _seat_of(key: str) -> Seat:
    try:
        return await run_in_threadpool(opened().service.seat, key)
    except SeatUnknown as error:
        raise Refused(401, "no seat") from error


async def _body(request: Request) -> Any:
    """The JSON of a request that one of our own pages sent."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc not in _hosts(request):
        raise Refused(403, "another site's page")
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise Refused(415, "JSON is expected")  # no form of another site can send that unasked
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > LONGEST_BODY:
            raise Refused(413, "too long")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "no JSON") from error


def _hosts(request: Request) -> set[str]:
    """The names by which a browser may have reached this server, a proxy's included."""
    return {request.headers.get("host", ""), request.headers.get("x-forwarded-host", "")} - {""}
