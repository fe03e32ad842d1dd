//! Two engines with one share group.

use testkit::mosquitto::{Config, Mosquitto};

use super::*;

#[tokio::test]
async fn two_engines_split_a_stream_and_one_that_was_killed_brings_its_share_back() {
    let broker = Mosquitto::start(Config::profile()).await;
    let member = |instance: &str| {
        engine(&broker.url(), &["clientId: mill", "shareGroup: fleet"]).variable("TIDEMILL_INSTANCE", instance)
    };
    let (mut one, mut two) = (member("one"), member("two"));
    one.start().await;
    two.start().await;
    let publisher = publisher(&broker).await;
    let (_, ()) = tokio::join!(send(&publisher, 0..8000), async {
        within("a share for both", async {
            while ids(&one).len() < 500 || ids(&two).len() < 500 {
                tokio::time::sleep(RETRY).await;
            }
        })
        .await;
        two.kill().await;
    });
    let confirmed = publisher.close().await.confirmed;
    assert_eq!(confirmed.len(), 8000);
    two.start().await;
    files_have(&[&one, &two], &confirmed).await;
    assert!(one.terminate().await.success());
    assert!(two.terminate().await.success());
}
