//! Over HTTP: each SDK posts to the engine, which posts to each SDK in both modes.

use testkit::{node, port};

use super::*;

#[tokio::test]
async fn what_either_sdk_posts_either_sdk_receives_in_both_modes() {
    let mut receivers =
        [("python", python::run(script!("receive.py"), &[])), ("node", node::run(include_str!("receive.js"), &[]))];
    let mut outputs = Vec::new();
    for (name, receiver) in &mut receivers {
        let line = receiver.line("its port", |line| line.starts_with("port ")).await;
        let port = line.strip_prefix("port ").expect("a port");
        for mode in ["binary", "structured"] {
            let url = format!("http://127.0.0.1:{port}/{mode}");
            outputs.push((format!("{name}-{mode}"), format!("{{ http: {{ url: \"{url}\", mode: {mode} }} }}")));
        }
    }
    let address = port::free();
    let mut engine = passing(&format!("{{ http: {{ listen: \"{address}\" }} }}"), &outputs);
    engine.start().await;
    let url = format!("http://{address}/");
    for mut sender in [python::run(script!("post.py"), &[&url]), node::run(include_str!("post.js"), &[&url])] {
        let ended = sender.wait().await;
        let lines = sender.lines().all();
        assert!(ended.success() && lines.iter().all(|line| line == "answered 202"), "{lines:?}");
        assert_eq!(lines.len(), 6);
    }
    let modes: &[&str] = &["binary", "structured"];
    for (_, receiver) in &receivers {
        let received = received(receiver, 24).await;
        assert_same(&received, &["/binary", "/structured"], &[("python", modes), ("node", modes)]);
    }
    assert_balanced(&engine.status().await);
    assert!(engine.terminate().await.success());
}
