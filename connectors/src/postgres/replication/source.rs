//! The source of one slot.
//!
//! What is gathered and what was handed over are kept apart: an error leaves everything where it was handed
//! over, and the connection begins again there.

mod follow;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use pgwire_replication::{Lsn, ReplicationEvent};

use self::follow::Transaction;
use super::ReplicationSettings;
use super::bookmark::Bookmark;
use super::reading::Reading;
use super::relation::Relation;
use super::rows::Gathered;
use super::slot::{self, Tables};
use super::start::{Kept, Start};
use super::stream::Stream;
use crate::assignment::{Assignment, Remember};
use crate::change::Table;
use crate::error::{Error, Result};
use crate::postgres::failure::Failure;
use crate::postgres::session::Session;
use crate::record::{Partition, Positions, Span};
use crate::sink::Identity;
use crate::source::{Event, Limits, Purpose, Source};
use crate::sql::connection;

/// See the module docs.
pub(super) struct ReplicationSource {
    settings: ReplicationSettings,
    purpose: Purpose,
    session: Option<Session>,
    partition: Partition,
    tables: Tables,
    nouns: HashMap<String, Arc<Table>>,
    announced: bool,
    /// Where it stands with what was handed over; `None` before it is known where to begin.
    given: Option<Given>,
    /// Where it stands with what is gathered.
    head: Option<Start>,
    gathered: Gathered,
    since: Option<Instant>,
    reading: Option<Reading>,
    stream: Option<Stream>,
    relations: HashMap<u32, Option<Arc<Relation>>>,
    transaction: Option<Transaction>,
    /// A message that has not been dealt with.
    pending: Option<ReplicationEvent>,
    /// Where `--once` ends.
    until: Option<Lsn>,
    /// Numbers that end a commit, with the places that may be told to the server.
    commits: VecDeque<(i64, Lsn)>,
    acknowledged: Lsn,
    /// Behind which number all tables were read, where somebody has to know.
    read_at: Option<i64>,
    some_unkept: bool,
}

struct Given {
    number: i64,
    from: Option<i64>,
    bookmark: Bookmark,
    ahead: Vec<(i64, Bookmark)>,
}

impl ReplicationSource {
    /// Connects, and looks at the tables.
    pub(super) async fn open(settings: ReplicationSettings, purpose: Purpose) -> Result<Self> {
        let mut session = open_session(&settings).await?;
        let tables = slot::tables(&mut session, &settings.options).await?;
        let partition = Partition {
            topic: settings.slot.as_str().into(),
            number: 0,
        };
        let noun = |full: &String, schema: &str, name: &str| {
            let table = Table {
                topic: partition.topic.clone(),
                database: None,
                schema: Some(schema.into()),
                name: name.into(),
            };
            (full.clone(), Arc::new(table))
        };
        let nouns = tables
            .iter()
            .map(|(full, table)| noun(full, &table.schema, &table.name))
            .collect();
        Ok(Self {
            settings,
            purpose,
            session: Some(session),
            gathered: Gathered::new(partition.clone()),
            partition,
            tables,
            nouns,
            announced: false,
            given: None,
            head: None,
            since: None,
            reading: None,
            stream: None,
            relations: HashMap::new(),
            transaction: None,
            pending: None,
            until: None,
            commits: VecDeque::new(),
            acknowledged: Lsn::ZERO,
            read_at: None,
            some_unkept: false,
        })
    }

    async fn session(&mut self) -> Result<&mut Session> {
        if self.session.is_none() {
            self.session = Some(open_session(&self.settings).await?);
        }
        Ok(self.session.as_mut().expect("it was opened above"))
    }

    /// Forgets what was gathered: it comes again.
    fn begin_again(&mut self) {
        self.gathered = Gathered::new(self.partition.clone());
        self.since = None;
        self.stream = None;
        self.reading = None;
        self.session = None;
        self.transaction = None;
        self.pending = None;
        self.head = self.given.as_ref().map(|given| Start {
            number: given.number,
            from: given.from,
            bookmark: given.bookmark.clone(),
            ahead: given.ahead.clone(),
            remember: Vec::new(),
        });
    }

    /// Says where to begin, and makes what is not there.
    async fn start(&mut self, assignment: &Assignment) -> Result<Start, Failure> {
        let settings = self.settings.clone();
        let kept = Kept::of(assignment, &settings.slot)?;
        self.some_unkept = kept.some_unkept;
        let mut names: Vec<String> = self.tables.keys().cloned().collect();
        if self.purpose == Purpose::Peek {
            let bookmark = Bookmark::start(&settings.slot, Lsn::ZERO, &names);
            return Ok(kept.anew(assignment, bookmark));
        }
        let tables = self.tables.clone();
        let session = self.session().await?;
        let grew = slot::publish(session, &settings, &tables).await?;
        let found = slot::find(session, &settings.slot).await?;
        let was_read = found.is_some() && slot::was_read(session, &settings).await?;
        if kept.begins_anew(was_read) {
            let slot = match found {
                Some(slot) => slot,
                None => slot::create(session, &settings).await?,
            };
            slot::wait_for_open(session).await?;
            self.acknowledged = slot.confirmed;
            let bookmark = Bookmark::start(&settings.slot, slot.confirmed, &names);
            return Ok(kept.anew(assignment, bookmark));
        }
        let Some(slot) = found else {
            let why = "it does not exist";
            return Err(Failure::Error(Error::configuration(slot::lost(
                &settings.slot,
                why,
            ))));
        };
        kept.check(&slot, &settings.slot)?;
        self.acknowledged = slot.confirmed;
        let unkept = kept
            .some_unkept
            .then(|| Bookmark::streaming(&settings.slot, slot.confirmed, &names));
        let start = kept.lowest(assignment, unkept);
        let mut start = start
            .ok_or_else(|| Failure::Error(Error::configuration("no sink says where to begin")))?;
        let is_known = |name: &String| start.bookmark.tables.contains_key(name);
        if !names.iter().all(is_known) && !kept.is_together() {
            tracing::info!(
                "new tables are read at the next start: the sinks stand at different places"
            );
            names.retain(is_known);
        }
        let joined = start.bookmark.join(&names);
        start
            .bookmark
            .tables
            .retain(|table, _| names.contains(table));
        if joined || grew {
            slot::wait_for_open(self.session().await?).await?;
        }
        Ok(start)
    }

    /// Reads rows that were there.
    async fn read(&mut self, limits: &Limits) -> Result<Event, Failure> {
        let Some(head) = &self.head else {
            return Ok(Event::Idle);
        };
        let (number, bookmark) = (head.number, head.bookmark.clone());
        let Some(name) = bookmark.unread().map(str::to_owned) else {
            return Ok(Event::Idle);
        };
        let (Some(followed), Some(table)) = (self.tables.get(&name), self.nouns.get(&name)) else {
            return Err(Failure::Error(Error::configuration(format!(
                "table {name} is not followed any more"
            ))));
        };
        let (followed, table) = (followed.clone(), table.clone());
        let (options, partition) = (self.settings.options.clone(), self.partition.clone());
        let mut reading = match self.reading.take() {
            Some(reading) => reading,
            None => Reading::begin(self.session().await?).await?,
        };
        let before = bookmark.tables[&name].clone();
        let session = self.session().await?;
        let (mut rows, mark) = reading
            .next(
                session,
                (&followed, &table),
                &before,
                (&partition, number),
                (&options, limits),
            )
            .await?;
        let mut bookmark = bookmark;
        bookmark.tables.insert(name, mark);
        // The end of all is kept also where no row comes with it.
        let moved = match bookmark.is_streaming() {
            true => (rows.records.len() as i64).max(1),
            false => rows.records.len() as i64,
        };
        if bookmark.is_streaming() {
            session.execute("COMMIT").await?;
            if self.some_unkept {
                self.read_at = Some(number + moved);
            }
        } else {
            self.reading = Some(reading);
        }
        if let Some(head) = &mut self.head {
            head.number = number + moved;
            head.bookmark = bookmark;
        }
        if moved == 0 {
            return Ok(Event::Idle);
        }
        rows.spans = self.hand_over();
        Ok(Event::Rows(rows))
    }

    /// Moves to what was gathered; the span that says so.
    fn hand_over(&mut self) -> Vec<Span> {
        let (Some(head), Some(given)) = (&self.head, &mut self.given) else {
            return Vec::new();
        };
        let span = Span {
            partition: self.partition.clone(),
            from: given.from,
            next: head.number,
            incarnation: Some(head.bookmark.text()),
        };
        if head.bookmark.is_streaming() {
            self.commits.push_back((head.number, head.bookmark.lsn()));
        }
        *given = Given {
            number: head.number,
            from: Some(head.number),
            bookmark: head.bookmark.clone(),
            ahead: head.ahead.clone(),
        };
        vec![span]
    }
}

#[async_trait]
impl Source for ReplicationSource {
    async fn next(&mut self, limits: &Limits) -> Result<Event> {
        if !self.announced {
            self.announced = true;
            return Ok(Event::Assigned(vec![self.partition.clone()]));
        }
        let Some(head) = self.head.as_ref().filter(|_| limits.rows > 0) else {
            tokio::time::sleep(limits.linger).await;
            return Ok(Event::Idle);
        };
        let result = match head.bookmark.is_streaming() {
            false => self.read(limits).await,
            true if self.purpose == Purpose::Peek => return Ok(Event::End),
            true => self.follow(limits).await,
        };
        result.map_err(|failure| {
            self.begin_again();
            failure.into_error()
        })
    }

    async fn assign(&mut self, assignments: &[Assignment]) -> Result<Vec<Remember>> {
        let Some(assignment) = assignments
            .iter()
            .find(|assignment| assignment.partition == self.partition)
        else {
            return Ok(Vec::new());
        };
        // Whatever was under way begins again.
        self.given = None;
        self.begin_again();
        self.commits.clear();
        let start = match self.start(assignment).await {
            Ok(start) => start,
            Err(failure) => {
                self.session = None;
                return Err(failure.into_error());
            }
        };
        self.given = Some(Given {
            number: start.number,
            from: start.from,
            bookmark: start.bookmark.clone(),
            ahead: start.ahead.clone(),
        });
        let remember = start.remember.clone();
        self.head = Some(start);
        Ok(remember)
    }

    async fn acknowledge(&mut self, positions: &Positions) -> Result<()> {
        let Some(&done) = positions.get(&self.partition) else {
            return Ok(());
        };
        while let Some(&(number, lsn)) = self.commits.front() {
            if number > done {
                break;
            }
            self.acknowledged = self.acknowledged.max(lsn);
            self.commits.pop_front();
        }
        if let Some(stream) = &self.stream {
            stream.acknowledge(self.acknowledged);
        }
        if self.read_at.is_some_and(|number| number <= done) {
            self.read_at = None;
            let settings = self.settings.clone();
            let session = self.session().await?;
            slot::note_read(session, &settings).await?;
        }
        Ok(())
    }

    fn lag(&self) -> Option<u64> {
        None
    }

    async fn close(mut self: Box<Self>) -> Result<()> {
        if let Some(stream) = self.stream.take() {
            stream.close(self.acknowledged).await;
        }
        match self.session.take() {
            Some(session) => session.close().await,
            None => Ok(()),
        }
    }
}

async fn open_session(settings: &ReplicationSettings) -> Result<Session> {
    let reader = Identity {
        pipeline: settings.slot.clone(),
        sink: "source".to_owned(),
        source: "source".to_owned(),
    };
    Session::open(&settings.place, &reader, connection::Purpose::ReadOnly).await
}
