// Keeps the parts of a page marked `data-live` in step with the subscription. Without JavaScript a reload does the same.

const STATUS = "/billing/access";
const SOONEST = 1500; // milliseconds between looks, at first and after every change
const LATEST = 30000; // when nothing happens for long
const SLOWER = 1.15;

let known = null;
let following = 0; // looks to go after a change: an invoice or a line of history may follow a moment later
let pause = SOONEST;
let timer = 0;

async function look() {
  const answer = await fetch(STATUS, { headers: { Accept: "application/json" } });
  if (answer.status === 401) return false;
  if (!answer.ok) return true;
  const now = await answer.text();
  if (now !== known) {
    known = now;
    following = 3;
    pause = SOONEST;
  }
  if (following > 0 && (await refresh())) following -= 1;
  return true;
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

async function goOn() {
  let again = true;
  try {
    again = await look();
  } catch {
    // Away for a moment; the next look tells.
  }
  if (!again || document.hidden) return;
  timer = setTimeout(goOn, pause);
  if (following === 0) pause = Math.min(pause * SLOWER, LATEST);
}

function start() {
  clearTimeout(timer);
  pause = SOONEST;
  if (!document.hidden) goOn();
}

document.addEventListener("visibilitychange", start);
start();
