use super::*;

fn stalled(cause: &str) -> State {
    State::Stalled {
        cause: cause.into(),
    }
}

#[test]
fn stalled_while_any_part_is() {
    let status = Status::new("p");
    assert_eq!(status.state(), State::Starting);
    status.stall("sinks.a", "connection refused");
    status.stall("sources.b", "no broker");
    status.resume("sinks.a");
    assert_eq!(status.state(), stalled("sources.b: no broker"));
    status.resume("sources.b");
    status.enter(Phase::Started);
    assert_eq!(status.state(), State::Running);
}

#[tokio::test(start_paused = true)]
async fn a_part_that_gets_no_further_is_stalled_whatever_it_believes() {
    let status = Status::new("p");
    status.enter(Phase::Started);
    status.caught_up("source a");
    assert_eq!(status.state(), State::Idle);
    // To ask a source again is no work.
    status.waits("source a", "the source hands over nothing");
    assert_eq!(status.state(), State::Idle);
    status.moved("source a");
    assert_eq!(status.state(), State::Running, "it handed over something");
    status.caught_up("source a");
    status.waits("sink b", "no answer to a write");
    assert_eq!(status.state(), State::Running);
    tokio::time::advance(NO_PROGRESS - Duration::from_secs(1)).await;
    // To say it again does not begin a new wait.
    status.waits("sink b", "no answer to a write");
    assert_eq!(status.state(), State::Running);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(
        status.state(),
        stalled("sink b: no answer to a write for 15 s")
    );
    assert_eq!(status.freshness(), Some(NO_PROGRESS));
    status.moved("sink b");
    assert_eq!(status.state(), State::Idle);
    status.enter(Phase::Failed("full disk".into()));
    let cause = "full disk".into();
    assert_eq!(status.state(), State::Failed { cause });
    status.enter(Phase::Starting);
    assert_eq!(status.state(), State::Starting);
}

#[tokio::test(start_paused = true)]
async fn the_targets_get_older_over_a_failure_and_a_new_start() {
    let status = Status::new("p");
    let second = Duration::from_secs(1);
    status.enter(Phase::Started);
    status.waits("source a", "the source hands over nothing");
    assert_eq!(status.freshness(), None, "never known");
    status.fresh("source a", Instant::now());
    status.caught_up("source b");
    tokio::time::advance(second).await;
    status.caught_up("source b");
    assert_eq!(status.freshness(), Some(second), "the oldest counts");
    status.enter(Phase::Failed("full disk".into()));
    tokio::time::advance(second).await;
    status.enter(Phase::Starting);
    status.enter(Phase::Started);
    status.caught_up("source b");
    status.waits("source a", "the source hands over nothing");
    assert_eq!(
        status.freshness(),
        Some(2 * second),
        "one does not know yet"
    );
    assert_eq!(status.failures(), 1);
    assert_eq!(
        status.last_error().expect("there is one").message,
        "full disk"
    );
    status.caught_up("source a");
    assert_eq!(status.freshness(), Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_has_never_caught_up_keeps_the_pipeline_from_idle() {
    let status = Status::new("p");
    status.enter(Phase::Started);
    status.caught_up("source a");
    // It handed over its first rows, and nobody waits for anything at this moment.
    status.moved("source b");
    assert_eq!(status.state(), State::Running);
    status.caught_up("source b");
    assert_eq!(status.state(), State::Idle);
}
