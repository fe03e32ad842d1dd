
# Posts each event in each mode to a URL.

from urllib.request import Request, urlopen

from cloudevents.core.bindings import http

for mode, write in {"binary": http.to_binary_event, "structured": http.to_structured_event}.items():
    for event in events(mode):
        message = write(event)
        with urlopen(Request(sys.argv[1], message.body, message.headers)) as answer:
            print("answered", answer.status, flush=True)
