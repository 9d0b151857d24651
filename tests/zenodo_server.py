"""A server with the records of Zenodo, whose zips are small, and which fails as it is told."""

import hashlib
import io
import json
import re
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import soundfile

from lib.recordings.fetching import Patience
from lib.recordings.names import format_name

HASTE = Patience(tries=3, wait=0.01, timeout=0.3)


def noise(seed, samples=8000):
    """Bytes of a clip of noise, half a second."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.random.default_rng(seed).normal(0, 0.1, samples), 16000, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def clips(machine, train=12, test=4, labelled=True):
    """{name in a zip: bytes} of a machine as the data set has it."""
    names = [f"train/{format_name('source', 'train', 'normal', i, {'spd': f'{i % 3}V'})}.wav" for i in range(train)]
    for i in range(test):
        label = ("normal", "anomaly")[i % 2]
        stem = format_name("target", "test", label, i, {"spd": "9V"}) if labelled else f"section_00_{i:04d}"
        names.append(f"test/{stem}.wav")
    rows = [f"{machine}/{name},spd,{name[-6]}V" for name in names if name.endswith("V.wav")]
    table = "\n".join(["file_name,d1p,d1v", *rows]) + "\n"
    found = {f"{machine}/{name}": noise(i) for i, name in enumerate(names)}
    return found | ({f"{machine}/attributes_00.csv": table.encode()} if train else {})


def zipped(entries, compression=zipfile.ZIP_STORED):
    """Bytes of a zip of {name or ZipInfo: bytes}."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


class Zenodo:
    """The server.

    Attributes:
        files: {record: {name: bytes}} that it lists; other names are not found.
        faults: {name or "listing": how the next answers fail}: a status, `cut` half-way, `silent` half-way, `wrong`
            bytes, `longer`, `elsewhere` than the Range.
        headers: of the answers that fail. takes_ranges: or ignores them.
        asked: (name, Range, bytes sent) of each request of a file, or of a listing.
    """

    def __init__(self, files):
        self.files, self.faults, self.asked, self.headers, self.takes_ranges = files, {}, [], {}, True
        self._over = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer._answer(self)
                self.close_connection = True

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def ranges(self, name):
        """The Ranges that were asked for of a file, and how many bytes were sent."""
        return [(wanted, sent) for asked, wanted, sent in self.asked if asked == name]

    def _answer(self, request):
        if found := re.fullmatch(r"/api/records/(\d+)", request.path):
            record, name = int(found[1]), "listing"
            content = self._listing(record) if record in self.files else None
        else:
            found = re.fullmatch(r"/records/(\d+)/files/([^?]+)\?download=1", request.path)
            record, name = int(found[1]), found[2]
            content = self.files.get(record, {}).get(name)
        faults = self.faults.get(name)
        fault = faults.pop(0) if faults else "" if content is not None else 404
        if isinstance(fault, int):
            self.asked.append((name, request.headers["Range"], 0))
            request.send_response(fault)
            for key, value in {"Content-Length": "0", **self.headers}.items():
                request.send_header(key, value)
            request.end_headers()
        else:
            self._send(request, name, content, fault)

    def _send(self, request, name, content, fault):
        wanted = request.headers["Range"]
        begin = int(wanted[6:-1]) if wanted and self.takes_ranges else 0
        content = content[::-1] if fault == "wrong" else content + b"x" * 99 if fault == "longer" else content
        rest = content[begin:]
        request.send_response(206 if begin else 200)
        if begin:
            shown = begin + 1 if fault == "elsewhere" else begin
            request.send_header("Content-Range", f"bytes {shown}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Length", str(len(rest)))
        request.end_headers()
        sent = rest[: len(rest) // 2] if fault in ("cut", "silent") else rest
        self.asked.append((name, wanted, len(sent)))
        request.wfile.write(sent)
        request.wfile.flush()
        if fault == "silent":
            self._over.wait(5)

    def _listing(self, record):
        files = [
            {
                "key": name,
                "size": len(content),
                "checksum": "md5:" + hashlib.md5(content).hexdigest(),
                "links": {"self": f"{self.address}/api/records/{record}/files/{name}/content"},
            }
            for name, content in self.files[record].items()
        ]
        return json.dumps({"id": record, "files": files}).encode()
