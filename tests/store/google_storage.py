"""A small part of Google's storage API, on loopback, for what goes by gs://.

Buckets are there without being made, but for those in `absent`, and what `fault`
returns goes wrong.
"""

import datetime
import http.server
import io
import itertools
import json
import re
import sys
import threading
import urllib.parse

_OBJECT = re.compile(r"/(?:download/)?storage/v1/b/([^/]+)/o/(.+)")
_REWRITE = re.compile(r"/storage/v1/b/([^/]+)/o/([^/]+)/rewriteTo/b/([^/]+)/o/([^/]+)")
_LISTING = re.compile(r"/storage/v1/b/([^/]+)/o/?")
_UPLOAD = re.compile(r"/upload/storage/v1/b/([^/]+)/o")
_BUCKET = re.compile(r"/storage/v1/b/([^/]+)/?")

# What processes are told that come here: nobody is asked who we are, nor Google what
# kind of bucket it is; and epath leaves gs:// to gcsfs, where else TensorFlow would go
# to Google.
WITHOUT_GOOGLE = {
    "FSSPEC_GCS_TOKEN": "anon",
    "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
    "EPATH_USE_TF": "false",
}


class Storage:
    """Objects by bucket and name, each with its generation."""

    def __init__(self):
        self.objects: dict[tuple[str, str], tuple[int, bytes, str]] = {}
        self.sessions: dict[str, tuple[str, str, dict, bytearray]] = {}
        self.requests: list[str] = []
        self.absent: set[str] = set()
        # Given method and path: None, a status with a text, or "cut" (the connection
        # ends without an answer), "late" (so, but what was asked is done), "silent".
        self.fault = lambda method, path: None
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self._generations = itertools.count(1)

    def insert(self, bucket, name, data, query):
        """Returns what is told of a new object; None if the precondition fails."""
        with self.lock:
            known = self.objects.get((bucket, name))
            expected = query.get("ifGenerationMatch")
            if expected is not None and int(expected) != (known[0] if known else 0):
                return None
            now = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
            self.objects[bucket, name] = next(self._generations), bytes(data), now
        return self.told(bucket, name)

    def told(self, bucket, name):
        """Returns the metadata of an object, None if there is none."""
        known = self.objects.get((bucket, name))
        if known is None:
            return None
        generation, data, time = known
        return {
            "kind": "storage#object",
            "bucket": bucket,
            "name": name,
            "size": str(len(data)),
            "generation": str(generation),
            "metageneration": "1",
            "timeCreated": time,
            "updated": time,
        }

    def listing(self, bucket, query):
        """Returns a page of a listing, of 1,000 objects at most."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        with self.lock:
            names = sorted(name for one, name in self.objects if one == bucket)
        items, prefixes = [], set()
        for name in names:
            below = name.removeprefix(prefix)
            if not name.startswith(prefix):
                continue
            if delimiter and delimiter in below:
                prefixes.add(prefix + below.partition(delimiter)[0] + delimiter)
            else:
                items.append(name)
        begin = int(query.get("pageToken", 0))
        size = min(int(query.get("maxResults", 1000)), 1000)
        page = {"kind": "storage#objects", "prefixes": sorted(prefixes)}
        page["items"] = [self.told(bucket, one) for one in items[begin : begin + size]]
        if begin + size < len(items):
            page["nextPageToken"] = str(begin + size)
        return page


def serving(storage: Storage) -> http.server.ThreadingHTTPServer:
    """Returns a server on a free port of this machine alone, that serves already."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Headers and content go in one packet, so that nobody waits for the other.
        wbufsize = -1

        def log_message(self, *arguments):
            pass

        def answered(self, code, content=b"", **headers):
            if not isinstance(content, bytes):
                headers["Content-Type"] = "application/json"
                content = json.dumps(content).encode()
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def failed(self, code, text):
            self.answered(code, {"error": {"code": code, "message": text}})

        def asked(self):
            url = urllib.parse.urlsplit(self.path)
            storage.requests.append(f"{self.command} {url.path}")
            query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
            return url.path, query

        def body(self):
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data

        def parse_request(self):
            """Reads a request; what goes wrong goes wrong here."""
            if not super().parse_request():
                return False
            path = urllib.parse.urlsplit(self.path).path
            fault = storage.fault(self.command, urllib.parse.unquote(path))
            bucket = re.search("/storage/v1/b/([^/]+)", path)
            if fault is None and bucket and bucket[1] in storage.absent:
                fault = 404, "The specified bucket does not exist."
            if fault is None:
                return True
            storage.requests.append(f"{self.command} {path}")
            if fault == "late":
                answer, self.wfile = self.wfile, io.BytesIO()
                getattr(self, f"do_{self.command}")()
                self.wfile = answer
            elif fault == "silent":
                storage.ended.wait(60)
            if isinstance(fault, tuple):
                self.body()
                self.failed(*fault)
                self.wfile.flush()
            else:
                self.close_connection = True
            return False

        def do_GET(self):
            path, query = self.asked()
            if match := _OBJECT.fullmatch(path):
                bucket, name = match[1], urllib.parse.unquote(match[2])
                told = storage.told(bucket, name)
                if told is None:
                    self.failed(404, f"No such object: {bucket}/{name}")
                elif query.get("alt") == "media":
                    self.media(storage.objects[bucket, name][1])
                else:
                    self.answered(200, told)
            elif match := _LISTING.fullmatch(path):
                self.answered(200, storage.listing(match[1], query))
            elif match := _BUCKET.fullmatch(path):
                self.answered(200, {"kind": "storage#bucket", "name": match[1]})
            else:
                self.failed(400, f"Not known here: GET {path}")

        def media(self, data):
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if asked is None:
                self.answered(200, data)
                return
            begin, end = int(asked[1]), int(asked[2] or len(data) - 1)
            if begin >= len(data):
                self.failed(416, "The requested range is not satisfiable")
                return
            part = data[begin : end + 1]
            told = f"bytes {begin}-{begin + len(part) - 1}/{len(data)}"
            self.answered(206, part, Content_Range=told)

        def do_POST(self):
            path, query = self.asked()
            if copied := _REWRITE.fullmatch(path):
                self.body()
                names = [urllib.parse.unquote(copied[one]) for one in (2, 4)]
                data = storage.objects[copied[1], names[0]][1]
                told = storage.insert(copied[3], names[1], data, {})
                self.answered(200, {"done": True, "resource": told})
                return
            match, data = _UPLOAD.fullmatch(path), self.body()
            if match is None:
                self.failed(400, f"Not known here: POST {path}")
            elif "upload_id" in query:
                self.written(query["upload_id"], data)
            elif query["uploadType"] == "resumable":
                number = str(len(storage.sessions))
                name = query.get("name") or json.loads(data)["name"]
                storage.sessions[number] = match[1], name, query, bytearray()
                where = f"http://{self.headers['Host']}{path}?upload_id={number}"
                self.answered(200, Location=where)
            else:
                # Metadata, then the object: each after headers and an empty line.
                boundary = self.headers.get_boundary()
                mark = f"--{boundary}".encode()
                _, told, content = data.split(mark, 2)
                name = json.loads(told.partition(b"\n\n")[2])["name"]
                content = content.partition(b"\n\n")[2]
                content = content[: content.rindex(b"\n" + mark + b"--")]
                self.inserted(match[1], name, content, query)

        def written(self, session, data):
            bucket, name, asked, before = storage.sessions[session]
            before += data
            if self.headers["Content-Range"].endswith("/*"):
                self.answered(308, Range=f"bytes=0-{len(before) - 1}")
            else:
                self.inserted(bucket, name, before, asked)

        def inserted(self, bucket, name, data, query):
            told = storage.insert(bucket, name, data, query)
            if told is None:
                self.failed(412, "conditionNotMet")
            else:
                self.answered(200, told)

        def do_DELETE(self):
            path, _ = self.asked()
            match = _OBJECT.fullmatch(path)
            key = match[1], urllib.parse.unquote(match[2])
            with storage.lock:
                known = storage.objects.pop(key, None)
            if known is None:
                self.failed(404, f"No such object: {'/'.join(key)}")
            else:
                self.answered(204)

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            # A process that ends leaves its connections as they are.
            if not isinstance(sys.exception(), ConnectionError):
                super().handle_error(request, client_address)

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server
