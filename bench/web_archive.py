"""Web archives: made of real records for measuring, iterated by FastWARC, and their text found by resiliparse and trafilatura.

usage: web_archive.py make PYWB CDX_TOOLKIT TRAFILATURA OUT   real.warc.gz, pages.warc.gz, crawl.warc.gz
       web_archive.py iterate FILE N     the peer of `crates/curate/examples/records.rs --time N`: MB/s of the file
       web_archive.py text PEER FILE N   the peer of `crates/curate/examples/pages.rs`: pages a second

The three folders are those of the packages pywb 2.10.0, cdx-toolkit 0.9.39 (source) and trafilatura 1.0.0 (source).
real.warc.gz has the gzip archives of the first and the slices of CommonCrawl's of the second as they are, again and again;
pages.warc.gz the web pages of the third, as a request, a response and metadata each, as CommonCrawl has them; crawl.warc.gz
the same again and again. PEER is a name out of main_text.py. The seconds are those of the processor, medians of N passes.

Needs PyPI `fastwarc`, `warcio`, and what main_text.py needs.
"""
import base64
import io
import json
import os
import pathlib
import statistics
import sys
import time

SIZE = 64 << 20


def repeated(path, records):
    with open(path, "wb") as file:
        for _ in range(SIZE // len(records) + 1):
            file.write(records)


def slices(folder):
    """Records of CommonCrawl that a server's recorded answers have."""
    found = {}
    for path in sorted(folder.rglob("*.jsonl")):
        for answer in map(json.loads, path.read_text().splitlines()):
            if answer["url"].endswith(".warc.gz"):
                found[answer["response_text"]] = None
    return [base64.b64decode(text) for text in found]


def page_records(pages):
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    out = io.BytesIO()
    writer = WARCWriter(out, gzip=True)
    asked = [("User-Agent", "CCBot/2.0 (https://commoncrawl.org/faq/)"), ("Accept", "text/html,*/*;q=0.8"), ("Host", "example.org")]
    for path in pages:
        body, address = path.read_bytes(), f"https://example.org/{path.name}"
        fields = [("Content-Type", "text/html"), ("Content-Length", str(len(body))), ("Server", "nginx")]
        request = StatusAndHeaders("GET / HTTP/1.1", asked, is_http_request=True)
        response = StatusAndHeaders("200 OK", fields, protocol="HTTP/1.1")
        facts = b"fetchTimeMs: 335\r\ncharset-detected: UTF-8\r\n"
        for kind, payload, http in [("request", b"", request), ("response", body, response), ("metadata", facts, None)]:
            more = {"http_headers": http} if http else {"warc_content_type": "application/warc-fields"}
            writer.write_record(writer.create_warc_record(address, kind, payload=io.BytesIO(payload), **more))
    return out.getvalue()


def make(pywb, cdx_toolkit, trafilatura, out):
    out = pathlib.Path(out)
    archives = sorted(path for path in pathlib.Path(pywb).rglob("*.warc.gz"))
    real = b"".join([path.read_bytes() for path in archives] + slices(pathlib.Path(cdx_toolkit)))
    pages = page_records(sorted(pathlib.Path(trafilatura).rglob("tests/cache/*.htm*")))
    repeated(out / "real.warc.gz", real)
    (out / "pages.warc.gz").write_bytes(pages)
    repeated(out / "crawl.warc.gz", pages)


def passes(n, once):
    seconds = []
    for _ in range(int(n)):
        start = time.process_time()
        last = once()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds), last


def iterate(path, n):
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    def once(types, read):
        n_records = n_payload = 0
        with open(path, "rb") as file:
            for record in ArchiveIterator(file, parse_http=False, record_types=types):
                n_records += 1
                n_payload += len(record.reader.read()) if read else 0
        return n_records, n_payload

    size, facts = os.path.getsize(path) / 1e6, {}
    for name, types in [("responses", WarcRecordType.response), ("all", WarcRecordType.any_type)]:
        facts[name] = size / passes(n, lambda: once(types, False))[0]
        seconds, (facts["records"], facts["payload_bytes"]) = passes(n, lambda: once(types, True))
        facts[f"{name} read"] = size / seconds
    print(json.dumps(facts))


def text(peer, path, n):
    from fastwarc.warc import ArchiveIterator, WarcRecordType
    from main_text import peers

    extract = peers()[peer]

    def once():
        n_pages = n_bytes = 0
        with open(path, "rb") as file:
            for record in ArchiveIterator(file, record_types=WarcRecordType.response):
                n_pages += 1
                n_bytes += len(extract(record.reader.read()) or "")
        return n_pages, n_bytes

    seconds, (n_pages, n_chars) = passes(n, once)
    print(json.dumps({"pages": n_pages, "text_chars": n_chars, "text_pages_per_s": n_pages / seconds}))


if __name__ == "__main__":
    {"make": make, "iterate": iterate, "text": text}[sys.argv[1]](*sys.argv[2:])
