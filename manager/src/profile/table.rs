//! A table of TOML whose keys are taken one by one, so that what nobody took is an error with its place.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ProfileError;
use crate::words::{did_you_mean, duration};

/// A table in a table of tables: its name, where that is, and its keys.
pub(super) type Entry<'a> = (&'a str, Range<usize>, Table<'a>);

/// A table being read.
pub(super) struct Table<'a> {
    text: &'a str,
    what: String,
    span: Range<usize>,
    table: &'a DeTable<'a>,
    taken: Vec<&'static str>,
}

impl<'a> Table<'a> {
    /// A table that `what` names in errors.
    pub(super) fn new(
        text: &'a str,
        what: String,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Result<Table<'a>, ProfileError> {
        match value.get_ref().as_table() {
            Some(table) => Ok(Table::root(text, what, table, value.span())),
            None => Err(wrong(text, &value.span(), &what, "a table", value.get_ref())),
        }
    }

    pub(super) fn root(text: &'a str, what: String, table: &'a DeTable<'a>, span: Range<usize>) -> Table<'a> {
        Table { text, what, span, table, taken: Vec::new() }
    }

    pub(super) fn span(&self) -> &Range<usize> {
        &self.span
    }

    pub(super) fn fail<T>(&self, span: &Range<usize>, fault: impl Into<String>) -> Result<T, ProfileError> {
        Err(ProfileError::at(self.text, span, fault))
    }

    pub(super) fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.taken.push(key);
        self.table.iter().find(|(known, _)| known.get_ref() == key).map(|(_, value)| value)
    }

    pub(super) fn string(
        &mut self,
        key: &'static str,
    ) -> Result<Option<(&'a str, Range<usize>)>, ProfileError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match value.get_ref().as_str() {
            Some(string) => Ok(Some((string, value.span()))),
            None => Err(wrong(self.text, &value.span(), key, "text in quotes", value.get_ref())),
        }
    }

    pub(super) fn required(&mut self, key: &'static str) -> Result<(&'a str, Range<usize>), ProfileError> {
        match self.string(key)? {
            Some(string) => Ok(string),
            None => self.fail(&self.span.clone(), format!("{} has no {key}", self.what)),
        }
    }

    pub(super) fn time(
        &mut self,
        key: &'static str,
    ) -> Result<Option<(Duration, Range<usize>)>, ProfileError> {
        let Some((string, span)) = self.string(key)? else { return Ok(None) };
        match duration(string) {
            Ok(time) => Ok(Some((time, span))),
            Err(fault) => self.fail(&span, format!("{key}: {fault}")),
        }
    }

    pub(super) fn integer(
        &mut self,
        key: &'static str,
        range: Range<i64>,
    ) -> Result<Option<i64>, ProfileError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let Some(integer) = value.get_ref().as_integer() else {
            return Err(wrong(self.text, &value.span(), key, "a whole number", value.get_ref()));
        };
        match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(integer) if range.contains(&integer) => Ok(Some(integer)),
            _ => {
                let fault = format!("{key} must be from {} to {}", range.start, range.end - 1);
                self.fail(&value.span(), fault)
            }
        }
    }

    /// The entries of a table of tables, in the order of the file.
    pub(super) fn entries(&mut self, key: &'static str) -> Result<Vec<Entry<'a>>, ProfileError> {
        let Some(value) = self.value(key) else { return Ok(Vec::new()) };
        let table = Table::new(self.text, format!("[{key}]"), value)?.table;
        let mut entries = Vec::new();
        for (name, value) in table {
            let what = format!("[{key}.{}]", name.get_ref());
            entries.push((name.get_ref().as_ref(), name.span(), Table::new(self.text, what, value)?));
        }
        entries.sort_by_key(|(_, span, _)| span.start);
        Ok(entries)
    }

    /// The end: a key that was not asked for is an error.
    pub(super) fn end(self) -> Result<(), ProfileError> {
        let unknown = self.table.keys().filter(|key| !self.taken.contains(&key.get_ref().as_ref()));
        match unknown.min_by_key(|key| key.span().start) {
            None => Ok(()),
            Some(key) => {
                let known = self.taken.iter().copied();
                let fault = format!(
                    "{} has no key {:?}{}",
                    self.what,
                    key.get_ref(),
                    did_you_mean(key.get_ref(), known)
                );
                self.fail(&key.span(), fault)
            }
        }
    }
}

/// Something is of another kind than it must be.
pub(super) fn wrong(
    text: &str,
    span: &Range<usize>,
    what: &str,
    kind: &str,
    is: &DeValue<'_>,
) -> ProfileError {
    ProfileError::at(text, span, format!("{what} must be {kind}, not {}", is.type_str()))
}
