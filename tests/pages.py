"""What a report's page holds for its script."""

from __future__ import annotations

import json
import re


def data_of(text: str) -> dict:
    """The data that the page's script reads."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])
