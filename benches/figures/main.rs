//! The project's figures.

mod tax;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let events = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let took = tax::run(events);
    println!("{events} events in {took:?}: {:.3} us each", took.as_secs_f64() * 1e6 / events as f64);
}
