"""Publishes to a queue what an independent client can: events in both modes, plain messages, and garbage."""

import datetime
import json
import sys

import pika

url, exchange, queue = sys.argv[1:]
channel = pika.BlockingConnection(pika.URLParameters(url + "?socket_timeout=60&stack_timeout=120")).channel()
channel.confirm_delivery()
channel.exchange_declare(exchange, "topic", durable=True)
channel.queue_bind(queue, exchange, "#")


def send(key, body, headers=None, content_type=None):
    properties = pika.BasicProperties(headers=headers, content_type=content_type)
    channel.basic_publish(exchange, key, body, properties, mandatory=True)


core = {"specversion": "1.0", "id": "binary", "type": "org.example.alert", "source": "/pika"}
binary = {f"cloudEvents:{name}": value for name, value in core.items()}
more = {
    "cloudEvents:time": datetime.datetime(2026, 11, 21, 6, 58, tzinfo=datetime.timezone.utc),
    "cloudEvents:count": -7,
    "cloudEvents:urgent": True,
    "cloudEvents:subject": "50 % é",
    "x-trace": [1, {"deep": 2}],
}
send("v1.demo.veh-1.telemetry", b'{"n":1.10}', {**binary, **more}, "application/json")
other = {f"cloudEvents_{name}": value for name, value in {**core, "id": "other"}.items()}
send("v1.demo.veh-2.telemetry", b"a,b", other, "text/csv")
structured = {**core, "id": "structured", "data": {"n": 2}}
send("v1.demo.veh-3.telemetry", json.dumps(structured), None, "application/cloudevents+json; charset=utf-8")
send("v1.demo.veh-4.telemetry", b'{"id":"plain"}')

# What looks like garbage and is none: a header's name that is no text, and bytes, which are an attribute like any other.
send("v1.demo.veh-5.telemetry", b'{"id":"named"}', {b"\xff\xfe": "no text"})
send("v1.demo.veh-5.telemetry", b"x", {**binary, "cloudEvents:id": "bytes", "cloudEvents:tenant": b"\xff\xfe"})

# Garbage, each of another kind.
send(b"v1.demo.\xff.telemetry", b'{"id":"x"}')
send("v1.demo.veh-5.telemetry", b"x", {**binary, "cloudEvents:tenant": {"a": "table"}})
send("v1.demo.veh-5.telemetry", b"x", {name: value for name, value in binary.items() if not name.endswith("id")})
send("v1.demo.veh-5.telemetry", b"nonsense", None, "application/cloudevents+json")
send("v1.demo.veh-5.telemetry", b"no field")
send("v1.demo.veh-5.telemetry", b"x" * 300_000)
send("elsewhere", b'{"id":"x"}')
send("v1.demo.veh-6.telemetry", b'{"id":"last"}')
print("sent")
