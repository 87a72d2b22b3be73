"""Drives a headless Chromium by its debugging protocol; needs aiohttp and the program `chromium`."""

import asyncio
import base64
import contextlib
import itertools
import pathlib
import re
import subprocess
import tempfile

import aiohttp


class Page:
    """One page. Methods fail with RuntimeError if the browser says so."""

    def __init__(self, socket):
        self._socket = socket
        self._numbers = itertools.count(1)

    async def call(self, method, **parameters):
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=60)
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]

    async def evaluate(self, expression):
        result = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True,
                                 returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    async def wait_for(self, expression, seconds=60):
        for _ in range(int(seconds * 20)):
            if await self.evaluate(expression):
                return
            await asyncio.sleep(0.05)
        raise RuntimeError(f"in {seconds} s never true: {expression}")

    async def screenshot(self, path):
        data = (await self.call("Page.captureScreenshot"))["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))


@contextlib.asynccontextmanager
async def open_page(url):
    with tempfile.TemporaryDirectory(prefix="browser-") as profile:
        process = subprocess.Popen(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
             "--remote-allow-origins=*", f"--user-data-dir={profile}", url],
            stderr=subprocess.PIPE, text=True)
        try:
            for line in process.stderr:
                if found := re.search(r"ws://[^/]+", line):
                    break
            async with aiohttp.ClientSession() as session:
                address = found[0].replace("ws://", "http://") + "/json/list"
                pages = []
                while not pages:
                    async with session.get(address) as answer:
                        pages = [p for p in await answer.json() if p["type"] == "page"]
                async with session.ws_connect(pages[0]["webSocketDebuggerUrl"],
                                              max_msg_size=0) as socket:
                    page = Page(socket)
                    await page.wait_for(
                        "location.protocol !== 'about:' && document.readyState === 'complete'")
                    yield page
        finally:
            process.kill()
            process.communicate()
