"""The viewer in a real browser: the lineage is there, and a picture opens from it."""

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from conftest import ROOT

pytestmark = pytest.mark.long
SCREENSHOTS = ROOT / "build" / "screenshots"


def free_port() -> int:
    """A port that nobody listens on. kedro-viz takes none above 49151, where the system would find one."""
    for port in range(41_410, 41_510):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)):
                return port
    raise AssertionError("no free port")


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`kedro viz run` over the results of `explain`, on the loopback; yields its address."""
    root = tmp_path_factory.mktemp("viewer")
    bootstrap_project(ROOT)
    with KedroSession.create(ROOT, runtime_params={"data_root": str(root)}) as session:
        session.run(pipeline_names=["explain"])
    port = free_port()
    command = [sys.executable, "-m", "kedro", "viz", "run", "--host", "127.0.0.1", "--port", str(port), "--no-browser"]
    command += ["--pipeline", "explain", "--params", f"data_root={root.as_posix()}"]
    with (root / "log.txt").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(240):
                try:
                    urllib.request.urlopen(f"{address}/api/main", timeout=5).read()
                    break
                except OSError:
                    assert process.poll() is None, (root / "log.txt").read_text(encoding="utf-8")
                    time.sleep(0.5)
            yield address
        finally:
            process.terminate()
            process.wait()


def test_the_page_shows_the_lineage_and_a_picture(viewer: str) -> None:
    """JSON that an API gives is no picture yet."""
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):  # no package of pip brings a browser; CI installs it from the system's packages
        pytest.skip("chromium and chromedriver are not installed (Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1600,1000"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    try:
        browser.get(f"{viewer}/?pid=explain&expandAllPipelines=true")
        wait = WebDriverWait(browser, 60)
        graph = (By.CSS_SELECTOR, ".pipeline-node")
        wait.until(lambda page: len(page.find_elements(*graph)) > 10)
        for close in browser.find_elements(By.CSS_SELECTOR, "[class*='banner'] button, .feature-hints__close"):
            browser.execute_script("arguments[0].click()", close)
        names = [node.get_attribute("textContent").strip() for node in browser.find_elements(*graph)]
        assert {"raw_series", "run_plan", "window_plot"} <= set(names), names
        browser.save_screenshot(str(SCREENSHOTS / "lineage.png"))
        node = next(
            node for node in browser.find_elements(*graph) if node.get_attribute("textContent").strip() == "window_plot"
        )
        browser.execute_script("arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))", node)
        wait.until(lambda page: page.find_elements(By.CSS_SELECTOR, ".pipeline-metadata .js-plotly-plot .main-svg"))
        time.sleep(1)
        browser.save_screenshot(str(SCREENSHOTS / "picture.png"))
        errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        assert not [message for message in errors if viewer in message], errors
    finally:
        browser.quit()


def test_screenshots_are_not_kept_in_the_repository() -> None:
    """They are made anew each time."""
    ignored = subprocess.run(["git", "check-ignore", "-q", "build/screenshots/x.png"], cwd=ROOT, check=False)
    assert ignored.returncode == 0 or not Path(ROOT / ".git").exists()
