//! The prometheus output before real judges: Debian's promtool and Pushgateway.

use std::sync::Arc;

use engine::config::Check;
use engine::event::Event;
use engine::metric::sample::EVENT_TYPE;
use engine::metric::{Link, Page};
use engine::port::{Confirm, Confirmations, Output, SystemClock};
use engine::registry::{OutputKind, Setup};
use testkit::prometheus::{Pushgateway, check_metrics};

/// An output as a configuration file would open it, whose figures stand on `page`.
fn open(options: &str, page: &Page) -> Box<dyn Output> {
    let mut check = Check::default();
    let plan = bindings::prometheus::Prometheus.check(serde_json::from_str(options).unwrap(), &mut check);
    let setup = Setup {
        name: "metrics".into(),
        instance: "depot/1".into(),
        seats: 0,
        state: None,
        clock: Arc::new(SystemClock),
        link: Link::default(),
        page: page.clone(),
    };
    plan.unwrap_or_else(|| panic!("{:?}", check.finish())).open(setup).unwrap()
}

fn publish(output: &dyn Output, samples: &serde_json::Value) {
    let data = serde_json::to_vec(&serde_json::json!({ "samples": samples })).unwrap();
    let event = Event::new("1".into(), "/test".into(), EVENT_TYPE.into()).unwrap().with_data(data.into(), None);
    let confirm = output.publish(&event, Confirmations::<()>::default().offer());
    assert!(matches!(confirm, Confirm::Now(Ok(()))), "{confirm:?}");
}

/// One vehicle's samples of every kind, with label values that need escapes.
fn vehicle(number: u32) -> serde_json::Value {
    let fleet = format!("fleet \"{}\"\\\n", number % 10);
    serde_json::json!([
        {"name": "fleet_vehicles_online", "kind": "gauge", "value": number, "help": "Vehicles \\ online\nnow.",
         "labels": {"fleet": fleet}},
        {"name": "fleet_distance_meters_total", "kind": "counter", "value": 12.25, "unit": "meters",
         "help": "Distance driven.", "labels": {"fleet": fleet, "model": "van"}},
        {"name": "fleet_speed_meters_per_second", "kind": "histogram", "value": number % 40, "unit": "meters_per_second",
         "help": "Speed.", "labels": {"fleet": fleet}},
        {"name": "fleet_event_delay_seconds", "kind": "histogram", "value": f64::from(number) / 100.0},
    ])
}

#[tokio::test]
async fn promtool_finds_no_fault_with_a_thousand_vehicles() {
    let page = Page::default();
    let output = open("{}", &page);
    (0..1_000).for_each(|number| publish(&*output, &vehicle(number)));
    let exposition = page.render_own() + &page.render();
    assert_eq!(check_metrics(&exposition).await, Ok(()), "{exposition}");
    let total: f64 = exposition
        .lines()
        .filter(|line| line.starts_with("fleet_distance_meters_total{"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    assert_eq!(total, 12_250.0);
}

#[tokio::test]
async fn a_pushgateway_shows_series_until_they_expire_or_the_engine_stops() {
    let gateway = Pushgateway::start().await;
    let options = |ttl: &str| {
        let push = serde_json::json!({"url": gateway.url(), "interval": "100ms", "job": "fleet"});
        serde_json::json!({"ttl": ttl, "push": push}).to_string()
    };
    let output = open(&options("10s"), &Page::default());
    publish(&*output, &vehicle(7));
    let shown = gateway.shows("the vehicle's series", |text| text.contains("fleet_distance_meters_total{")).await;
    assert_eq!(check_metrics(&shown).await, Ok(()), "{shown}");
    let line = shown.lines().find(|line| line.starts_with("fleet_distance_meters_total{")).unwrap();
    assert!(line.contains(r#"instance="depot/1",job="fleet""#) && line.ends_with(" 12.25"), "{line}");

    gateway.shows("no series after their ttl", |text| !text.contains("fleet_")).await;
    output.close().await.unwrap();

    let output = open(&options("10m"), &Page::default());
    publish(&*output, &vehicle(7));
    gateway.shows("the series again", |text| text.contains("fleet_distance_meters_total{")).await;
    output.close().await.unwrap();
    let left = gateway.metrics().await;
    assert!(!left.contains("depot/1"), "a clean stop deletes the group: {left}");
}
