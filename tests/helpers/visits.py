"""A visit to a page of the server in a browser, and what must not happen meanwhile."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request

ROOT = Path(__file__).parents[2]

PICTURES = ROOT / "build" / "browser"
"""Where pictures of pages are left, to be looked at."""

server = httpx.Client(timeout=60, limits=httpx.Limits(max_keepalive_connections=0))
"""Asks servers without a page: it waits as long as a page does, and leaves no connection open."""

# What the page does on the main thread is noted from its first line on.
NOTE_TASKS = """
window.longTasks = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.longTasks.push(entry.duration);
}).observe({ type: "longtask", buffered: true });
performance.setResourceTimingBufferSize(10000);
"""

# Of what reaches beyond the window, and is in nothing that scrolls.
OVERFLOWING = """
() => {
  const name = (each) =>
    `${each.tagName.toLowerCase()}#${each.id}.${each.className}: ${each.textContent.slice(0, 40)}`;
  const held = ["auto", "scroll", "hidden", "clip"];
  const scrolls = (each) => held.includes(getComputedStyle(each).overflowX);
  const isHeld = (each) => {
    let above = each.parentElement;
    while (above && !scrolls(above)) above = above.parentElement;
    return above !== null;
  };
  const isCut = (each) => {
    const { clientWidth, scrollWidth } = each;
    return clientWidth > 0 && scrollWidth > clientWidth + 1 && !scrolls(each);
  };
  const found = [];
  for (const each of document.querySelectorAll("body *")) {
    const { left, right, width } = each.getBoundingClientRect();
    if (width === 0 || isHeld(each)) continue;
    if (right > innerWidth + 1 || left < -1) found.push(name(each));
    else if (isCut(each)) found.push(`text in ${name(each)}`);
  }
  if (document.documentElement.scrollWidth > innerWidth) found.push("the page");
  return found;
}
"""

IDLE = "() => !document.querySelector('main[aria-busy=true], .panel[aria-busy=true]')"


@dataclass
class Visit:
    """A page of a browser on a server.

    Args:
        page: of the browser.
        base: address of the server, with the path below which it is shown.

    Attributes:
        errors: what the page has written to its console as an error, and what it threw.
        outside: requests that went elsewhere than to the server.
    """

    page: "Page"
    base: str
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.add_init_script(NOTE_TASKS)
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.context.on("request", self._look)

    def _note(self, message: "ConsoleMessage") -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url', '')})")

    def _look(self, request: "Request") -> None:
        if not request.url.startswith((self.base, "blob:", "data:")):
            self.outside.append(request.url)

    def open(self, model: str | None = None, **state: Any) -> None:
        """Show the playground, of a model and in a state, and wait until it is idle."""
        values = ({} if model is None else {"model": model}) | state
        self.page.goto("about:blank")  # else only the hash would change
        self.page.goto(f"{self.base}/#{urlencode(values)}")
        self.page.wait_for_selector("#panels section, #problem:not([hidden]), #key:not([hidden])")
        self.idle()

    def reload(self) -> None:
        """Load what the address says, and wait until it is idle."""
        self.write_address()
        self.page.reload()
        self.page.wait_for_selector("#panels section")
        self.idle()

    def write_address(self) -> None:
        """Let the address say what is chosen, as it does when the page is left."""
        self.page.evaluate("dispatchEvent(new Event('pagehide'))")

    def idle(self) -> None:
        """Wait until nothing is going on."""
        self.page.wait_for_function(IDLE)

    def upload(self, name: str, content: bytes) -> None:
        """Choose a file to be scored."""
        self.page.set_input_files(
            "#upload input[type=file]", {"name": name, "mimeType": "", "buffer": content}
        )

    @property
    def problems(self) -> list[str]:
        """The errors that the page shows."""
        shown = self.page.locator(".problem:visible")
        return [text.strip() for text in shown.all_inner_texts()]

    @property
    def longest_task(self) -> float:
        """Milliseconds of the longest task of the main thread that took more than 50."""
        longest: float = self.page.evaluate("Math.max(0, ...window.longTasks)")
        return longest

    def overflowing(self) -> list[str]:
        """What reaches beyond the window."""
        found: list[str] = self.page.evaluate(OVERFLOWING)
        return found

    def picture(self, name: str) -> None:
        """Leave a picture of the whole page."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True)

    def faults(self) -> list[str]:
        """What axe finds that is serious or critical."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [
            f"{each['id']}: {each['help']}: "
            + json.dumps([node["html"][:200] for node in each["nodes"]][:3])
            for each in found
            if each["impact"] in ("serious", "critical")
        ]

    def check(self) -> None:
        """Nothing has gone wrong, and nothing was asked of others."""
        assert self.errors == []
        assert self.outside == []


def visit(context: "BrowserContext", base: str) -> Visit:
    """A visit in a tab of its own."""
    return Visit(context.new_page(), base)
