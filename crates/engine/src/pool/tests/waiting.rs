//! Whose job is next.

use std::collections::{HashMap, VecDeque};

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::waiting::Waiting;
use super::*;
use crate::dispatch::Weight;

/// The rules of these weights; their jobs are called after their places.
fn clients(weights: &[u16]) -> Vec<Client> {
    weights.iter().map(|weight| Client::weighing(SECOND, Weight::new(*weight).unwrap())).collect()
}

fn push(waiting: &mut Waiting, clients: &mut [Client], rule: usize, count: usize) {
    waiting.push(&mut clients[rule].jobs(vec![rule.to_string(); count]));
}

/// The rules of the next jobs.
fn take(waiting: &mut Waiting, count: usize) -> String {
    let mut taken = VecDeque::new();
    waiting.take(count, &mut taken);
    taken.iter().map(|job| job.event.id().as_str()).collect()
}

#[test]
fn a_rule_with_a_flood_lets_the_others_through() {
    let (mut waiting, mut clients) = (Waiting::default(), clients(&[1, 1, 1]));
    push(&mut waiting, &mut clients, 0, 1000);
    assert_eq!(take(&mut waiting, 3), "000", "it has everything while it is alone");
    push(&mut waiting, &mut clients, 1, 1);
    push(&mut waiting, &mut clients, 2, 3);
    assert_eq!(take(&mut waiting, 8), "01202020");
    assert_eq!(take(&mut waiting, 993).len(), 993);
    assert_eq!(waiting.len(), 0);
}

#[test]
fn a_rule_has_its_weight() {
    let (mut waiting, mut clients) = (Waiting::default(), clients(&[1, 3]));
    push(&mut waiting, &mut clients, 0, 100);
    push(&mut waiting, &mut clients, 1, 100);
    let taken = take(&mut waiting, 40);
    assert_eq!((taken.matches('0').count(), taken.matches('1').count()), (10, 30), "{taken}");
}

#[test]
fn nobody_saves_up_and_nobody_is_made_to_pay_for_having_been_alone() {
    let (mut waiting, mut clients) = (Waiting::default(), clients(&[1, 1]));
    push(&mut waiting, &mut clients, 0, 500);
    take(&mut waiting, 400);
    push(&mut waiting, &mut clients, 1, 500);
    let taken = take(&mut waiting, 100);
    assert_eq!(taken.matches('0').count(), 50, "{taken}");
}

#[test]
fn of_those_that_have_had_the_same_the_one_that_waits_longest_is_next() {
    let (mut waiting, mut clients) = (Waiting::default(), clients(&[1, 1]));
    for (rule, since) in [(0, 7), (1, 5)] {
        let mut jobs = clients[rule].jobs([rule.to_string()]);
        jobs[0].since = since;
        waiting.push(&mut jobs);
    }
    assert_eq!(take(&mut waiting, 2), "10");
}

#[test]
fn what_is_put_back_has_cost_nothing() {
    let (mut waiting, mut clients) = (Waiting::default(), clients(&[1, 1]));
    push(&mut waiting, &mut clients, 0, 10);
    push(&mut waiting, &mut clients, 1, 10);
    let mut taken = VecDeque::new();
    waiting.take(4, &mut taken);
    while let Some(job) = taken.pop_back() {
        waiting.put_back(job);
    }
    let again = take(&mut waiting, 20);
    assert_eq!((again.len(), again[..10].matches('0').count()), (20, 5), "{again}");
}

/// What may happen to it.
#[derive(Clone, Debug)]
enum Step {
    Push(usize, usize),
    Take(usize, usize),
    TakeOut(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..4_usize, 1..20_usize).prop_map(|(rule, count)| Step::Push(rule, count)),
        4 => (1..30_usize, 0..5_usize).prop_map(|(count, back)| Step::Take(count, back)),
        1 => (0..4_usize).prop_map(Step::TakeOut),
    ];
    vec(step, 1..60)
}

proptest! {
    /// Beside a list for each rule: nothing is lost, and each rule's jobs keep their order.
    #[test]
    fn every_job_is_taken_once_and_in_its_rules_order(weights in vec(1..9_u16, 4), steps in steps()) {
        let (mut waiting, mut clients) = (Waiting::default(), clients(&weights));
        let mut lists: Vec<VecDeque<u64>> = vec![VecDeque::new(); 4];
        let mut numbers = HashMap::<usize, u64>::new();
        for step in steps {
            match step {
                Step::Push(rule, count) => {
                    let number = numbers.entry(rule).or_default();
                    let names: Vec<String> = (0..count).map(|_| { *number += 1; format!("{rule}/{number}") }).collect();
                    lists[rule].extend(*number - count as u64 + 1..=*number);
                    waiting.push(&mut clients[rule].jobs(names));
                }
                Step::Take(count, back) => {
                    let mut taken = VecDeque::new();
                    let count = count.min(waiting.len());
                    waiting.take(count, &mut taken);
                    prop_assert_eq!(taken.len(), count);
                    for _ in 0..back.min(count) {
                        waiting.put_back(taken.pop_back().unwrap());
                    }
                    for job in taken {
                        let (rule, number) = job.event.id().split_once('/').unwrap();
                        let next = lists[rule.parse::<usize>().unwrap()].pop_front();
                        prop_assert_eq!(next, number.parse().ok());
                    }
                }
                Step::TakeOut(rule) => {
                    let caller = Arc::clone(&clients[rule].caller);
                    let taken = waiting.take_out(|job| Arc::ptr_eq(&job.caller, &caller));
                    prop_assert_eq!(taken.len(), lists[rule].len());
                    lists[rule].clear();
                }
            }
            prop_assert_eq!(waiting.len(), lists.iter().map(VecDeque::len).sum::<usize>());
        }
    }

    /// The bound of fair queueing by start time: while the jobs of two rules wait, what they have had differs by no more than
    /// one call of each.
    #[test]
    fn two_rules_that_wait_differ_by_one_call_each(
        weights in vec(1..9_u16, 3),
        before in vec((0..3_usize, 1..40_usize), 0..6),
        batches in vec(1..20_usize, 1..30),
    ) {
        let (mut waiting, mut clients) = (Waiting::default(), clients(&weights));
        for (rule, count) in before {
            push(&mut waiting, &mut clients, rule, count);
            let count = waiting.len().min(count);
            take(&mut waiting, count);
        }
        let left = waiting.len();
        take(&mut waiting, left);
        (0..3).for_each(|rule| push(&mut waiting, &mut clients, rule, 1000));
        let mut had = [0_u32; 3];
        for batch in batches {
            for name in take(&mut waiting, batch).chars() {
                had[name.to_digit(10).unwrap() as usize] += 1;
            }
            for (one, other) in [(0, 1), (1, 2), (0, 2)] {
                let share = |rule: usize| f64::from(had[rule]) / f64::from(weights[rule]);
                let most = 1.0 / f64::from(weights[one]) + 1.0 / f64::from(weights[other]);
                prop_assert!((share(one) - share(other)).abs() <= most + 1e-6, "{had:?} of {weights:?}");
            }
        }
    }
}
