//! What the output promises: whole events or nothing, bounded series, one page that Prometheus reads.

mod page;

use std::time::Duration;

use engine::metric::{Connection, Page};
use engine::port::Confirmations;
use tokio::time::{advance, sleep};

use super::*;
use crate::tests::{complaints, event, open, setup};

fn samples(output: &dyn Output, samples: &str) -> Result<(), String> {
    let event = event(EVENT_TYPE, format!("{{\"samples\":[{samples}]}}"));
    match output.publish(&event, Confirmations::<()>::default().offer()) {
        Confirm::Now(Err(PublishError::Reject { reason })) => Err(reason),
        Confirm::Now(Ok(())) => Ok(()),
        other => panic!("{other:?}"),
    }
}

fn counter(name: &str, value: u32) -> String {
    format!(r#"{{"name":"{name}","kind":"counter","value":{value},"help":"Help."}}"#)
}

fn opened(options: &str, page: &Page) -> Box<dyn Output> {
    open(&Prometheus, options, &setup("metrics", page)).unwrap()
}

#[tokio::test]
async fn samples_become_families() {
    let page = Page::default();
    let output = opened(r#"{"buckets":{"trip_meters":[10,100]}}"#, &page);
    for sample in [
        r#"{"name":"x_total","kind":"counter","value":1.5,"labels":{"b":"1","a":"2"}}"#,
        r#"{"name":"x_total","kind":"counter","value":1,"labels":{"a":"2","b":"1","c":""},"help":"Later."}"#,
        r#"{"name":"x_total","kind":"counter","value":1,"help":"Never."}"#,
        r#"{"name":"set","kind":"gauge","value":1},{"name":"set","kind":"gauge","value":-4}"#,
        r#"{"name":"add","kind":"gauge","value":1,"merge":"add"},{"name":"add","kind":"gauge","value":-4,"merge":"add"}"#,
        r#"{"name":"max","kind":"gauge","value":-4,"merge":"max"},{"name":"max","kind":"gauge","value":-5,"merge":"max"}"#,
        r#"{"name":"min","kind":"gauge","value":4,"merge":"min"},{"name":"min","kind":"gauge","value":3,"merge":"min"}"#,
        r#"{"name":"trip_meters","kind":"histogram","value":10}"#,
        r#"{"name":"trip_meters","kind":"histogram","value":10.5},{"name":"trip_meters","kind":"histogram","value":1e3}"#,
    ] {
        assert_eq!(samples(&*output, sample), Ok(()), "{sample}");
    }
    assert_eq!(
        page.render(),
        "\
# HELP add Sent without a help text.
# TYPE add gauge
add -3
# HELP max Sent without a help text.
# TYPE max gauge
max -4
# HELP min Sent without a help text.
# TYPE min gauge
min 3
# HELP set Sent without a help text.
# TYPE set gauge
set -4
# HELP trip_meters Sent without a help text.
# TYPE trip_meters histogram
trip_meters_bucket{le=\"10\"} 1
trip_meters_bucket{le=\"100\"} 2
trip_meters_bucket{le=\"+Inf\"} 3
trip_meters_sum 1020.5
trip_meters_count 3
# HELP x_total Later.
# TYPE x_total counter
x_total 1
x_total{a=\"2\",b=\"1\"} 2.5
"
    );
    assert!(
        page.render_own().contains("\ntidemill_prometheus_series{output=\"metrics\"} 7\n"),
        "{}",
        page.render_own()
    );
}

#[tokio::test]
async fn a_wrong_event_leaves_no_trace() {
    let page = Page::default();
    let setup = setup("metrics", &page);
    let output = open(&Prometheus, "{}", &setup).unwrap();
    samples(&*output, &counter("known_total", 1)).unwrap();
    let histogram = r#"{"name":"h","kind":"histogram","value":1}"#;
    samples(&*output, histogram).unwrap();
    let before = page.render();
    let gauge = |name: &str| format!(r#"{{"name":"{name}","kind":"gauge","value":1}}"#);
    for (wrong, complaint) in [
        (gauge("known_total"), "'known_total' is a counter and was now sent as a gauge"),
        (gauge("new_total"), "'new_total' is a counter and was now sent as a gauge"),
        (gauge("bad-name"), "'bad-name' is no metric name"),
        (gauge("h_count"), "histogram 'h' has 'h_count' already"),
        (counter("fresh", 1).replace("1,", "-1,"), "counter 'fresh' cannot fall by -1"),
        (
            r#"{"name":"new_total_sum","kind":"gauge","value":1},{"name":"new_total","kind":"histogram","value":1}"#
                .to_owned(),
            "is a counter",
        ),
    ] {
        let event = format!("{},{},{wrong}", counter("known_total", 1), counter("new_total", 1));
        let reason = samples(&*output, &event).unwrap_err();
        assert!(reason.contains(complaint), "{reason}");
        assert_eq!(page.render(), before, "{wrong}");
    }
    let other = output.publish(&event("com.example", "{}"), Confirmations::<()>::default().offer());
    assert!(
        format!("{other:?}").contains("takes events of type 'io.tidemill.metrics.samples.v1' and got 'com.example'")
    );
    let empty = Event::new("1".into(), "/a".into(), EVENT_TYPE.into()).unwrap();
    assert!(format!("{:?}", output.publish(&empty, Confirmations::<()>::default().offer())).contains("has no data"));
    assert_eq!(setup.link.read().connection, Connection::Connected);
    output.close().await.unwrap();
    assert_eq!(setup.link.read().connection, Connection::Stopped);
}

#[tokio::test(start_paused = true)]
async fn the_cap_refuses_new_series_only() {
    let page = Page::default();
    let setup = setup("metrics", &page);
    let output = open(&Prometheus, r#"{"maxSeries":2,"ttl":"10s"}"#, &setup).unwrap();
    samples(&*output, &format!("{},{}", counter("a_total", 1), counter("b_total", 1))).unwrap();
    let more = format!("{},{},{}", counter("c_total", 1), counter("a_total", 1), counter("c_total", 1));
    assert_eq!(samples(&*output, &more), Ok(()), "the event is done, so that nothing stalls");
    let families = page.render();
    assert!(families.contains("\na_total 2\n") && !families.contains("c_total"), "{families}");
    assert!(page.render_own().contains("\ntidemill_prometheus_refused_samples_total{output=\"metrics\"} 2\n"));
    assert!(setup.link.read().last_error.unwrap().contains("refuses samples"));
    // What expires makes room.
    sleep(Duration::from_secs(12)).await;
    samples(&*output, &counter("c_total", 1)).unwrap();
    assert!(page.render().contains("\nc_total 1\n"));
}

#[tokio::test(start_paused = true)]
async fn series_expire_between_ttl_and_a_tenth_more() {
    let page = Page::default();
    let output = opened(r#"{"ttl":"10s"}"#, &page);
    samples(&*output, &format!("{},{}", counter("a_total", 1), counter("b_total", 1))).unwrap();
    sleep(Duration::from_millis(9_500)).await;
    samples(&*output, &counter("b_total", 1)).unwrap();
    sleep(Duration::from_millis(499)).await;
    assert!(page.render().contains("a_total 1"));
    sleep(Duration::from_millis(1_002)).await;
    let families = page.render();
    assert!(!families.contains("a_total") && families.contains("\nb_total 2\n"), "{families}");
    assert!(page.render_own().contains("\ntidemill_prometheus_expired_series_total{output=\"metrics\"} 1\n"));
    // The name is free again, for another kind too.
    samples(&*output, r#"{"name":"a_total","kind":"gauge","value":5}"#).unwrap();
    assert!(page.render().contains("# TYPE a_total gauge\na_total 5\n"));
}

#[tokio::test(start_paused = true)]
async fn a_ttl_of_zero_keeps_series_for_ever() {
    let page = Page::default();
    let output = opened(r#"{"ttl":"0s"}"#, &page);
    samples(&*output, &counter("a_total", 1)).unwrap();
    advance(Duration::from_secs(30 * 86_400)).await;
    tokio::task::yield_now().await;
    assert!(page.render().contains("a_total 1"));
}

#[tokio::test]
async fn outputs_of_one_page_never_show_a_family_twice() {
    let page = Page::default();
    let first = open(&Prometheus, "{}", &setup("first", &page)).unwrap();
    let second = open(&Prometheus, "{}", &setup("second", &page)).unwrap();
    samples(&*first, &counter("a_total", 1)).unwrap();
    samples(&*second, &counter("b_total", 1)).unwrap();
    samples(&*first, &counter("c_total", 1)).unwrap();
    let reason = samples(&*second, &counter("a_total", 1)).unwrap_err();
    assert_eq!(reason, "'a_total' cannot be shown: output 'first' has 'a_total' already; rename one");
    assert_eq!(page.render().matches("# TYPE").count(), 3);
    let own = page.render_own();
    assert_eq!(own.matches("# TYPE tidemill_prometheus_series ").count(), 1);
    assert!(own.contains("{output=\"first\"} 2\n") && own.contains("{output=\"second\"} 1\n"), "{own}");
    drop(first);
    samples(&*second, &counter("a_total", 1)).unwrap();
    assert!(page.render().contains("\na_total 1\n"));
}

#[test]
fn options_are_checked_all_at_once() {
    assert_eq!(complaints(&Prometheus, r#"{"ttl":"10m","maxSeries":10,"buckets":{"a":[1,2]}}"#), [""; 0]);
    let wrong = r#"{"ttl":"10ms","maxSeries":0,"buckets":{"a-b":[2,1]}}"#;
    let found = complaints(&Prometheus, wrong).join("; ");
    for part in ["ttl is too short", "maxSeries is zero", "'a-b' is no metric name", "do not ascend: [2.0, 1.0]"] {
        assert!(found.contains(part), "{found}");
    }
    assert!(
        serde_json::from_str::<Options>(r#"{"tll":"10m"}"#).unwrap_err().to_string().contains("unknown field `tll`")
    );
}

#[test]
fn push_is_checked_or_refused() {
    let right = complaints(&Prometheus, r#"{"push":{"url":"http://localhost:9091"}}"#);
    if !crate::push::AVAILABLE {
        assert_eq!(right, ["this binary cannot push metrics; it was built without the feature prometheus-push"]);
        return;
    }
    assert_eq!(right, [""; 0]);
    assert_eq!(complaints(&Prometheus, r#"{"push":{"url":"${env:GATEWAY}","interval":"1s","job":"x"}}"#), [""; 0]);
    let wrong = r#"{"push":{"url":"localhost:9091","interval":"1ms","job":"a/b"}}"#;
    let found = complaints(&Prometheus, wrong).join("; ");
    for part in ["no scheme", "interval is too short", "job cannot be part"] {
        assert!(found.contains(part), "{found}");
    }
    assert_eq!(complaints(&Prometheus, r#"{"push":{"url":"${vault:x}"}}"#).len(), 1);
}

#[test]
fn parallel_events_lose_no_increment() {
    const THREADS: u32 = 4;
    const EVENTS: u32 = 2_000;
    let page = Page::default();
    let board = page.shared::<Board>();
    let limits = store::Limits { max_series: 100, buckets: bucket::Buckets::default(), pushed: false };
    let store = Store::new("metrics".into(), limits, board);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                for n in 0..EVENTS {
                    let series = (n + thread) % 7;
                    let data = format!(
                        r#"{{"samples":[{{"name":"x_total","kind":"counter","value":1,"labels":{{"s":"{series}"}}}}]}}"#
                    );
                    assert_eq!(store.apply(&Bundle::read(data.as_bytes()).unwrap()), Ok(0));
                }
            });
        }
    });
    let total: f64 = page::read(&page.render()).values().map(|family| family.lines.values().sum::<f64>()).sum();
    assert_eq!(total, f64::from(THREADS * EVENTS));
}
