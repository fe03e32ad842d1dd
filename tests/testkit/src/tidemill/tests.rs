//! The harness against a stand-in that behaves like the program: it prints an address, answers one
//! request after another, and drains on SIGTERM. The program itself is tested in the integration
//! binary, which is the only one that knows where it was built.

use super::*;

/// Answers every request with its own arguments as JSON.
const STAND_IN: &str = r#"#!/usr/bin/env python3
import http.server, json, os, signal, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(int(self.headers.get("content-length", "0")))
        body = json.dumps({"arguments": sys.argv[1:], "path": self.path, "tide": os.environ.get("TIDE")}).encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    def log_message(self, *a): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
signal.signal(signal.SIGTERM, lambda *a: sys.exit(0))
open("state", "a").write("started\n")
print("2026-01-01T00:00:00Z INFO admin api at http://127.0.0.1:%d" % server.server_port, flush=True)
server.serve_forever()
"#;

fn stand_in() -> (TempDir, Tidemill) {
    use std::os::unix::fs::PermissionsExt;
    let _python = crate::programs::find("python3", "python3");
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("tidemill");
    std::fs::write(&program, STAND_IN).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let engine = Tidemill::new(program.to_str().unwrap(), "sources: {}\n");
    (folder, engine)
}

#[tokio::test]
async fn it_is_started_asked_drained_and_started_again_in_its_folder() {
    let (_program, engine) = stand_in();
    let mut engine = engine.argument("--grace").argument("5s").variable("TIDE", "high");
    engine.start().await;
    let status = engine.status().await;
    let arguments = serde_json::json!(["run", FILE, "--admin", "127.0.0.1:0", "--grace", "5s"]);
    assert_eq!(status["arguments"], arguments);
    assert_eq!(status["tide"], "high");
    assert_eq!(engine.post("/v1/leave", "{}").await.json()["path"], "/v1/leave");
    assert_eq!(engine.terminate().await.code(), Some(0));
    engine.start().await;
    engine.kill().await;
    let state = engine.find("state").unwrap();
    assert_eq!(std::fs::read_to_string(state).unwrap(), "started\nstarted\n");
    assert_eq!(engine.find("no such file"), None);
}

#[test]
fn the_admin_address_is_read_from_any_form_of_line() {
    let expected: SocketAddr = "127.0.0.1:7411".parse().unwrap();
    for line in [
        "admin: http://127.0.0.1:7411",
        "  admin api   http://127.0.0.1:7411/v1/status",
        "INFO listening admin=127.0.0.1:7411 observe=none",
        "the admin API listens on 127.0.0.1:7411.",
        r#"{"message":"listening","admin":"127.0.0.1:7411"}"#,
    ] {
        assert_eq!(address_in(line), Some(expected), "{line}");
    }
    for line in ["mqtt at 127.0.0.1:1883", "admin soon", "admin 127.0.0.1:0", "admin 127.0.0.1:x"] {
        assert_eq!(address_in(line), None, "{line}");
    }
}
