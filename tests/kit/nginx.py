"""nginx with the file that ships in `deploy/`, without TLS, before services of this machine or of others."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from core.installed import ROOT

PROGRAM = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
MISSING = "nginx is missing, so there is nothing to go through"
# Who answered, for a caller that counts.
BY = "x-served-by"

_MAIN = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    add_header {by} $upstream_addr always;
    {site}
}}
"""


def site(address: str, upstreams: Sequence[str]) -> str:
    """The shipped file without TLS, listening at `address`."""
    text = (ROOT / "deploy/nginx/waystation.conf").read_text()
    text = re.sub(r"(?m)^\s*(ssl_certificate\w*\s.*|listen \[.*|#.*)$", "", text)
    servers = " ".join(f"server {upstream};" for upstream in upstreams)
    text = text.replace("server 127.0.0.1:8000;", servers)
    text = text.replace("listen 443 ssl;", f"listen {address};")
    return text[: text.rindex("server {")]


@contextmanager
def nginx(folder: Path, address: str, upstreams: Sequence[str], *, patience: str = "660s") -> Iterator[str]:
    """Its URL; each of `upstreams` is HOST:PORT. `patience` is how long it waits for an answer."""
    assert PROGRAM, MISSING
    config = folder / "nginx.conf"
    asked = site(address, upstreams).replace("proxy_read_timeout 660s", f"proxy_read_timeout {patience}")
    config.write_text(_MAIN.format(folder=folder, by=BY, site=asked))
    words = [PROGRAM, "-e", str(folder / "error.log"), "-c", str(config), "-p", str(folder)]
    process = subprocess.Popen(words)
    try:
        yield f"http://{address}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
