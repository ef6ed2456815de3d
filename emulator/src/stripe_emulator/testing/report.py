"""What is said when an app does not survive: the difference, the schedule, and the mistake it most likely is."""

from __future__ import annotations

from stripe_emulator.testing.schedule import API_KINDS
from stripe_emulator.testing.trial import UNDISTURBED, Problem, Run


def report(run: Run, problem: Problem, *, seed: int | None) -> str:
    """The message of a `Diverged`."""
    lines = [f"the app does not survive: {problem.words}"]
    if run.schedule == UNDISTURBED:
        lines.append("This is so even when nothing is disturbed.")
    else:
        lines.append("The smallest schedule that shows it:")
        lines += [f"  {twist.words}" for twist in run.schedule.twists]
    advice = likely_mistake(run, problem)
    if advice:
        lines.append(f"Most likely: {advice}")
    if run.schedule != UNDISTURBED:
        found = "" if seed is None else f" (found with seed={seed})"
        lines.append(f'See it again with replay="{run.schedule}"{found}.')
    if run.trail:
        lines.append("What was done, in order:")
        lines += [f"  {step}" for step in run.trail]
    return "\n".join(lines)


def likely_mistake(run: Run, problem: Problem) -> str | None:
    """The classic mistake that shows itself in this way, and its remedy; None when it may be many."""
    kinds = {twist.kind for twist in run.schedule.twists}
    match problem.kind:
        case "customers":
            return (
                "double customer: the app makes another customer when it is asked again. Make it with an idempotency "
                "key of the user's, and keep its id before anything else."
            )
        case "subscriptions":
            return (
                "double subscription: a second Checkout can be opened and paid while the first is open or paid. "
                "Use one session per user and plan until it is paid or has expired, and none when one is subscribed."
            )
        case "money" if "click-twice" in kinds:
            return "bought twice: the second click opened another Checkout. Use one session until it is paid or gone."
        case "money":
            return "no idempotency key: a call that takes money was made again after its answer was lost."
    for kind, words in _BY_KIND.items():
        if kind in kinds:
            return words
    if kinds & set(API_KINDS):
        return (
            "swallowed error: the app acknowledged an event, or went on, although its call to Stripe had failed. "
            "Answer 5xx to what was not done; Stripe delivers it again."
        )
    if not kinds and run.paid_later:
        return (
            "ignores async payment: a completed Checkout may be unpaid for days. Grant when payment_status is paid, "
            "and on checkout.session.async_payment_succeeded (docs.stripe.com/payments/checkout/fulfill-orders)."
        )
    if not kinds and "period" in problem.words:
        return (
            "the period is read from its old place: since 2025-03-31 it is on the subscription's items "
            "(docs.stripe.com/changelog/basil/2025-03-31/deprecate-subscription-current-period-start-and-end)."
        )
    if not kinds and run.several_items:
        return "items[0]: a subscription has several items, and the plan is not always the first."
    return None


_BY_KIND = {
    "duplicate": "no dedupe: an event delivered twice is worked on twice. Keep the ids of events that are done.",
    "restart": "acknowledged before stored: what was only in memory died with the process. Store, then answer 2xx.",
    "late": "trusts payload order: an older event overwrote a newer one. Fetch the object from Stripe instead.",
    "lost": "trusts payload order: an older event overwrote a newer one. Fetch the object from Stripe instead.",
    "returns-early": (
        "granted on redirect: opening the return address is not paying. Ask Stripe for the session's payment_status."
    ),
    "closes-tab": "relies on the redirect: a person may pay and never come back. Work on the webhook.",
    "declined": "upgraded before payment: the change was recorded although its charge was declined.",
    "slow": (
        "waits for the answer: the events of a call may arrive before its answer. Refuse or keep an event that can't "
        "be placed yet; Stripe delivers it again."
    ),
}
