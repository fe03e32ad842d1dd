
# Publishes each event in each mode of two bindings to a queue: that of AMQP 1.0, and Knative's own for RabbitMQ; or takes
# messages from a queue and shows what the binding of AMQP 1.0 makes of them.

import pika
from cloudevents.core.bindings import amqp, rabbitmq

url, queue, *count = sys.argv[1:]
channel = pika.BlockingConnection(pika.URLParameters(url + "?socket_timeout=60&stack_timeout=120")).channel()


def send(headers, media_type, body):
    properties = pika.BasicProperties(headers=headers, content_type=media_type)
    channel.basic_publish("", queue, body, properties, mandatory=True)


if not count:
    channel.confirm_delivery()
    for mode, write in {"binary": amqp.to_binary_event, "structured": amqp.to_structured_event}.items():
        for event in events(mode):
            message = write(event)
            send(message.application_properties, message.properties["content-type"], message.application_data)
    for mode, write in {"knative": rabbitmq.to_binary_event, "wrapped": rabbitmq.to_structured_event}.items():
        for event in events(mode):
            message = write(event)
            send(message.headers, message.content_type, message.body)
else:
    for method, properties, body in channel.consume(queue, auto_ack=True):
        message = amqp.AMQPMessage({"content-type": properties.content_type}, properties.headers, body)
        show(amqp.from_amqp_event(message), queue)
        if method.delivery_tag == int(count[0]):
            break
