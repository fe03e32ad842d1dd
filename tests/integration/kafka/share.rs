//! Members of one group that come and go.

use testkit::kafka;

use super::*;

fn partitions(status: &Value) -> u64 {
    status["sources"]["orders"]["received"].as_u64().unwrap_or_default()
}

#[tokio::test]
async fn two_engines_share_the_partitions_and_give_them_back() {
    let broker = kafka::shared().await;
    let topic = broker.topic(8, &[]).await;
    let kcat = Kcat::new(broker.address());
    let member =
        |instance: &str| engine(broker.address(), &topic, &["group: shared"]).variable("TIDEMILL_INSTANCE", instance);
    let (mut one, mut two) = (member("one"), member("two"));
    one.start().await;
    send(&kcat, &topic, 0..2000).await;
    file_has(&one, 0..2000).await;

    // The second joins while the first is busy.
    let ((), ()) = tokio::join!(
        async {
            for part in 2..8 {
                send(&kcat, &topic, part * 1000..(part + 1) * 1000).await;
            }
        },
        two.start()
    );
    files_have(&[&one, &two], 0..8000).await;
    send(&kcat, &topic, 8000..10_000).await;
    two.status_where("a share", |status| partitions(status) > 0).await;
    let ids = files_have(&[&one, &two], 0..10_000).await;
    assert_eq!(ids.len(), 10_000);
    let heard = stopped(&mut two).await && !said_again(&mut one);
    assert!(repeated(&ids) == 0 || !heard, "what moved had settled and was committed before");

    // A member that leaves for good keeps its place for the session's time; the rest goes on meanwhile.
    send(&kcat, &topic, 10_000..12_000).await;
    let ids = files_have(&[&one, &two], 0..12_000).await;
    let heard = stopped(&mut one).await && heard;
    assert!(repeated(&ids) == 0 || !heard, "{} repeated", repeated(&ids));
}

#[tokio::test]
async fn partitions_that_a_killed_member_was_giving_back_are_read_again() {
    let broker = kafka::shared().await;
    let topic = broker.topic(4, &[]).await;
    let kcat = Kcat::new(broker.address());
    let options = ["group: forgetful"];
    // Nobody answers there, so that what is in flight keeps the partitions from going for five seconds.
    let nowhere = format!("{{ http: {{ url: \"http://{}/\" }} }}", testkit::port::free());
    let mut one = into(broker.address(), &topic, &options, &nowhere).variable("TIDEMILL_INSTANCE", "one");
    let mut two = engine(broker.address(), &topic, &options).variable("TIDEMILL_INSTANCE", "two");
    one.start().await;
    send(&kcat, &topic, 0..100).await;
    one.status_where("events in flight", |status| status["sources"]["orders"]["inFlight"] == 100).await;
    two.launch();
    one.process().line("a rebalance", |line| line.contains("the group wants partitions back")).await;
    one.kill().await;
    one.write("tidemill.yaml", &yaml(broker.address(), &topic, &options, FILE));
    one.start().await;
    send(&kcat, &topic, 100..200).await;
    assert_eq!(files_have(&[&one, &two], 0..200).await.len(), 200);
    assert!(one.terminate().await.success());
    assert!(two.terminate().await.success());
}

#[tokio::test]
async fn a_member_with_an_instance_of_another_is_told_so() {
    let broker = kafka::shared().await;
    let topic = broker.topic(1, &[]).await;
    let member = || engine(broker.address(), &topic, &["group: doubled"]).variable("TIDEMILL_INSTANCE", "same");
    let (mut one, mut two) = (member(), member());
    one.start().await;
    two.start().await;
    // librdkafka speaks of an instance, too, before the run that it ends gives the advice.
    let said = error(&one, SOURCE, "give every engine an instance of its own").await;
    assert!(said.contains("Static consumer fenced"), "{said}");
    two.terminate().await;
    one.terminate().await;
}
