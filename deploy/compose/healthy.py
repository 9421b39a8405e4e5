"""Whether the gateway of this container says that it is well; exit status 1 if not."""

import sys
import urllib.request
from pathlib import Path

SECRETS = Path("/run/village/gateway.env")

token = ""
if SECRETS.is_file():
    found = dict(line.split("=", 1) for line in SECRETS.read_text("utf-8").splitlines() if "=" in line)
    token = found.get("GATEWAY_API_TOKEN", "")
question = urllib.request.Request("http://127.0.0.1:8765/health", headers={"Authorization": f"Bearer {token}"})
try:
    with urllib.request.urlopen(question, timeout=4) as answer:  # noqa: S310 - the address is the one above
        sys.exit(answer.status != 200)
except OSError as error:
    sys.exit(f"{error}")
