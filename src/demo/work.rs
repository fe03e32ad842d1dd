//! `--work`: what a call of the function would cost if it had more to do, so that a chart shows how workers follow load.
//!
//! Decision: the plan is changed, not the example. Every function of the plan is wrapped in one that first waits for as
//! long, holding its worker, as a call to a database would, and then does what it always does.

use std::time::Duration;

use engine::config::{Plan, plan};
use engine::event::Event;
use engine::port::{BoxFuture, Call, Function, StartError, Verdicts, Worker};
use engine::registry::{FunctionPlan, OpenError, Setup};
use tokio::time::sleep;

/// The plan with calls that take `work` longer; the very plan if that is nothing.
pub(super) fn slowed(mut plan: Plan, work: Duration) -> Plan {
    if work.is_zero() {
        return plan;
    }
    let slow =
        |function: plan::Function| plan::Function { plan: Box::new(Slowed { quick: function.plan, work }), ..function };
    plan.functions = plan.functions.into_iter().map(slow).collect();
    plan
}

/// Something quick and how much longer it shall take.
struct Slowed<T> {
    quick: T,
    work: Duration,
}

impl FunctionPlan for Slowed<Box<dyn FunctionPlan>> {
    fn open(&self, setup: Setup) -> Result<Box<dyn Function>, OpenError> {
        let quick = self.quick.open(setup)?;
        Ok(Box::new(Slowed { quick, work: self.work }))
    }
}

impl Function for Slowed<Box<dyn Function>> {
    fn start(&self) -> BoxFuture<'_, Result<Box<dyn Worker>, StartError>> {
        Box::pin(async move {
            let quick = self.quick.start().await?;
            let worker: Box<dyn Worker> = Box::new(Slowed { quick, work: self.work });
            Ok(worker)
        })
    }
}

impl Worker for Slowed<Box<dyn Worker>> {
    fn call<'a>(&'a self, events: &'a [Event], call: &'a Call) -> BoxFuture<'a, Verdicts> {
        Box::pin(async move {
            sleep(self.work).await;
            self.quick.call(events, call).await
        })
    }
}

#[cfg(test)]
mod tests {
    use engine::port::Verdict;
    use tokio::time::Instant;

    use super::*;

    struct Agreeing;

    impl Worker for Agreeing {
        fn call<'a>(&'a self, events: &'a [Event], _: &'a Call) -> BoxFuture<'a, Verdicts> {
            Box::pin(std::future::ready(events.iter().map(|_| Verdict::Drop).collect()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_takes_as_long_as_asked_and_says_what_it_always_says() {
        let quick: Box<dyn Worker> = Box::new(Agreeing);
        let slow = Slowed { quick, work: Duration::from_millis(5) };
        let event = Event::new("1".into(), "/veh-1".into(), "t".into()).unwrap();
        let began = Instant::now();
        let call = Call { rule: "a/b".into(), attempt: 1, deadline: began + Duration::from_secs(1) };
        assert_eq!(slow.call(&[event], &call).await.as_slice(), [Verdict::Drop]);
        assert_eq!(began.elapsed(), Duration::from_millis(5));
    }
}
