"""Takes messages from a queue and prints them, one JSON object per line."""

import json
import sys

import pika

url, queue, count = sys.argv[1:]
channel = pika.BlockingConnection(pika.URLParameters(url + "?socket_timeout=60&stack_timeout=120")).channel()
for method, properties, body in channel.consume(queue, auto_ack=True):
    message = {
        "key": method.routing_key,
        "headers": properties.headers,
        "type": properties.content_type,
        "id": properties.message_id,
        "mode": properties.delivery_mode,
        "body": body.decode(),
    }
    print(json.dumps(message), flush=True)
    if method.delivery_tag == int(count):
        break
