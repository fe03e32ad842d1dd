//! Reloads at random moments of a random traffic, from a seed that is printed.

use std::collections::HashMap;

use fastrand::Rng;

use super::*;

/// Events of one case.
const EVENTS: usize = 300;

/// A function of every version that takes a while, and fails now and then.
fn sometimes(seed: u64) -> impl Fn(u32) -> Arc<dyn Function> + 'static {
    let chance = Arc::new(Mutex::new(Rng::with_seed(seed)));
    move |version: u32| -> Arc<dyn Function> {
        let chance = Arc::clone(&chance);
        Arc::new(Calls(move |event: Event, call: Call| -> BoxFuture<'static, Verdicts> {
            let (pause, fails) = {
                let mut chance = chance.lock();
                (Duration::from_millis(chance.u64(0..8)), call.attempt < 3 && chance.u8(0..10) == 0)
            };
            Box::pin(async move {
                tokio::time::sleep(pause).await;
                if fails { crate::fake::again() } else { by(version, &event) }
            })
        }))
    }
}

fn another(chance: &mut Rng, before: &Variant) -> Variant {
    let mut next = before.clone();
    match chance.u8(0..6) {
        0 => next.function += 1,
        1 => next.workers = chance.usize(1..5),
        2 => *next.outputs.entry("a").or_default() += 1,
        3 => next.retry.max_delay = Duration::from_millis(chance.u64(1..500)),
        4 if next.rules.contains_key("q") => drop(next.rules.remove("q")),
        4 => drop(next.rules.insert("q", (vec!["b"], None))),
        _ => next.rules.get_mut("r").unwrap().0 = if chance.bool() { vec!["a"] } else { vec!["b"] },
    }
    next
}

async fn case(seed: u64, spool: Option<crate::spool::Policy>) {
    println!("seed {seed}");
    let mut chance = Rng::with_seed(seed);
    let mut mill = Mill::new(sometimes(seed));
    mill.parts.spool = spool;
    let pipe = mill.pipe("s");
    let mut variant = Variant { outputs: BTreeMap::from([("a", 1), ("b", 1)]), ..Variant::default() };
    variant.retry = Policy { max_attempts: 50, delay: Duration::from_millis(5), ..Policy::default() };
    let engine = mill.start(&variant).await;
    let (mut reloads, key) = (0, crate::event::Name::new("partitionkey").unwrap());
    for number in 0..EVENTS {
        let keyed = event(&number.to_string()).with_extension(key.clone(), Text::from(format!("k{}", number % 5)));
        pipe.messages.send(Message::Event(keyed)).await.unwrap();
        tokio::time::sleep(Duration::from_micros(chance.u64(0..2000))).await;
        if chance.u8(0..8) == 0 {
            variant = another(&mut chance, &variant);
            let plan = mill.plan(&variant);
            match engine.reload(plan).await {
                Ok(_) => reloads += 1,
                // The rule that is to come back has not ended.
                Err(error) => {
                    assert!(error.to_string().contains("has not ended yet"), "{error}");
                    variant.rules.remove("q");
                }
            }
            check(&engine.status());
        }
    }
    while engine.status().rules["t/r"].done < EVENTS as u64 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    nothing_leaves(&engine).await;
    let status = engine.status();
    check(&status);
    assert!(reloads > 5, "{reloads}");
    assert_eq!(status.sources["s"].handed_back, 0);
    assert_eq!(engine.drain_until(std::future::pending()).await, Drained::default());
    assert_eq!(*pipe.runs.borrow(), 1, "the source has gone on");
    assert_eq!(pipe.told().len(), EVENTS, "each is answered once");
    // Every event is published once by rule `r`, to whichever output it had, and by `q` to `b` at most.
    let mut published: HashMap<String, usize> = HashMap::new();
    for (id, _) in mill.published() {
        *published.entry(id.split('@').next().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(published.len(), EVENTS);
    assert!(published.values().all(|count| (1..=2).contains(count)), "{published:?}");
    // Rule `r` keeps the order of each key over all reloads: `q` is gone from what is looked at where it was never there.
    if status.rules.len() == 1 && published.values().all(|count| *count == 1) {
        let mut last: HashMap<usize, usize> = HashMap::new();
        for (id, _) in mill.published.lock().iter() {
            let number: usize = id.split('@').next().unwrap().parse().unwrap();
            let before = last.insert(number % 5, number);
            assert!(before.is_none_or(|before| before < number), "{number} after {before:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn reloads_in_the_middle_of_traffic_lose_and_repeat_nothing() {
    let seed = std::env::var("TIDEMILL_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in seed.map_or_else(|| (0..12).map(|_| fastrand::u64(..)).collect(), |seed| vec![seed]) {
        case(seed, None).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_behind_a_spool() {
    for seed in 1..4 {
        case(seed, Some(crate::spool::Policy::default())).await;
    }
}
