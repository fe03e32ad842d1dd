"""The events that the CloudEvents SDK sends, and how what it has read is shown. Other scripts begin with this one."""

import base64
import json
import sys
from datetime import datetime, timezone

from cloudevents.core.v1.event import CloudEvent

PAYLOADS = {
    "json": ("application/json", {"n": 1.5, "list": [1, None], "é": "ü"}),
    "text": ("text/plain; charset=utf-8", "a line\nand a tide \N{WATER WAVE}"),
    "bytes": ("application/octet-stream", bytes(range(256))),
}


def events(mode):
    """One event with each payload."""
    for kind, (media_type, data) in PAYLOADS.items():
        attributes = {
            "id": f"python.{mode}.{kind}",
            "source": "/sdk",
            "type": "org.example.sdk",
            "subject": '50 % "é"',
            "time": datetime(2026, 11, 21, 6, 58, 0, 120000, timezone.utc),
            "datacontenttype": media_type,
            "tenant": "a b",
            "level": 7,
        }
        yield CloudEvent(attributes, data)


def show(event, at):
    """One line of JSON. Data that is no JSON is the base64 of its bytes."""
    shown = {**event.get_attributes(), "at": at}
    shown["time"] = round(shown["time"].timestamp() * 1000)
    data = event.get_data()
    if isinstance(data, str):
        data = data.encode()
    shown |= {"base64": base64.b64encode(data).decode()} if isinstance(data, bytes) else {"json": data}
    # In one piece, because a server's threads print side by side.
    print(f"event {json.dumps(shown)}\n", end="", flush=True)
