"""Take the screenshots of the README from a running page: `python tools/pages.py [http://127.0.0.1:8700] [NAME...]`.

This needs what `make test-browser` installs.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parents[1] / "docs"
PICTURES = {
    "overview.png": ("/", "dark"),
    "chart.png": ("/chart/BTCUSDT", "light"),
    "study.png": ("/studies/momentum-btc", "light"),
}
WIDTH, HEIGHT = 1440, 900
SETTLED_MS = 3_000


def take(url: str, names: list[str]) -> None:
    """Write these screenshots."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name in names:
            path, scheme = PICTURES[name]
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
            page.route("**/pages/stream", lambda route: route.abort())  # A screenshot shows one moment.
            page.goto(url + path)
            page.wait_for_timeout(SETTLED_MS)
            picture = Image.open(io.BytesIO(page.screenshot()))
            picture.convert("RGB").save(DOCS / name, optimize=True)
            sys.stdout.write(f"{DOCS / name}: {(DOCS / name).stat().st_size:,} bytes\n")
        browser.close()


if __name__ == "__main__":
    take(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8700", sys.argv[2:] or list(PICTURES))
