"""Runs inside a sandbox: detect-secrets on the files that stdin names (JSON list).

Prints a JSON list of [file, line, kind]; never a secret. Allow-list comments are not heeded.
"""

import json
import sys

from detect_secrets.core.scan import scan_file
from detect_secrets.settings import default_settings

ALLOW_LIST = "detect_secrets.filters.allowlist.is_line_allowlisted"


def main() -> None:
    """Scan and print."""
    with default_settings() as settings:
        settings.disable_filters(ALLOW_LIST)
        found = [
            [path, secret.line_number, secret.type]
            for path in json.load(sys.stdin)
            for secret in scan_file(path)
        ]
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
