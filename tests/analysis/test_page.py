"""The page in a real browser, where one is installed: nothing sticks out of a phone-sized or a desktop window."""

import re
import shutil
import subprocess
import unittest

from support import FolderTest

from make_results import SMALL_MODELS, Plan, write
from memcap_analysis import report
from memcap_analysis.results import load

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
PROBE = """<script>
const texts = [...document.querySelectorAll("figure svg text")].map(t => t.getBoundingClientRect().height);
parent.postMessage([document.documentElement.scrollWidth, window.innerWidth, Math.min(...texts)].join(" "), "*");
</script>"""
# A window cannot be narrower than 500 pixels, a frame within it can.
FRAME = """<!DOCTYPE html><script>addEventListener("message", event => document.documentElement.dataset.probe = event.data)</script>
<iframe src="page.html" style="width: %dpx; height: 900px; border: 0"></iframe>"""


@unittest.skipUnless(BROWSER, "no Chromium on this machine")
class Browser(FolderTest):
    def measure(self, width: int) -> dict:
        page = report.build_page(load(write(self.folder, Plan(models=SMALL_MODELS[:1], samples=3))))
        page = page.replace("<details", "<details open").replace("</body>", PROBE + "</body>")
        (self.folder / "page.html").write_text(page)
        path = self.folder / "probe.html"
        path.write_text(FRAME % width)
        done = subprocess.run([BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={self.folder}/profile",
                               "--window-size=1600,1000", "--hide-scrollbars", "--virtual-time-budget=10000", "--dump-dom", path.as_uri()],
                              capture_output=True, text=True, timeout=120, check=True)
        numbers = re.search(r'data-probe="([\d.]+) ([\d.]+) ([\d.]+)"', done.stdout)
        return dict(zip(("page", "window", "smallest"), map(float, numbers.groups())))

    def test_fits_its_window_and_can_be_read(self):
        for width in (390, 1400):
            with self.subTest(width=width):
                found = self.measure(width)
                self.assertEqual(found["window"], width)
                self.assertLessEqual(found["page"], width)
                self.assertGreaterEqual(found["smallest"], 10, "text in figures is too small, in pixels")


if __name__ == "__main__":
    unittest.main()
