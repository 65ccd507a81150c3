"""What every screen must keep: accessible, with unique names, and as wide as the window."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any, Final, cast

import axe_playwright_python
from playwright.async_api import Page

WHOLE: Final = "html"
HEIGHT_MAX_PX: Final = 20_000
_AXE: Final = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
_RULES: Final = "place => axe.run(place, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})"
_CONTROL: Final = re.compile(r'\s*- (button|textbox|searchbox|combobox|spinbutton|link) "((?:[^"\\]|\\.)*)"')
_TARGET: Final = re.compile(r"\s*- /url: (.*)")


async def violations(page: Page, place: Any = WHOLE) -> list[Any]:
    """Return the accessibility rules that a page, or a part of it, violates."""
    await page.evaluate(_AXE)
    return cast("list[Any]", (await page.evaluate(_RULES, place))["violations"])


async def expect_accessible(page: Page) -> None:
    """Check that a page violates no rule."""
    found = [(each["id"], each["nodes"][0]["html"][:200]) for each in await violations(page)]
    assert not found, (page.url, found)


async def layout_faults(page: Page) -> list[str]:
    """Return what is wrong with the size of a page: it scrolls sideways, or it is endlessly high."""
    width, wanted, height = await page.evaluate(
        "[document.documentElement.scrollWidth, innerWidth, document.documentElement.scrollHeight]"
    )
    wide = [f"is {width} px wide in a window of {wanted} px"] if width > wanted else []
    high = [f"is {height} px high"] if height > HEIGHT_MAX_PX else []
    return [*wide, *high]


async def repeated_names(page: Page) -> list[str]:
    """Return the names that several controls of the page share although they do different things."""
    targets: dict[tuple[str, str], list[str]] = defaultdict(list)
    lines = (await page.locator("main").aria_snapshot()).splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        control = _CONTROL.match(line)
        if control:
            target = _TARGET.match(following)
            role, name = control.groups()
            targets[role, name].append(target[1] if target else "")
    return [
        f"{role} {name!r}, {len(found)} times"
        for (role, name), found in targets.items()
        if len(set(found)) > 1 or (role != "link" and len(found) > 1)
    ]
