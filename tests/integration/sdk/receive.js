// Receives events at a port of its own and prints what the CloudEvents SDK makes of them, one JSON object per line.
const http = require("http");
const { HTTP } = require("cloudevents");

// JSON is shown as it is, everything else as the base64 of its bytes.
function plain(data) {
  const bytes = typeof data === "string" || ArrayBuffer.isView(data);
  return bytes ? { base64: Buffer.from(data).toString("base64") } : { json: data };
}

// What a framework does before the SDK sees a body.
function read(headers, body) {
  return headers["content-type"] === "application/octet-stream" ? body : body.toString();
}

const server = http.createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  const event = HTTP.toEvent({ headers: request.headers, body: read(request.headers, Buffer.concat(parts)) });
  const { data: _, data_base64: __, time, ...attributes } = event.toJSON();
  // It does not decode headers.
  const binary = "ce-id" in request.headers;
  const decoded = ([name, value]) => [name, binary && typeof value === "string" ? decodeURIComponent(value) : value];
  const shown = Object.fromEntries(Object.entries(attributes).map(decoded));
  console.log("event", JSON.stringify({ ...shown, at: request.url, time: Date.parse(time), ...plain(event.data) }));
  response.writeHead(204).end();
});
server.listen(0, "127.0.0.1", () => console.log("port", server.address().port));
