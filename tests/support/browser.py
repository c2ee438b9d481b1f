"""A real browser without a screen, and what it says about a page: Chromium by its own driver."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.tools import from_npm, program

# Of these axe-core finds nothing, or a reader is kept out.
GRAVE = {"serious", "critical"}


class Browser:
    """One window; `path` is a page on this machine."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path, fragment: str = "", *, javascript: bool = True) -> None:
        self.driver.execute_cdp_cmd(
            "Emulation.setScriptExecutionDisabled", {"value": not javascript}
        )
        self.driver.get("about:blank")
        self.said()
        self.driver.get(path.as_uri() + fragment)

    def js(self, script: str, *arguments: Any) -> Any:
        """What a script in the page returns."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, script: str, *arguments: Any) -> Any:
        """The same once it is something: in the page, which is asked at each of its frames."""
        return self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1], given = [...arguments].slice(1, -1);"
            "const ask = new Function(arguments[0]);"
            "const look = () => { const found = ask(...given);"
            " if (found) done(found); else requestAnimationFrame(look); }; look();",
            script,
            *arguments,
        )

    def size(self, width: int, height: int) -> None:
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def print(self, *, on_paper: bool) -> None:
        """Lay the page out as it is printed, or as it is shown."""
        media = "print" if on_paper else "screen"
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media})

    def dark(self, value: str) -> None:
        """Whether its user prefers `dark` or `light`."""
        features = [{"name": "prefers-color-scheme", "value": value}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def said(self) -> list[str]:
        """What stands in the console since it was asked last: errors, and what a policy forbids."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def asked_for(self) -> list[str]:
        """Everything it has asked for since it was asked last, by address."""
        events = (json.loads(entry["message"]) for entry in self.driver.get_log("performance"))
        sent = (event["message"] for event in events)
        return [
            message["params"]["request"]["url"]
            for message in sent
            if message["method"] == "Network.requestWillBeSent"
        ]

    def barriers(self) -> list[str]:
        """What axe-core finds that would keep a reader out."""
        self.js(from_npm("axe-core/axe.min.js").read_text())
        found = self.driver.execute_async_script(
            "const done = arguments[0]; axe.run().then(done, (error) => done(String(error)))"
        )
        assert isinstance(found, dict), found
        return [
            f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes'][:3]]}"
            for one in found["violations"]
            if one["impact"] in GRAVE
        ]


@contextmanager
def browser(*words: str) -> Iterator[Browser]:
    """A browser for as long as the block lasts, started with these words; the test is skipped where
    there is none.
    """
    chromium, driver = (
        program("chromium", "chromium-browser", "google-chrome"),
        program("chromedriver"),
    )
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    for argument in words:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    window = webdriver.Chrome(options, webdriver.ChromeService(executable_path=driver))
    window.set_script_timeout(60)
    try:
        yield Browser(window)
    finally:
        window.quit()
