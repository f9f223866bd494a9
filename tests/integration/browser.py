"""Chromium without a window, by its DevTools protocol over a pipe.

    with Browser() as browser:
        page = browser.open(path, width=1280, height=900)
        page.run("document.title")
        page.requests                   # every address that was asked for

Nothing but the Debian package chromium is needed: with
--remote-debugging-pipe it reads messages from descriptor 3 and writes them to 4.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

CHROMIUM = shutil.which("chromium")
DEADLINE = 60


class Failed(Exception):
    """What the page threw, or the browser refused."""


class Browser:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="chromium-")
        self.events = []
        self.number = 0
        self.rest = b""
        to_read, self.out = os.pipe()
        self.incoming, to_write = os.pipe()

        # bash, as dash takes descriptors of one digit only.
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec 3<&{to_read} 4>&{to_write}; exec "$@"', "-",
             CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--hide-scrollbars", "--lang=en-GB",
             f"--user-data-dir={self.folder}", "--remote-debugging-pipe"],
            pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)

    def __enter__(self):
        return self

    def __exit__(self, *ended):
        self.close()

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        os.close(self.out)
        os.close(self.incoming)
        shutil.rmtree(self.folder, ignore_errors=True)

    def send(self, method, session=None, **parameters):
        """One call; its result."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.out, data):]
        number = self.number
        deadline = time.monotonic() + DEADLINE
        while True:
            answer = self.receive(deadline)
            if answer.get("id") == number:
                if "error" in answer:
                    raise Failed(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)

    def receive(self, deadline):
        while b"\0" not in self.rest:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.incoming], [], [], left)[0]:
                raise TimeoutError("chromium does not answer")
            data = os.read(self.incoming, 1 << 20)
            if not data:
                raise ConnectionError("chromium has ended")
            self.rest += data
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def open(self, path, **size):
        return Page(self, path, **size)


class Page:
    def __init__(self, browser, path, width=1280, height=900):
        self.browser = browser
        target = browser.send("Target.createTarget", url="about:blank")
        self.target = target["targetId"]
        self.session = browser.send("Target.attachToTarget", flatten=True,
                                    targetId=self.target)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        self.send("Emulation.setDeviceMetricsOverride", width=width,
                  height=height, deviceScaleFactor=1, mobile=width < 700)
        self.url = Path(path).absolute().as_uri()
        self.send("Page.navigate", url=self.url)
        deadline = time.monotonic() + DEADLINE
        while not self.seen("Page.loadEventFired"):
            browser.events.append(browser.receive(deadline))

    def send(self, method, **parameters):
        return self.browser.send(method, self.session, **parameters)

    def seen(self, method):
        return [event["params"] for event in self.browser.events
                if event.get("method") == method
                and event.get("sessionId") == self.session]

    @property
    def requests(self):
        return [event["request"]["url"]
                for event in self.seen("Network.requestWillBeSent")]

    @property
    def problems(self):
        """What the console shows: errors, refused styles and scripts."""
        return ([event["entry"]["text"]
                 for event in self.seen("Log.entryAdded")]
                + [event["exceptionDetails"]["exception"].get("description")
                   for event in self.seen("Runtime.exceptionThrown")])

    def run(self, script):
        """The value of an expression; promises are waited for."""
        result = self.send("Runtime.evaluate", expression=script,
                           returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise Failed(json.dumps(result["exceptionDetails"]))
        return result["result"].get("value")

    def key(self, name):
        code = {"Enter": 13, "Tab": 9, "ArrowDown": 40, "ArrowUp": 38,
                "End": 35, "Home": 36, "Escape": 27, "PageDown": 34}[name]
        text = {"text": "\r"} if name == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=name, code=name,
                      windowsVirtualKeyCode=code,
                      **(text if kind == "keyDown" else {}))

    def picture(self, path, whole=True):
        data = self.send("Page.captureScreenshot", format="png",
                         captureBeyondViewport=whole)
        Path(path).write_bytes(base64.b64decode(data["data"]))

    def pdf(self, path):
        data = self.send("Page.printToPDF", preferCSSPageSize=True,
                         printBackground=False)
        Path(path).write_bytes(base64.b64decode(data["data"]))

    def close(self):
        self.browser.send("Target.closeTarget", targetId=self.target)
