"""
FastAPI: the routes, the gate and the worker beside the app.

A webhook is answered with 2xx only after its event is stored. The caller's owner comes from the app's own sign-in,
never from the request. Every failure is a problem document (RFC 9457); an exception handler of the app for any of
paidup's errors takes precedence, so an app may answer with pages instead.
"""

# No `from __future__ import annotations` here: FastAPI could not resolve the dependencies made inside these functions.

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from paidup import fast_json
from paidup.async_billing import AsyncBilling
from paidup.billing import Billing
from paidup.checkout import Checkout
from paidup.core.access import Access
from paidup.core.invoice import Invoice
from paidup.core.subscription import Subscription
from paidup.errors import (
    BillingError,
    InvalidRequest,
    InvalidSignature,
    NotAllowed,
    NotSignedIn,
    PayloadTooLarge,
    PaymentFailed,
)
from paidup.web import problems
from paidup.web.bodies import (
    CancelBody,
    ChangeBody,
    CheckoutBody,
    GroupBody,
    PauseBody,
    PortalChangeBody,
    PreviewBody,
    of_form,
)
from paidup.web.origin import check_origin
from paidup.web.owner import Owner
from paidup.web.views import (
    access_view,
    credits_view,
    invoice_view,
    pending_change_view,
    plan_view,
    scheduled_change_view,
    subscription_view,
    upcoming_invoice_view,
)

logger = logging.getLogger("paidup")

_BODY_LIMIT = 16_384
"""Bytes of what a browser asks for: a plan, an interval and a number; or why somebody cancels."""
_FIELDS = 100
"""The most fields of a form."""
_INVOICES = 100
"""The most invoices of one page."""
_JSON = "application/json"
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_NO_STORE = {"Cache-Control": "no-store"}


_Asked = TypeVar("_Asked", bound=BaseModel)


class BillingRoutes:
    """
    Billing's routes for one app.

    `owner` is a dependency of yours, sync or async, that gives who is asking as an `Owner`, or None when nobody is
    signed in. Mount `router` under a prefix of your choice, and give the app `lifespan`, which runs the worker beside
    it unless PAIDUP_WORKER is `outside`.
    """

    def __init__(self, billing: Billing, *, owner: Callable[..., Owner | Awaitable[Owner | None] | None]) -> None:
        self.billing = billing
        self._async = AsyncBilling(billing)
        self._owner = owner
        self.router = APIRouter(tags=["billing"])
        self._add_routes()

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[None]:
        """Run the worker while the app runs, and let it finish what is under way at the end."""
        if self.billing.settings.worker == "outside":
            yield
            return
        worker = self.billing.worker()
        worker.start()
        try:
            yield
        finally:
            await run_in_threadpool(worker.stop)

    def requires(self, feature: str) -> Any:
        """
        A dependency that gives the caller's Access if it includes the feature: `Annotated[Access, routes.requires(…)]`.

        Otherwise the request ends with 402 and the way to pay, or 401. Raises ValueError here and now for a feature
        that is not in the plans file.
        """
        if feature not in self.billing.catalog.features:
            known = ", ".join(self.billing.catalog.features) or "none"
            raise ValueError(f"there is no feature {feature!r} in the plans file; it has: {known}")
        owner_dependency = self._signed_in()

        async def gate(owner: Annotated[Owner, Depends(owner_dependency)]) -> Access:
            return await self._async.require(owner.id, feature)

        return Depends(gate)

    def requires_limit(self, limit: str, used: Callable[..., int | Awaitable[int]]) -> Any:
        """
        A dependency that gives the caller's Access if one more is within the limit; `used` counts what is in use.

        `used` is a dependency of yours. Otherwise the request ends with 402 and the numbers. Raises ValueError here
        and now for a limit that is not in the plans file.
        """
        if limit not in self.billing.catalog.limits:
            known = ", ".join(self.billing.catalog.limits) or "none"
            raise ValueError(f"there is no limit {limit!r} in the plans file; it has: {known}")
        owner_dependency = self._signed_in()

        async def gate(
            owner: Annotated[Owner, Depends(owner_dependency)], count: Annotated[int, Depends(used)]
        ) -> Access:
            return await self._async.require_limit(owner.id, limit, count)

        return Depends(gate)

    def _signed_in(self) -> Callable[..., Awaitable[Owner]]:
        async def signed_in(request: Request, owner: Annotated[Owner | None, Depends(self._owner)]) -> Owner:
            self._answer_problems(request)
            if owner is None:
                raise NotSignedIn("nobody is signed in", remedy="sign in first")
            return owner

        return signed_in

    def _manager(self) -> Callable[..., Awaitable[Owner]]:
        signed_in = self._signed_in()

        async def manager(request: Request, owner: Annotated[Owner, Depends(signed_in)]) -> Owner:
            check_origin(request.headers, app_url=self.billing.settings.app_url)
            if not owner.manages_billing:
                raise NotAllowed("you may not manage this billing", remedy="ask somebody who may")
            return owner

        return manager

    def _answer_problems(self, request: Request) -> None:
        """Answer paidup's errors on this route, whosever it is, unless the app has a handler of its own."""
        handlers: dict[Any, Any] = request.scope["starlette.exception_handlers"][0]
        handlers.setdefault(BillingError, self._problem)

    async def _problem(self, request: Request, error: Exception) -> Response:
        error = cast(BillingError, error)
        if error.status >= 500:
            logger.error("%s %s: %s", request.method, request.url.path, error)
        settings = self.billing.settings
        return JSONResponse(
            problems.document(error, upgrade_url=settings.app_url + settings.pricing_path),
            status_code=error.status,
            media_type=problems.MEDIA_TYPE,
            headers=problems.headers(error),
        )

    def _done(self, request: Request, subscription: Subscription) -> Response:
        """How the subscription stands, for a program; a form goes back to the app's billing page, which shows it."""
        if _is_program(request):
            return _json(subscription_view(subscription))
        return RedirectResponse(self.billing.settings.portal_return, 303, headers=_NO_STORE)

    def _refuse_unwanted_codes(self, promotion_code: str) -> None:
        if promotion_code and not self.billing.catalog.checkout.promotion_codes:
            raise InvalidRequest("there are no promotion codes here", remedy="leave promotion_code out")

    def _add_routes(self) -> None:
        router = self.router
        signed_in, manager = self._signed_in(), self._manager()

        async def webhook(request: Request) -> Response:
            self._answer_problems(request)
            body = await _read(request, self.billing.settings.webhook_max_bytes)
            try:
                receipt = await self._async.receive(body, request.headers.get("stripe-signature"))
            except InvalidSignature as error:
                # A secret of another endpoint or mode looks like silence otherwise.
                logger.warning("a webhook was refused: %s", error)
                raise
            said = {"event": receipt.event_id, "state": receipt.state, "reason": receipt.reason}
            return Response(fast_json.dumps(said), media_type="application/json")

        # Both forms are real routes: Stripe takes a redirect for a failure. They have no dependencies, so that they
        # are Starlette's own, which cost half as much.
        for path in ("/webhook", "/webhook/"):
            router.add_route(path, webhook, methods=["POST"], include_in_schema=False)

        @router.post("/checkout", name="billing_checkout")
        async def checkout(request: Request, owner: Annotated[Owner, Depends(manager)]) -> Response:
            asked = await _asked(request, CheckoutBody)
            self._refuse_unwanted_codes(asked.promotion_code)
            found = await self._async.checkout(
                owner.id,
                asked.plan,
                interval=asked.interval,
                seats=asked.seats,
                addons=asked.addons,
                email=owner.email,
                name=owner.name,
                currency=owner.currency,
                promotion_code=asked.promotion_code or None,
                embedded=asked.embedded,
                return_to=request.url_for("billing_return").path,
            )
            if asked.embedded:
                return _json({"client_secret": found.client_secret, "session": found.session_id})
            return _go(request, str(found.url))

        @router.get("/return", name="billing_return")
        async def billing_return(
            request: Request, owner: Annotated[Owner, Depends(signed_in)], session_id: str = ""
        ) -> Response:
            found = await self._async.finish_checkout(owner.id, session_id)
            return RedirectResponse(_with_outcome(self.billing.settings.checkout_done, found), 303, headers=_NO_STORE)

        @router.post("/portal", name="billing_portal")
        async def portal(request: Request, owner: Annotated[Owner, Depends(manager)]) -> Response:
            asked = await _asked(request, GroupBody)
            return _go(request, await self._async.portal(owner.id, group=asked.group or None))

        async def deep_link(request: Request, owner: Owner, flow: str) -> Response:
            asked = await _asked(request, GroupBody)
            return _go(request, await self._async.portal(owner.id, flow=flow, group=asked.group or None))

        @router.post("/portal/payment-method", name="billing_portal_payment_method")
        async def payment_method(request: Request, owner: Annotated[Owner, Depends(manager)]) -> Response:
            return await deep_link(request, owner, "payment_method_update")

        @router.post("/portal/subscription-cancel", name="billing_portal_subscription_cancel")
        async def subscription_cancel(request: Request, owner: Annotated[Owner, Depends(manager)]) -> Response:
            return await deep_link(request, owner, "subscription_cancel")

        @router.post("/portal/subscription-update", name="billing_portal_subscription_update")
        async def subscription_update(request: Request, owner: Annotated[Owner, Depends(manager)]) -> Response:
            return await deep_link(request, owner, "subscription_update")

        @router.post("/portal/customer", name="billing_portal_customer")
        async def customer_update(request: Request, owner: Annotated[Owner, Depends(manager)]) -> Response:
            return _go(request, await self._async.portal(owner.id, flow="customer_update"))

        @router.post("/portal/subscription-pause", name="billing_portal_subscription_pause")
        async def subscription_pause(request: Request, owner: Annotated[Owner, Depends(manager)]) -> Response:
            return _go(request, await self._async.portal(owner.id, flow="subscription_pause"))

        @router.post("/portal/subscription-update-confirm", name="billing_portal_subscription_update_confirm")
        async def update_confirm(request: Request, owner: Annotated[Owner, Depends(manager)]) -> Response:
            asked = await _asked(request, PortalChangeBody)
            self._refuse_unwanted_codes(asked.promotion_code)
            url = await self._async.portal(
                owner.id,
                flow="subscription_update_confirm",
                plan=asked.plan,
                interval=asked.interval or None,
                seats=asked.seats or None,
                promotion_code=asked.promotion_code or None,
            )
            return _go(request, url)

        @router.post("/change/preview", name="billing_change_preview")
        async def preview_change(request: Request, owner: Annotated[Owner, Depends(manager)]) -> Response:
            asked = await _asked(request, PreviewBody)
            self._refuse_unwanted_codes(asked.promotion_code)
            found = await self._async.preview_change(
                owner.id,
                asked.plan,
                interval=asked.interval or None,
                seats=asked.seats or None,
                addons=asked.addons,
                promotion_code=asked.promotion_code or None,
            )
            return _json(found.as_dict())

        @router.post("/change", name="billing_change")
        async def change(request: Request, owner: Annotated[Owner, Depends(manager)]) -> Response:
            asked = await _asked(request, ChangeBody)
            try:
                found = await self._async.change_plan(owner.id, asked.quote)
            except PaymentFailed as error:
                if _is_program(request):
                    raise
                return RedirectResponse(error.url, 303, headers=_NO_STORE)  # where the user's bank asks them
            return self._done(request, found)

        @router.post("/change/undo", name="billing_change_undo")
        async def undo_change(request: Request, owner: Annotated[Owner, Depends(manager)]) -> Response:
            asked = await _asked(request, GroupBody)
            return self._done(request, await self._async.undo_change(owner.id, group=asked.group or None))

        @router.get("/change", name="billing_scheduled_change")
        async def scheduled_change(owner: Annotated[Owner, Depends(signed_in)], group: str = "") -> Response:
            found = await self._async.scheduled_change(owner.id, group=group or None)
            return _json(scheduled_change_view(found) if found else None)

        @router.get("/change/pending", name="billing_pending_change")
        async def pending_change(owner: Annotated[Owner, Depends(manager)], group: str = "") -> Response:
            found = await self._async.pending_change(owner.id, group=group or None)
            return _json(pending_change_view(found) if found else None)

        @router.post("/cancel", name="billing_cancel")
        async def cancel(request: Request, owner: Annotated[Owner, Depends(manager)]) -> Response:
            asked = await _asked(request, CancelBody)
            found = await self._async.cancel(
                owner.id,
                group=asked.group or None,
                when=asked.when,
                feedback=asked.feedback or None,
                comment=asked.comment or None,
            )
            return self._done(request, found)

        @router.post("/resume", name="billing_resume")
        async def resume(request: Request, owner: Annotated[Owner, Depends(manager)]) -> Response:
            asked = await _asked(request, GroupBody)
            return self._done(request, await self._async.resume(owner.id, group=asked.group or None))

        @router.post("/pause", name="billing_pause")
        async def pause(request: Request, owner: Annotated[Owner, Depends(manager)]) -> Response:
            asked = await _asked(request, PauseBody)
            found = await self._async.pause(
                owner.id, group=asked.group or None, until=asked.until or None, kind=asked.kind
            )
            return self._done(request, found)

        @router.get("/access", name="billing_access")
        async def access(owner: Annotated[Owner, Depends(signed_in)]) -> Response:
            return _json(access_view(await self._async.access(owner.id)))

        @router.get("/credits", name="billing_credits")
        async def credits(owner: Annotated[Owner, Depends(signed_in)]) -> Response:
            return _json(credits_view(await self._async.credits(owner.id), self.billing.catalog))

        async def reader(owner: Annotated[Owner, Depends(signed_in)]) -> Owner:
            if not owner.manages_billing:
                raise NotAllowed("you may not see these invoices", remedy="ask somebody who may")
            return owner

        @router.get("/invoices", name="billing_invoices")
        async def invoices(
            request: Request, owner: Annotated[Owner, Depends(reader)], limit: int = 24, before: str | None = None
        ) -> Response:
            if not 1 <= limit <= _INVOICES:
                raise InvalidRequest(f"limit is {limit}", remedy=f"ask for 1 to {_INVOICES} invoices")
            found = await self._async.invoices(owner.id, limit=limit + 1, before=before)
            response = _json([_invoice(request, each) for each in found[:limit]])
            if len(found) > limit:
                further = (
                    request.url_for("billing_invoices").path
                    + "?"
                    + urlencode({"limit": limit, "before": found[limit - 1].id})
                )
                response.headers["Link"] = f'<{further}>; rel="next"'
            return response

        @router.get("/invoices/{invoice_id}", name="billing_invoice")
        async def invoice(owner: Annotated[Owner, Depends(reader)], invoice_id: str) -> Response:
            return RedirectResponse(await self._async.invoice_page(owner.id, invoice_id), 303, headers=_NO_STORE)

        @router.get("/invoices/{invoice_id}/pdf", name="billing_invoice_pdf")
        async def invoice_pdf(owner: Annotated[Owner, Depends(reader)], invoice_id: str) -> Response:
            url = await self._async.invoice_page(owner.id, invoice_id, pdf=True)
            return RedirectResponse(url, 303, headers=_NO_STORE)

        @router.post("/pay", name="billing_pay")
        async def pay(request: Request, owner: Annotated[Owner, Depends(manager)]) -> Response:
            asked = await _asked(request, GroupBody)
            return _go(request, await self._async.payment_url(owner.id, group=asked.group or None))

        @router.post("/pay/retry", name="billing_pay_retry")
        async def pay_retry(request: Request, owner: Annotated[Owner, Depends(manager)]) -> Response:
            asked = await _asked(request, GroupBody)
            try:
                found = await self._async.retry_payment(owner.id, group=asked.group or None)
            except PaymentFailed as error:
                if _is_program(request):
                    raise
                return RedirectResponse(error.url, 303, headers=_NO_STORE)  # where the user can pay it
            if _is_program(request):
                return _json(_invoice(request, found) if found else None)
            return RedirectResponse(self.billing.settings.portal_return, 303, headers=_NO_STORE)

        @router.get("/upcoming-invoice", name="billing_upcoming_invoice")
        async def upcoming_invoice(owner: Annotated[Owner, Depends(reader)], group: str = "") -> Response:
            found = await self._async.upcoming_invoice(owner.id, group=group or None)
            return _json(upcoming_invoice_view(found) if found else None)

        @router.get("/plans", name="billing_plans")
        async def plans() -> Response:
            return JSONResponse([plan_view(each, self.billing.catalog) for each in self.billing.catalog.plans])


async def _read(request: Request, limit: int) -> bytes:
    """The raw bytes, never more than the limit in memory, whatever Content-Length says."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise PayloadTooLarge(f"the body has more than the {limit} bytes allowed", remedy="send less")
    return bytes(body)


def _replayed(request: Request, body: bytes) -> Request:
    """The request once more, for a parser that wants to read the body itself."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(request.scope, receive)


async def _asked(request: Request, kind: type[_Asked]) -> _Asked:
    """What a form or a JSON body asks for; a field that is not of this kind is refused, and so is any other body."""
    body = await _read(request, _BODY_LIMIT)
    sent_as = request.headers.get("content-type", "").split(";")[0].strip().lower()
    try:
        if not body:
            return kind.model_validate({})
        if sent_as not in (_JSON, *_FORMS):
            raise InvalidRequest("the body is neither a form nor JSON", remedy=f"send it as {_JSON}")
        if sent_as == _JSON:
            return kind.model_validate_json(body)
        async with _replayed(request, body).form(max_files=0, max_fields=_FIELDS) as form:
            fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
            if len(fields) != len(form.multi_items()):
                raise InvalidRequest("a field is given twice", remedy="send each field once")
            return kind.model_validate(of_form(fields))
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in each['loc']) or 'body'}: {each['msg']}" for each in error.errors()
        )
        known = ", ".join(kind.model_fields)
        raise InvalidRequest(f"the request is not valid: {faults}", remedy=f"send nothing but {known}") from error


def _go(request: Request, url: str) -> Response:
    """On to Stripe: a redirect for a form, the address for a program."""
    if _is_program(request):
        return _json({"url": url})
    return RedirectResponse(url, 303, headers=_NO_STORE)


def _is_program(request: Request) -> bool:
    """Does it send or accept JSON? A browser's form does neither."""
    return request.headers.get("content-type", "").startswith(_JSON) or _JSON in request.headers.get("accept", "")


def _with_outcome(path: str, checkout: Checkout) -> str:
    """The app's page, told which Checkout it was and how it stands. This is for show: it grants nothing."""
    parts = urlsplit(path)
    query = urlencode([*parse_qsl(parts.query), ("checkout", checkout.session_id or ""), ("state", checkout.state)])
    return urlunsplit(parts._replace(query=query))


def _json(body: Any) -> Response:
    return JSONResponse(body, headers=_NO_STORE)


def _invoice(request: Request, invoice: Invoice) -> Mapping[str, Any]:
    page, pdf = (
        request.url_for(name, invoice_id=invoice.id).path for name in ("billing_invoice", "billing_invoice_pdf")
    )
    return invoice_view(invoice, page=page, pdf=pdf)
