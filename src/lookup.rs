//! What operators look up: tables and queries by name, their caches, and one reader of them a lane.
//!
//! Operators do not wait. Before a batch goes through an operator that looks something up, the chain asks
//! for all of its keys ([`Reader::find`]): one request for those that the cache does not hold, whatever the
//! number of rows. The operator finds the [`Answers`] in its [`Slot`], with the types of the columns, for
//! which it is compiled.
//!
//! - A row is asked for if it has a value in each column of the key. A delete, a truncate, a null and a value
//!   that the change does not bring ask for nothing.
//! - A failure is for the chain: an outage is waited for there, with the batch at hand and nothing lost.
//! - A cache keeps rows and also that there is none. It is shared by all lanes and operators of the pipeline
//!   and begins empty.

mod asked;
mod rows;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::datatypes::Field;
use bytes::Bytes;
use serde_json::{Map, Value as Json};
use syncline_connectors::cache::{Cache, CacheStats, Key, Options};
use syncline_connectors::change::Changes;
use syncline_connectors::error::{Error, Result};
use syncline_connectors::sql::lookup::{KeyColumn, Lookup, LookupConfig, Wanted};

use self::asked::{Asked, asked, kept_as};

/// The lookups of a pipeline with their caches; all lanes share them.
#[derive(Debug, Default)]
pub struct Lookups {
    caches: Vec<(String, Arc<Cache>)>,
    lookups: Vec<(String, Arc<Named>)>,
}

/// One lookup.
#[derive(Debug)]
struct Named {
    name: String,
    place: Place,
    cache: Option<Arc<Cache>>,
    /// What was asked for, each with its number: what one cache keeps of several has different keys.
    wanted: Mutex<Vec<Wanted>>,
    number: u16,
}

#[derive(Debug)]
enum Place {
    Database(LookupConfig),
    /// The rows of a test; `None` where it names none.
    Rows(Option<Vec<Map<String, Json>>>),
}

/// What an operator looks up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The lookup.
    pub lookup: String,
    /// The columns of the rows that come in, each with the column of the table that has the same value.
    pub on: Vec<(String, String)>,
    /// The columns of the table that are wanted.
    pub columns: Vec<String>,
}

/// Where an operator finds what was looked up for it.
#[derive(Debug, Clone, Default)]
pub struct Slot(Arc<Mutex<Found>>);

#[derive(Debug, Default)]
struct Found {
    types: Option<Arc<Types>>,
    answers: Option<Answers>,
}

/// The columns of a lookup, as its database has them.
#[derive(Debug, PartialEq)]
pub struct Types {
    /// Those of the key.
    pub key: Vec<KeyColumn>,
    /// Those that are wanted.
    pub columns: Vec<Field>,
}

/// What was found for the rows of a batch.
#[derive(Debug, Default)]
pub struct Answers {
    on: Vec<String>,
    types: Option<Arc<Types>>,
    /// For each row the place of its answer.
    rows: Vec<Option<usize>>,
    of_key: HashMap<Vec<String>, usize>,
    answers: Vec<Bytes>,
}

/// How one operator of one lane reads a lookup.
pub(crate) struct Reader {
    named: Arc<Named>,
    question: Question,
    wanted: Wanted,
    prefix: [u8; 4],
    lookup: Option<Box<dyn Lookup>>,
    types: Option<Arc<Types>>,
    /// For the operator.
    pub(crate) slot: Slot,
}

impl Lookups {
    /// Those of a file, with caches that are empty.
    pub fn new(caches: &[(String, Options)], lookups: &[(String, LookupConfig)]) -> Self {
        let caches: Vec<(String, Arc<Cache>)> = caches
            .iter()
            .map(|(name, options)| (name.clone(), Arc::new(Cache::new(options.clone()))))
            .collect();
        let named = |(number, (name, config)): (usize, &(String, LookupConfig))| {
            let cache = config.options().cache.as_ref();
            let cache = cache.and_then(|cache| caches.iter().find(|(known, _)| known == cache));
            let named = Named {
                name: name.clone(),
                place: Place::Database(config.clone()),
                cache: cache.map(|(_, cache)| cache.clone()),
                wanted: Mutex::default(),
                number: u16::try_from(number).unwrap_or(u16::MAX),
            };
            (name.clone(), Arc::new(named))
        };
        let lookups = lookups.iter().enumerate().map(named).collect();
        Self { caches, lookups }
    }

    /// The same with rows in the place of databases.
    #[must_use]
    pub(crate) fn with_rows(&self, rows: &HashMap<String, Vec<Map<String, Json>>>) -> Self {
        let named = |(number, (name, _)): (usize, &(String, Arc<Named>))| {
            let named = Named {
                name: name.clone(),
                place: Place::Rows(rows.get(name).cloned()),
                cache: None,
                wanted: Mutex::default(),
                number: u16::try_from(number).unwrap_or(u16::MAX),
            };
            (name.clone(), Arc::new(named))
        };
        Self {
            caches: Vec::new(),
            lookups: self.lookups.iter().enumerate().map(named).collect(),
        }
    }

    /// Empties the caches.
    pub(crate) fn clear(&self) {
        for (_, cache) in &self.caches {
            cache.clear();
        }
    }

    /// The names of the lookups.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.lookups.iter().map(|(name, _)| name.as_str())
    }

    /// What each cache did.
    pub fn stats(&self) -> Vec<(String, CacheStats)> {
        let caches = self.caches.iter();
        caches
            .map(|(name, cache)| (name.clone(), cache.stats()))
            .collect()
    }

    /// A reader for a question; `None` where no lookup has its name, which the check of the file reports.
    pub(crate) fn reader(&self, question: &Question) -> Option<Reader> {
        let mut lookups = self.lookups.iter();
        let (_, named) = lookups.find(|(name, _)| *name == question.lookup)?;
        let wanted = Wanted {
            key: question
                .on
                .iter()
                .map(|(_, column)| column.clone())
                .collect(),
            columns: question.columns.clone(),
        };
        let number = named.number_of(&wanted);
        let [first, second] = named.number.to_le_bytes();
        let [third, fourth] = number.to_le_bytes();
        Some(Reader {
            named: named.clone(),
            question: question.clone(),
            wanted,
            prefix: [first, second, third, fourth],
            lookup: None,
            types: None,
            slot: Slot::default(),
        })
    }
}

impl Named {
    fn number_of(&self, wanted: &Wanted) -> u16 {
        let mut known = lock(&self.wanted);
        let place = known.iter().position(|one| one == wanted);
        let place = place.unwrap_or_else(|| {
            known.push(wanted.clone());
            known.len() - 1
        });
        u16::try_from(place).unwrap_or(u16::MAX)
    }

    async fn open(&self, wanted: &Wanted) -> Result<Box<dyn Lookup>> {
        match &self.place {
            Place::Database(config) => config.open(wanted).await,
            Place::Rows(Some(rows)) => Ok(Box::new(rows::RowsLookup::new(rows, wanted))),
            Place::Rows(None) => Err(Error::configuration(format!(
                "the test says no rows of it: write lookups.{} = [{{ … }}], or [] for none",
                self.name
            ))),
        }
    }
}

impl Slot {
    /// The types of the columns; `None` before the lookup was asked for the first time.
    pub fn types(&self) -> Option<Arc<Types>> {
        lock(&self.0).types.clone()
    }

    /// What was found for the batch at hand.
    pub fn take(&self) -> Answers {
        lock(&self.0).answers.take().unwrap_or_default()
    }

    pub(crate) fn put(&self, types: Arc<Types>, answers: Answers) {
        let mut found = lock(&self.0);
        found.types = Some(types);
        found.answers = Some(answers);
    }
}

impl Answers {
    /// For each row what was found; `None` for a row that asks for nothing. `changes` are those of the
    /// question, or some of them.
    pub fn of(&self, changes: &Changes) -> Vec<Option<&[u8]>> {
        let answer = |place: usize| self.answers.get(place).map(|answer| &answer[..]);
        if changes.len() == self.rows.len() {
            let rows = self.rows.iter();
            return rows.map(|place| answer((*place)?)).collect();
        }
        let Some(types) = &self.types else {
            return vec![None; changes.len()];
        };
        let asked = asked(changes, &self.on, types).unwrap_or_default();
        let of_row = |key: Option<Asked>| match key? {
            Asked::Nowhere => Some(&[][..]),
            Asked::For(key) => answer(*self.of_key.get(&key)?),
        };
        asked.into_iter().map(of_row).collect()
    }
}

impl Reader {
    /// The lookup's name.
    pub(crate) fn name(&self) -> &str {
        &self.named.name
    }

    /// Looks up what the rows of a batch ask for, and puts it into the slot.
    ///
    /// # Errors
    /// `Unavailable` while the database does not answer, `Configuration` where it refuses the question.
    pub(crate) async fn find(&mut self, changes: &Changes) -> Result<()> {
        let types = self.types().await?;
        let on: Vec<String> = self
            .question
            .on
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        let mut found = Answers {
            types: Some(types.clone()),
            rows: Vec::with_capacity(changes.len()),
            ..Answers::default()
        };
        let mut keys: Vec<Vec<String>> = Vec::new();
        // Of rows that ask for what is nowhere.
        let mut nowhere = false;
        for asked in asked(changes, &on, &types)? {
            found.rows.push(match asked {
                None => None,
                Some(Asked::Nowhere) => {
                    nowhere = true;
                    Some(usize::MAX)
                }
                Some(Asked::For(key)) => Some(match found.of_key.entry(key) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(new) => {
                        keys.push(new.key().clone());
                        *new.insert(keys.len() - 1)
                    }
                }),
            });
        }
        found.on = on;
        found.answers = self.answers(&keys).await?;
        if nowhere {
            found.answers.push(Bytes::new());
            let last = found.answers.len() - 1;
            for place in found.rows.iter_mut().flatten() {
                *place = (*place).min(last);
            }
        }
        self.slot.put(types, found);
        Ok(())
    }

    async fn types(&mut self) -> Result<Arc<Types>> {
        if let Some(types) = &self.types {
            return Ok(types.clone());
        }
        let lookup = self.named.open(&self.wanted).await?;
        let types = Arc::new(Types {
            key: lookup.key().to_vec(),
            columns: lookup.columns().to_vec(),
        });
        self.lookup = Some(lookup);
        self.types = Some(types.clone());
        Ok(types)
    }

    async fn answers(&mut self, keys: &[Vec<String>]) -> Result<Vec<Bytes>> {
        let lookup = self.lookup.as_mut().expect("its types are known");
        let Some(cache) = &self.named.cache else {
            return match keys.is_empty() {
                true => Ok(Vec::new()),
                false => lookup.find(keys).await,
            };
        };
        let kept: Vec<Key> = keys.iter().map(|key| kept_as(self.prefix, key)).collect();
        let ask = |places: Vec<usize>| async move {
            let missing: Vec<Vec<String>> = places
                .into_iter()
                .map(|place| keys[place].clone())
                .collect();
            lookup.find(&missing).await
        };
        cache.load(&kept, ask).await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is complete before the lock is given back.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
