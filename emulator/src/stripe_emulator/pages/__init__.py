"""
The pages a customer sees: Checkout, 3D Secure, the billing portal, invoices, and an index.

Plain HTML over `stripe_emulator.hosted`: every form works without JavaScript, every POST ends in a redirect, and a
page's address is its only credential, as at Stripe.
"""

from __future__ import annotations

from starlette.routing import Route

from stripe_emulator.pages import assets, challenge, checkout, index, invoices, portal

__all__ = ["routes"]


def routes() -> list[Route]:
    """The pages' routes; the app that mounts them has a `Hosted` at `app.state.hosted`."""
    return [
        Route("/", index.show),
        Route("/_pages/pages.css", assets.stylesheet),
        Route("/_pages/icon.svg", assets.icon),
        Route("/favicon.ico", assets.no_favicon),
        Route("/c/pay/{session_id}", checkout.show, methods=["GET"]),
        Route("/c/pay/{session_id}", checkout.submit, methods=["POST"]),
        Route("/c/pay/{session_id}/promotion-code", checkout.promotion_code, methods=["POST"]),
        Route("/c/3ds/{token}", challenge.show, methods=["GET"]),
        Route("/c/3ds/{token}", challenge.answer, methods=["POST"]),
        Route("/p/session/{secret}", portal.enter, methods=["GET"]),
        Route("/p/session/{secret}/overview", portal.overview, methods=["GET"]),
        Route("/p/session/{secret}/payment-method", portal.show_card, methods=["GET"]),
        Route("/p/session/{secret}/payment-method", portal.save_card, methods=["POST"]),
        Route("/p/session/{secret}/customer", portal.show_details, methods=["GET"]),
        Route("/p/session/{secret}/customer", portal.save_details, methods=["POST"]),
        Route("/p/session/{secret}/subscriptions/{subscription}/pause", portal.show_pause, methods=["GET"]),
        Route("/p/session/{secret}/subscriptions/{subscription}/pause", portal.pause, methods=["POST"]),
        Route("/p/session/{secret}/subscriptions/{subscription}/cancel", portal.show_cancel, methods=["GET"]),
        Route("/p/session/{secret}/subscriptions/{subscription}/cancel", portal.cancel, methods=["POST"]),
        Route("/p/session/{secret}/subscriptions/{subscription}/resume", portal.resume, methods=["POST"]),
        Route("/p/session/{secret}/subscriptions/{subscription}/change", portal.show_choices, methods=["GET"]),
        Route("/p/session/{secret}/subscriptions/{subscription}/change/confirm", portal.show_change, methods=["GET"]),
        Route("/p/session/{secret}/subscriptions/{subscription}/change/confirm", portal.change, methods=["POST"]),
        Route("/p/session/{secret}/invoices/{invoice}/pay", portal.pay_invoice, methods=["POST"]),
        Route("/i/{token}", invoices.show, methods=["GET"]),
        Route("/i/{token}", invoices.pay, methods=["POST"]),
        Route("/i/{token}/pdf", invoices.pdf, methods=["GET"]),
    ]
