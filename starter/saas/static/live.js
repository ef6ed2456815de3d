// Keeps the parts of a page marked `data-live` in step with the subscription. Without JavaScript a reload does the same.

const EVERY = 2000;
const STATUS = "/billing/access";

let known = null;
let looksLeft = 0; // after a change its consequences (an invoice, a line of history) may follow a moment later
let timer = 0;

async function look() {
  const answer = await fetch(STATUS, { headers: { Accept: "application/json" } });
  if (answer.status === 401) return stop();
  if (!answer.ok) return;
  const now = await answer.text();
  if (now !== known) looksLeft = 3;
  known = now;
  if (looksLeft > 0 && (await refresh())) looksLeft -= 1;
}

async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return false;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(part.id);
    const isInUse = part.contains(document.activeElement);
    if (next && !isInUse && next.innerHTML !== part.innerHTML) part.replaceWith(document.adoptNode(next));
  }
  return true;
}

function start() {
  stop();
  const tick = () => look().catch(() => {}); // away for a moment; the next look tells
  timer = setInterval(tick, EVERY);
  tick();
}

function stop() {
  clearInterval(timer);
}

document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
if (!document.hidden) start();
