
# Writes each event in each mode as a message of Kafka, for somebody else to produce; or shows the messages that somebody
# else has consumed from the topics of the arguments.

from cloudevents.core.bindings import kafka

if len(sys.argv) == 1:
    for mode, write in {"binary": kafka.to_binary_event, "structured": kafka.to_structured_event}.items():
        for event in events(mode):
            message = write(event, key_mapper=lambda event: event.get_id())
            headers = {name: value.decode() for name, value in message.headers.items()}
            value = base64.b64encode(message.value).decode()
            print("message", json.dumps([message.key, headers, value]), flush=True)
else:
    for at, headers, value in json.loads(sys.argv[1]):
        headers = {name: text.encode() for name, text in headers}
        show(kafka.from_kafka_event(kafka.KafkaMessage(headers, None, base64.b64decode(value))), at)
