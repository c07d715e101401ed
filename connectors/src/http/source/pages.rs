//! The records of pages: asked for, compared with what was there, and handed over.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use reqwest::Method;
use serde_json::Value;

use super::{AnswerBody, HttpSource};
use crate::assignment::{Assignment, Remember, Standing};
use crate::error::{Error, Result};
use crate::http::bookmark::Bookmark;
use crate::http::client::{Client, Refusal, Request, shown};
use crate::http::paging::{Page, Seen, at};
use crate::record::{Held, Partition, Positions, Records, Span};
use crate::source::{Event, Fetched, Limits, Purpose, Source};
use crate::stable_hash::hash;

/// How long to wait after an answer that says nothing of it: twice as long each time.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What was handed over.
struct Given {
    number: i64,
    from: Option<i64>,
    bookmark: Bookmark,
}

/// The records of pages.
pub(super) struct Pages {
    config: HttpSource,
    client: Client,
    interval: Option<Duration>,
    purpose: Purpose,
    partition: Partition,
    announced: bool,
    given: Option<Given>,
    /// When the next round begins; `None`: none does.
    due: Option<Instant>,
    /// Records of the page that was read and not handed over yet.
    records: VecDeque<Vec<u8>>,
    /// Where it stands behind them.
    after: Option<Bookmark>,
    /// The fingerprint of the last page, and which it was.
    last_page: Option<(Option<Page>, u64)>,
    not_before: Option<Instant>,
    failures: u32,
}

impl Pages {
    /// Before the first page.
    ///
    /// # Errors
    /// `Configuration` where the settings do not fit.
    pub(super) fn open(
        config: &HttpSource,
        purpose: Purpose,
        partition: Partition,
    ) -> Result<Self> {
        Ok(Self {
            client: Client::new(&config.access)?,
            interval: config.interval()?,
            config: config.clone(),
            purpose,
            partition,
            announced: false,
            given: None,
            due: None,
            records: VecDeque::new(),
            after: None,
            last_page: None,
            not_before: None,
            failures: 0,
        })
    }

    /// Asks for the next page.
    async fn read(&mut self) -> Result<()> {
        let Some(given) = &self.given else {
            return Ok(());
        };
        let mut bookmark = given.bookmark.clone();
        if bookmark.ended_ms.take().is_some() {
            self.last_page = None;
        }
        let page = bookmark.page.clone();
        let base = self.config.base(bookmark.since.as_deref())?;
        let url = match &self.config.paging {
            Some(paging) => paging.url(&base, page.as_ref())?,
            None => base,
        };
        let request = Request {
            method: Method::GET,
            url: url.clone(),
            headers: Vec::new(),
            body: None,
        };
        let place = shown(url.as_str()).to_owned();
        let answer = match self.client.send(&request).await {
            Ok(answer) => answer,
            Err(Refusal::Stop(error)) => return Err(error),
            Err(Refusal::Data(status)) => {
                return Err(Error::configuration(format!(
                    "GET {place}: {status}: correct url, paging or incremental"
                )));
            }
            Err(Refusal::Later(error, wait)) => {
                let pause = PAUSE
                    .saturating_mul(1 << self.failures.min(6))
                    .min(PAUSE_MAX);
                self.failures += 1;
                self.not_before = Some(Instant::now() + wait.unwrap_or(pause));
                return Err(error);
            }
        };
        self.failures = 0;
        let (body, records) = self.records_of(&answer.body, &place)?;
        let seen = Seen {
            url: &url,
            headers: &answer.headers,
            body: &body,
            count: records.len() as u64,
        };
        let paging = self.config.paging.as_ref();
        let next = paging.and_then(|paging| paging.next(page.as_ref(), &seen));
        if next.is_some() && next == page {
            return Err(stuck(&place, "names itself as the next page"));
        }
        self.refuse_repeated(page.as_ref(), &records, &place)?;
        for record in records {
            let text = serde_json::to_vec(&record).expect("it was JSON");
            let by = self.config.incremental.as_ref();
            let value = by.map(|by| at(&record, &by.field));
            let repeats = match value {
                Some(Value::String(value)) => bookmark.note(value, hash(&text)),
                Some(Value::Number(value)) => bookmark.note(&value.to_string(), hash(&text)),
                // It is handed over, and moves no cursor.
                _ => false,
            };
            if !repeats {
                self.records.push_back(text);
            }
        }
        match next {
            Some(next) => bookmark.page = Some(next),
            None => bookmark.end(chrono::Utc::now().timestamp_millis()),
        }
        self.after = Some(bookmark);
        Ok(())
    }

    /// The records of an answer, and the answer.
    fn records_of(&self, bytes: &[u8], place: &str) -> Result<(Value, Vec<Value>)> {
        let unreadable = |cause: serde_json::Error| {
            Error::configuration(format!(
                "GET {place}: the answer is no JSON (line {}, column {}): correct url or body",
                cause.line(),
                cause.column()
            ))
        };
        if self.config.body == AnswerBody::Lines {
            let lines = bytes.split(|&byte| byte == b'\n');
            let lines = lines.filter(|line| !line.trim_ascii().is_empty());
            let records = lines.map(serde_json::from_slice).collect::<Result<_, _>>();
            return Ok((Value::Null, records.map_err(unreadable)?));
        }
        if bytes.trim_ascii().is_empty() {
            return Ok((Value::Null, Vec::new()));
        }
        let body: Value = serde_json::from_slice(bytes).map_err(unreadable)?;
        let path = self.config.records.as_deref().unwrap_or_default();
        let records = match at(&body, path) {
            Value::Array(items) => items.clone(),
            Value::Object(members) => vec![Value::Object(members.clone())],
            Value::Null if !path.is_empty() && body.is_object() => {
                // A page without records may leave the list out; a wrong path always does.
                if self.last_page.is_none()
                    && self.given.as_ref().is_none_or(|given| given.number == 0)
                {
                    return Err(Error::configuration(format!(
                        "GET {place}: the answer has nothing at records = {path:?}: correct it"
                    )));
                }
                Vec::new()
            }
            Value::Null => Vec::new(),
            _ => {
                return Err(Error::configuration(format!(
                    "GET {place}: there is no list of records at records = {path:?}: correct it"
                )));
            }
        };
        Ok((body, records))
    }

    /// Refuses a page that is the one before under another name.
    fn refuse_repeated(
        &mut self,
        page: Option<&Page>,
        records: &[Value],
        place: &str,
    ) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let text = serde_json::to_vec(records).expect("it was JSON");
        let this = (page.cloned(), hash(&text));
        let last = self.last_page.replace(this.clone());
        match last {
            Some((before, same)) if same == this.1 && before != this.0 => {
                Err(stuck(place, "is the same as the one before"))
            }
            _ => Ok(()),
        }
    }

    /// Hands over what was read, as much as fits.
    fn hand_over(&mut self, limits: &Limits) -> Event {
        let Some(given) = &mut self.given else {
            return Event::Idle;
        };
        let mut records = Records::default();
        while records.len() < limits.rows && records.bytes.len() < limits.bytes.max(1) {
            let Some(record) = self.records.pop_front() else {
                break;
            };
            let number = records.add_partition(&self.partition, true);
            let offset = given.number + records.len() as i64;
            records.push(number, offset, None, None, Some(&record), None);
        }
        let count = records.len() as i64;
        let mut moved = count;
        if self.records.is_empty()
            && let Some(after) = self.after.take()
        {
            // The end of a round is kept also where no record comes with it.
            let ended = after.ended_ms.is_some();
            given.bookmark = after;
            moved = moved.max(1);
            if ended {
                let again = self.interval.filter(|_| self.purpose == Purpose::Follow);
                self.due = again.map(|interval| Instant::now() + interval);
            }
        }
        let next = given.number + moved;
        let span = Span {
            partition: self.partition.clone(),
            from: given.from,
            next,
            incarnation: Some(given.bookmark.text()),
        };
        given.number = next;
        given.from = Some(next);
        Event::Records(Fetched {
            records,
            spans: vec![span],
        })
    }
}

fn stuck(place: &str, what: &str) -> Error {
    Error::configuration(format!(
        "GET {place}: the page {what}, so reading would never end: the API does not know the parameters of paging; correct them"
    ))
}

#[async_trait]
impl Source for Pages {
    async fn next(&mut self, limits: &Limits) -> Result<Event> {
        if !self.announced {
            self.announced = true;
            return Ok(Event::Assigned(vec![self.partition.clone()]));
        }
        let now = Instant::now();
        if limits.rows == 0 || self.given.is_none() || self.not_before.is_some_and(|at| at > now) {
            tokio::time::sleep(limits.linger).await;
            return Ok(Event::Idle);
        }
        self.not_before = None;
        if self.after.is_none() {
            let given = self.given.as_ref();
            let waits = given.is_some_and(|given| given.bookmark.ended_ms.is_some());
            if waits && self.due.is_none_or(|due| due > now) {
                if self.due.is_none() && self.purpose != Purpose::Follow {
                    return Ok(Event::End);
                }
                tokio::time::sleep(limits.linger).await;
                return Ok(Event::Idle);
            }
            self.read().await?;
        }
        Ok(self.hand_over(limits))
    }

    async fn assign(&mut self, assignments: &[Assignment]) -> Result<Vec<Remember>> {
        let mut assignments = assignments.iter();
        let Some(assignment) = assignments.find(|one| one.partition == self.partition) else {
            return Ok(Vec::new());
        };
        let mut held: Vec<&Held> = Vec::new();
        for standing in &assignment.sinks {
            if let Standing::Held(position) = standing {
                Bookmark::parse(position.incarnation.as_ref(), &self.partition)?;
                held.push(position);
            }
        }
        let lowest = held.iter().min_by_key(|held| held.next);
        let (number, bookmark) = match lowest {
            Some(lowest) if held.len() == assignment.sinks.len() => (
                lowest.next,
                Bookmark::parse(lowest.incarnation.as_ref(), &self.partition)?,
            ),
            _ => (0, Bookmark::default()),
        };
        self.due = match bookmark.ended_ms {
            None => Some(Instant::now()),
            Some(ended_ms) => self.interval.map(|interval| {
                let since = chrono::Utc::now().timestamp_millis() - ended_ms;
                let since = Duration::from_millis(u64::try_from(since).unwrap_or(0));
                Instant::now() + interval.saturating_sub(since)
            }),
        };
        // With an end in sight a round that is not due is left for the next run.
        if self.purpose != Purpose::Follow && self.due.is_some_and(|due| due > Instant::now()) {
            self.due = None;
        }
        self.records.clear();
        self.after = None;
        self.last_page = None;
        let text = bookmark.text();
        let is_held = !held.is_empty();
        self.given = Some(Given {
            number,
            from: is_held.then_some(number),
            bookmark,
        });
        Ok(assignment.set_back(number, &text))
    }

    async fn acknowledge(&mut self, _positions: &Positions) -> Result<()> {
        Ok(())
    }

    fn lag(&self) -> Option<u64> {
        None
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
