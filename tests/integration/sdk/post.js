// Posts events that the CloudEvents SDK has made to a URL, each payload in each mode.
const { CloudEvent, HTTP } = require("cloudevents");

const payloads = {
  json: ["application/json", { n: 1.5, list: [1, null], "é": "ü" }],
  text: ["text/plain; charset=utf-8", "a line\nand a tide \u{1f30a}"],
  bytes: ["application/octet-stream", Uint8Array.from({ length: 256 }, (_, at) => at)],
};

async function main(url) {
  for (const mode of ["binary", "structured"]) {
    for (const [kind, [datacontenttype, data]] of Object.entries(payloads)) {
      // Headers are written without an encoding by this SDK, so that a binary event has only ASCII in its attributes.
      const event = new CloudEvent({
        id: `node.${mode}.${kind}`,
        source: "/sdk",
        type: "org.example.sdk",
        subject: mode === "binary" ? "veh 1" : '50 % "é"',
        time: "2026-11-21T06:58:00.120Z",
        datacontenttype,
        tenant: "a b",
        level: 7,
        data,
      });
      const { headers, body } = HTTP[mode](event);
      const answer = await fetch(url, { method: "POST", headers, body });
      console.log("answered", answer.status);
    }
  }
}

main(process.argv[1]);
