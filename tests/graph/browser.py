"""A real browser without a window, driven over the DevTools protocol and a pair of pipes."""

import base64
import contextlib
import fcntl
import itertools
import json
import os
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE = 20.0
KEY_CODES = {"ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35, "Enter": 13, "Tab": 9}


class BrowserError(Exception):
    """The browser, or a page in it, did not do what was asked."""


def find_browser():
    """Give the path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One Chromium process; a context manager that closes it for sure."""

    def __init__(self, program):
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        self._numbers = itertools.count(1)
        self._buffer = b""
        self._listeners = {}
        self._pid = _spawn(program, self._options(), to_browser, from_browser)

    def _options(self):
        return (
            "--headless=new",
            "--remote-debugging-pipe",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-default-apps",
            "--disable-extensions",
            "--disable-sync",
            "--no-first-run",
            "--hide-scrollbars",
            f"--user-data-dir={self.folder.name}",
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """End the process, by force where it does not end itself, and remove its files."""
        with contextlib.suppress(BrowserError, OSError):
            self.send("Browser.close", patience=5)
        if not self._ended_within(5):
            os.killpg(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        os.close(self._out)
        os.close(self._in)
        self.folder.cleanup()

    def _ended_within(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if os.waitpid(self._pid, os.WNOHANG)[0]:
                return True
            time.sleep(0.02)
        return False

    def send(self, method, session=None, patience=PATIENCE, **parameters):
        """Call a method of the protocol, and give its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self._write(json.dumps(message).encode() + b"\0", time.monotonic() + patience)
        end = time.monotonic() + patience
        while True:
            answer = self._receive(end, method)
            if answer.get("id") == number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def wait(self, is_done, what, patience=PATIENCE):
        """Take in events until a condition holds."""
        end = time.monotonic() + patience
        while not is_done():
            self._receive(end, what)

    def listen(self, session, listener):
        """Have the events of a session told to a function."""
        self._listeners[session] = listener

    def _write(self, data, end):
        while data:
            _, ready, _ = select.select([], [self._out], [], max(0, end - time.monotonic()))
            if not ready:
                raise BrowserError("The browser takes no messages.")
            data = data[os.write(self._out, data[:4096]) :]

    def _receive(self, end, what):
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise BrowserError(f"The browser did not answer in time: {what}.")
            data = os.read(self._in, 1 << 20)
            if not data:
                raise BrowserError(f"The browser has ended: {what}.")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\0", 1)
        message = json.loads(line)
        listener = self._listeners.get(message.get("sessionId"))
        if listener and "method" in message:
            listener(message["method"], message["params"])
        return message


def _spawn(program, options, to_browser, from_browser):
    # Copied to high numbers first, for one of them may itself be 3 or 4.
    low = (to_browser, from_browser)
    source, target = (fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 10) for one in low)
    actions = [
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_DUP2, 1, 2),
        (os.POSIX_SPAWN_DUP2, source, 3),
        (os.POSIX_SPAWN_DUP2, target, 4),
    ]
    try:
        arguments = [program, *options]
        return os.posix_spawn(program, arguments, os.environ, file_actions=actions, setsid=True)
    finally:
        for one in (*low, source, target):
            os.close(one)


class Page:
    """
    A page in a tab of its own, with all that it complained about and asked for.

    Attributes
    ----------
    complaints : list of str
        Messages on the console, exceptions, and what the browser itself logged.
    requests : list of str
        The addresses of everything that was asked for.
    """

    def __init__(self, browser, width=1280, height=900, *, dark=False):
        self.browser = browser
        self.complaints = []
        self.requests = []
        self._loaded = False
        self._target = browser.send("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.send("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session = attached["sessionId"]
        browser.listen(self._session, self._take)
        for domain in ("Runtime", "Log", "Network", "Page"):
            self.send(f"{domain}.enable")
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        calm = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.send("Emulation.setEmulatedMedia", features=[scheme, calm])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.browser.send("Target.closeTarget", targetId=self._target)

    def send(self, method, **parameters):
        """Call a method of the protocol for this page."""
        return self.browser.send(method, self._session, **parameters)

    def open(self, path):
        """Go to a file and wait until it has loaded."""
        self._loaded = False
        self.send("Page.navigate", url=Path(path).as_uri())
        self.browser.wait(lambda: self._loaded, "the page loads")

    def run(self, expression):
        """Evaluate JavaScript, wait for a promise, and give the value."""
        result = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in result:
            raise BrowserError(_words_of(result["exceptionDetails"]))
        return result["result"].get("value")

    def press(self, key):
        """Press a key and let it go."""
        # Enter acts on a form only with the character that it types.
        text = {"text": "\r"} if key == "Enter" else {}
        code = KEY_CODES[key]
        names = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.send("Input.dispatchKeyEvent", type="keyDown", **names, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", **names)

    def click(self, selector):
        """Click on the middle of an element, as a mouse would."""
        where = self.run(
            f"""(() => {{
                const element = document.querySelector({json.dumps(selector)});
                element.scrollIntoView({{block: "center"}});
                const box = element.getBoundingClientRect();
                return [box.x + box.width / 2, box.y + box.height / 2];
            }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.send(
                "Input.dispatchMouseEvent",
                type=kind,
                x=where[0],
                y=where[1],
                button="left",
                clickCount=1,
            )

    def fill(self, selector, text):
        """Put the cursor in a field, and type a text in place of what stands there."""
        self.run(f"(e => {{ e.focus(); e.select(); }})(document.querySelector({selector!r}))")
        if text:
            self.send("Input.insertText", text=text)
        else:
            self.run("document.execCommand('delete')")

    def text(self, selector):
        """Give the text of the first such element as it is seen, or None without one."""
        return self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? null")

    def picture(self, path):
        """Write a PNG of the whole page."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        data = self.send(
            "Page.captureScreenshot", captureBeyondViewport=True, clip={**size, "scale": 1}
        )["data"]
        Path(path).write_bytes(base64.b64decode(data))

    def _take(self, event, parameters):
        if event == "Page.loadEventFired":
            self._loaded = True
        elif event == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(_words_of(parameters["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled":
            self.complaints.append(str([one.get("value") for one in parameters["args"]]))
        elif event == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])


def _words_of(details):
    return details.get("exception", {}).get("description") or details["text"]
