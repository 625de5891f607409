"""Small web archives as `warcio` writes them, and what is in them as `warcio` reads them.

    pip install warcio==1.8.1 brotli
    python3 golden/warc_files.py             # writes crates/curate/tests/golden/
    python3 golden/warc_files.py FILE ...    # compares real archives with `--example records`
"""

import io
import json
import subprocess
import sys
import zlib
from pathlib import Path

from warcio.archiveiterator import ArchiveIterator
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

HERE = Path(__file__).resolve().parent.parent
OUT = HERE / "crates/curate/tests/golden"
PAGE = "<!doctype html><title>Größe</title><p>" + "One page of many. " * 20


def records(path):
    found = []
    with open(path, "rb") as file:
        archive = ArchiveIterator(file, no_record_parse=True)
        for record in archive:
            payload = record.raw_stream.read()
            offset, headers = archive.get_record_offset(), record.rec_headers
            if record.format == "arc":
                is_file = record.rec_type == "arc_header"
                kind = "warcinfo" if is_file else "response"
                uri = headers.get_header("uri")
                # Of the file's own record warcio has read the payload as its head.
                payload = None if is_file else payload
            else:
                kind = record.rec_type
                uri = (headers.get_header("WARC-Target-URI") or "").strip("<>")
            size, crc = (None, None) if payload is None else (len(payload), zlib.crc32(payload))
            found.append([offset, kind, uri, size, crc])
    return found


def write(path, is_gzip):
    with open(path, "wb") as file:
        writer = WARCWriter(file, gzip=is_gzip)
        writer.write_record(writer.create_warcinfo_record(path.name, {"software": "none"}))
        for i, coding in enumerate(["identity", "gzip", "deflate", "br"]):
            body = PAGE.encode()
            if coding == "gzip":
                deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
                body = deflate.compress(body) + deflate.flush()
            elif coding == "deflate":
                body = zlib.compress(body)
            elif coding == "br":
                import brotli
                body = brotli.compress(body)
            fields = [("Content-Type", "text/html; charset=utf-8"), ("Content-Encoding", coding)]
            if i % 2:
                half = len(body) // 2
                body = b"".join(b"%x\r\n%s\r\n" % (len(part), part)
                                for part in (body[:half], body[half:], b""))
                fields.append(("Transfer-Encoding", "chunked"))
            url = f"http://example.org/{coding}?q=a"
            for kind, line in (("request", "GET / HTTP/1.1"), ("response", "200 OK")):
                head = StatusAndHeaders(line, fields if kind == "response" else [], "HTTP/1.1",
                                        is_http_request=kind == "request")
                writer.write_record(writer.create_warc_record(
                    url, kind, io.BytesIO(body if kind == "response" else b""), http_headers=head,
                    warc_headers_dict={"WARC-Date": "2024-05-06T07:08:09Z"}))
        writer.write_record(writer.create_warc_record(
            "http://example.org/text", "conversion", io.BytesIO(PAGE.encode()),
            warc_content_type="text/plain"))


def arc(path):
    def record(line, payload):
        return f"{line} {len(payload)}\n".encode() + payload + b"\n"
    own = b"1 0 Nobody\nURL IP-address Archive-date Content-type Archive-length\n"
    page = b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + PAGE.encode()
    path.write_bytes(
        record("filedesc://a.arc 0.0.0.0 20060102030405 text/plain", own)
        + record("http://example.org/ 192.0.2.1 20060102030405 text/html", page)
        + record("dns:example.org 192.0.2.1 20060102030406 text/dns", b"example.org. 1 IN A\n"))


def main():
    names = [Path(name) for name in sys.argv[1:]]
    if not names:
        write(OUT / "a.warc.gz", True)
        write(OUT / "a.warc", False)
        arc(OUT / "a.arc")
        golden = {name: records(OUT / name) for name in ("a.warc.gz", "a.warc", "a.arc")}
        text = ",\n".join(f"{json.dumps(name)}: [\n  " + ",\n  ".join(map(json.dumps, rows)) + "]"
                          for name, rows in golden.items())
        (OUT / "warcio.json").write_text("{\n" + text + "}\n")
    for name in names:
        command = ["cargo", "run", "-qp", "curate", "--release", "--example", "records", str(name)]
        text = subprocess.run(command, cwd=HERE, check=True, capture_output=True, text=True).stdout
        rows = [line.split("\t") for line in text.splitlines() if line[0] != "#"]
        rows = [[int(r[0]), r[1], r[2], int(r[4]), int(r[5], 16)] for r in rows]
        peer = records(name)
        # Of an ARC file's own record warcio keeps neither address nor payload.
        same = len(rows) == len(peer) and all(
            theirs in (mine, None) for a, b in zip(rows, peer) for mine, theirs in zip(a, b))
        print(f"{name}: {'same' if same else 'DIFFERS'}, {len(rows)} records")


if __name__ == "__main__":
    main()
